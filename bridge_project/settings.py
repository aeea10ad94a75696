"""Every setting, read once from the environment; grouped by topic.

The defaults suit development and tests. What production must set is refused by
`manage.py check --deploy` when it is missing.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from bridge_project.navigation import SIDEBAR
from conversations.embedding import BEAT_SCHEDULE, BROKER_TRANSPORT_OPTIONS

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

# --- The process --------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="insecure-for-development-only")
# The address that Chatwoot, Dify and browsers reach the bridge at; no slash at the end.
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
# Further names for the admin; the API answers under any, see bridge_project.middleware.
ALLOWED_HOSTS = [
    *env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"]),
    urlsplit(PUBLIC_URL).hostname or "localhost",
    "localhost",
]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])
# Fernet keys for tokens at rest, newest first: the first one encrypts, all decrypt.
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS", default=[])

ROOT_URLCONF = "bridge_project.urls"
WSGI_APPLICATION = "bridge_project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# A redirect would turn Dify's POST into a GET, see reference/dify.md section 8a.
APPEND_SLASH = False

INSTALLED_APPS = [
    "conversations.apps.ConversationsConfig",
    "chatwoot_api.apps.ChatwootApiConfig",
    "dify_api.apps.DifyApiConfig",
    "access.apps.AccessConfig",
    "unfold",  # before the admin, whose templates it replaces
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_celery_results",
    "auditlog",  # who changed which setting, and from what to what
    "axes",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",  # Swagger UI and ReDoc, served from here
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",  # first: on each answer
    "bridge_project.middleware.JsonApiErrors",
    "bridge_project.middleware.ApiUnderAnyName",
    "bridge_project.middleware.ApiWithoutSlash",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "conversations.configuration.actors.NameActors",  # after the user is known
    "bridge_project.lib.encryption.PagesWithoutKey",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it puts its page in the login's place
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

# --- PostgreSQL ---------------------------------------------------------------


def _time_limits(given: str) -> dict[str, Any]:
    """Return libpq's options that end what takes too long, after those of the URL."""
    statement_ms = env.int("DB_STATEMENT_TIMEOUT_MS", default=0)
    lock_ms = env.int("DB_LOCK_TIMEOUT_MS", default=0)
    limits = {"statement_timeout": statement_ms, "lock_timeout": lock_ms}
    words = [f"-c {name}={value}" for name, value in limits.items() if value]
    options: dict[str, Any] = {}
    if words:
        options["options"] = " ".join([*([given] if given else []), *words])
    if statement_ms:
        # The same for a server that the network does not reach any more.
        options["tcp_user_timeout"] = statement_ms
    return options


def _database() -> dict[str, Any]:
    """Return the database of DATABASE_URL; `?sslmode=require` and its like count."""
    config: dict[str, Any] = env.db_url(
        "DATABASE_URL", default="postgres://bridge:bridge@127.0.0.1:5432/bridge"
    )
    given: dict[str, Any] = config.get("OPTIONS", {})
    config["OPTIONS"] = {
        "connect_timeout": 3,
        **given,
        **_time_limits(given.get("options", "")),
        # A thousand runs in one worker share these few connections: none is held while
        # Dify thinks, see conversations/pipeline.py.
        "pool": {
            "min_size": env.int("DB_POOL_MIN_SIZE", default=1),
            "max_size": env.int("DB_POOL_MAX_SIZE", default=10),
            # Runs may wait for their turn; a webhook may not, see gunicorn.conf.py.
            "timeout": env.float("DB_POOL_TIMEOUT_S", default=60.0),
        },
    }
    config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES: dict[str, dict[str, Any]] = {"default": _database()}

# --- Redis and Celery ---------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = BROKER_TRANSPORT_OPTIONS
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Result rows are for operators to read; no decision is taken from them.
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = 7 * 24 * 3600
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = True

CELERY_BEAT_SCHEDULE = BEAT_SCHEDULE

# --- Alerts by e-mail -----------------------------------------------------------

