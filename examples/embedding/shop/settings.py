"""The shop's settings; what the bridge adds is marked."""

from __future__ import annotations

import os

from conversations import embedding

SECRET_KEY = os.environ.get("SECRET_KEY", "insecure-for-the-example-only")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
STATIC_URL = "static/"
# For runserver, which serves static files only then; never where others can see it.
DEBUG = os.environ.get("DEBUG", "") == "true"
# The bridge's languages are choices of its columns: with others `makemigrations` finds
# something to do in its apps.
LANGUAGES = [("en", "English"), ("ru", "Russian")]

# --- The bridge: three settings ------------------------------------------------------

# Encrypt tokens at rest. A list: the first key encrypts, all of them decrypt.
FIELD_ENCRYPTION_KEYS = os.environ["FIELD_ENCRYPTION_KEYS"].split(",")
# How Chatwoot and flows reach this project.
PUBLIC_URL = os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000")
# Redis only wakes the workers up; PostgreSQL is where everything is.
CELERY_BROKER_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

# Who answers: chosen by its name at the bot.
REPLY_PROVIDERS = {"rag": "shop.rag.reply", "guide": "shop.rag.guide"}

# --- And its apps --------------------------------------------------------------------

INSTALLED_APPS = [*embedding.APPS, "shop"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *embedding.MIDDLEWARE,
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The bridge needs PostgreSQL.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "shop"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "NAME": os.environ.get("PGDATABASE", "shop"),
    },
}