# smtp://user:password@host:587, smtp+tls://… or smtp+ssl://…; without it mails are
# only written to the log.
vars().update(env.email("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="bridge@localhost")

# --- History of the configuration -----------------------------------------------

# Which fields of what is written: `conversations.configuration.history`.
AUDITLOG_INCLUDE_ALL_MODELS = False
# Who did it is enough; addresses of people are not kept.
AUDITLOG_DISABLE_REMOTE_ADDR = True
AUDITLOG_STORE_JSON_CHANGES = True

# --- Other AI than Dify -----------------------------------------------------------

# name=dotted.path.of.a.function, separated by commas; docs/providers.md.
REPLY_PROVIDERS = env.dict("REPLY_PROVIDERS", default={})
# How long such a function may take.
REPLY_PROVIDER_TIMEOUT_S = env.float("REPLY_PROVIDER_TIMEOUT_S", default=120.0)

# --- The API that Dify flows call -----------------------------------------------

# "token": flows need a bot's token or the conversation token that they got as an input.
# "none": whoever reaches the address may change any conversation. Closed networks only.
CALLBACK_AUTH = env.str("CALLBACK_AUTH", default="token")
# Each message of the customer brings a new one, but for Dify 0.15: it goes on with the
# inputs of the conversation's first message.
CONVERSATION_TOKEN_MAX_AGE_S = env.int("CONVERSATION_TOKEN_MAX_AGE_S", default=86400)
# Of a web process's threads; the others are left to webhooks, see gunicorn.conf.py.
CALLBACKS_AT_ONCE = env.int("CALLBACKS_AT_ONCE", default=80)
SUGGESTIONS_AT_ONCE = env.int("SUGGESTIONS_AT_ONCE", default=8)
# Only one address takes files, and chooses its own handlers.
FILE_UPLOAD_HANDLERS = ["bridge_project.lib.uploads.NoUpload"]

REST_FRAMEWORK = {
    # Who calls and what they send: `conversations.callbacks.views.CallbackView`. The
    # other pages of the API are the document's, and open to all.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "conversations.callbacks.errors.answer_for_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Chatwoot–Dify bridge",
    "DESCRIPTION": (
        "What a Dify flow may do in Chatwoot. Authenticate with a bot's callback token "
        "as `Authorization: Bearer TOKEN`, and pass the input conversation_token on as "
        "X-Conversation-Token."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.0.3",
    "DEFAULT_GENERATOR_CLASS": "conversations.callbacks.document.FlowGenerator",
    # Absolute, or Dify's import of a custom tool fails (reference/dify.md section 8b).
    "SERVERS": [{"url": PUBLIC_URL}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Language, time, static files ---------------------------------------------

LANGUAGE_CODE = env.str("LANGUAGE_CODE", default="en")
LANGUAGES = [("en", _("English")), ("ru", _("Russian"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedStaticFilesStorage"
        )
    },
}

# --- Security -----------------------------------------------------------------

_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
# No script of ours reads a cookie; forms bring their CSRF token with them.
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600 if _https else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
# The proxy in front of gunicorn ends TLS and says so in this header.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Chatwoot and Dify may call over plain HTTP inside the Docker network; a redirect
# would lose their POST. Browsers are kept on HTTPS by HSTS.
SECURE_SSL_REDIRECT = False
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains: not ours to decide
    "security.W008",  # no redirect to HTTPS, see SECURE_SSL_REDIRECT
    "security.W021",  # HSTS preload: not ours to decide
]
X_FRAME_OPTIONS = "DENY"
# The view itself refuses what is larger than 1 MB; this is Django's own line.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# The largest form is that of a group, with some hundred permissions; none has files.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
# As many as Chatwoot takes in one message.
DATA_UPLOAD_MAX_NUMBER_FILES = 15

# What a page of the admin may load and do; answers of the API need none of it.
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ("/api/v1/", "/chatwoot/"),
    "DIRECTIVES": {
        "default-src": [NONE],
        # Unfold's pages are made with Alpine.js, which evaluates attributes.
        "script-src": [SELF, UNSAFE_EVAL],
        # Two styles stand in the pages themselves: Unfold's colours and htmx's. A test
        # says which hashes to put here when an update has changed them.
        "style-src-elem": [
            SELF,
            "'sha256-CftXQ/6rIQ3AMOrJUsQzoK+KGLgk4scJJlfXyvE/1mQ='",
            "'sha256-bsV5JivYxvGywDAZ22EZJKBFip65Ng9xoJVLbBg7bdo='",
        ],
        # Alpine.js writes style attributes.
        "style-src-attr": [UNSAFE_INLINE],
        # For browsers that do not know the two above.
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [SELF],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    },
}

# How many proxies of our own a browser's request passes, see access/addresses.py.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
# Five wrong passwords for a name from an address, then a quarter of an hour of rest.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# In PostgreSQL: no decision is taken from Redis.
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "access.addresses.client_ip"
AXES_LOCKOUT_CALLABLE = "access.lockout.locked_out"
AXES_RESET_ON_SUCCESS = True
# Who goes on trying must not keep the owner of the name out for ever.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# Only failures of the last quarter of an hour are kept, and nothing about successes.
AXES_DISABLE_ACCESS_LOG = True
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("admin:login")
# For a login without a page to go on to; Unfold's form does not name one.
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

# --- The admin's look ---------------------------------------------------------


UNFOLD = {
    "SITE_TITLE": _("Chatwoot–Dify bridge"),
    "SITE_HEADER": _("Chatwoot–Dify bridge"),
    "SITE_SYMBOL": "forum",
    "SITE_URL": None,  # there is nothing but the admin
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SHOW_LANGUAGES": True,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("bridge/favicon.svg"),
        }
    ],
    "STYLES": [lambda request: static("bridge/admin.css")],
    "SCRIPTS": [lambda request: static("bridge/admin.js")],
    "DASHBOARD_CALLBACK": "conversations.admin.attention.add_numbers",
    "SIDEBAR": {"navigation": SIDEBAR},
}

# --- Logs ---------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "bridge_project.lib.log_format.Masking",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # One line for each of four tasks per message would bury everything else.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # Four lines for each login that worked; failures are warnings.
        "axes": {"level": "WARNING"},
    },
}
