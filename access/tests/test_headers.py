"""What each answer tells the browser about its own safety."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from django.test import Client

HTMX = "unfold/js/htmx/htmx.js"
HTMX_NAMES = {
    "Q.config.indicatorClass": "htmx-indicator",
    "Q.config.requestClass": "htmx-request",
}

pytestmark = pytest.mark.django_db


def policy(client: Client, path: str) -> dict[str, list[str]]:
    header = client.get(path).headers["Content-Security-Policy"]
    words = [directive.split() for directive in header.split(";")]
    return {name: values for name, *values in words}


def digest(style: str) -> str:
    return f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


def style_of_htmx() -> str:
    """What htmx writes into the head of each page, put together as it does."""
    found = finders.find(HTMX)
    assert isinstance(found, str)
    match = re.search(r'"<style"\+e\+">(.*?)</style>"', Path(found).read_text())
    assert match is not None
    text = match[1]
    for name, value in HTMX_NAMES.items():
        text = text.replace(f'"+{name}+"', value)
    return text


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/nowhere"])
def test_every_page_has_the_policy(admin_client: Client, *, path: str) -> None:
    allowed = policy(admin_client, path)

    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == ["'self'", "'unsafe-eval'"]
    assert allowed["img-src"] == ["'self'"]
    for name in ("object-src", "frame-ancestors"):
        assert allowed[name] == ["'none'"], name
    for name in ("base-uri", "form-action", "connect-src", "font-src"):
        assert allowed[name] == ["'self'"], name


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/auth/user/", "/admin/auth/user/add/"]
)
def test_the_styles_and_scripts_in_the_pages_are_those_that_the_policy_names(
    admin_client: Client, *, path: str
) -> None:
    """If it fails after an update: these are the hashes for the settings."""
    text = admin_client.get(path).content.decode()

    styles = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)
    in_page = {digest(style) for style in styles} | {digest(style_of_htmx())}
    assert in_page == set(policy(admin_client, path)["style-src-elem"]) - {"'self'"}
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []
    assert re.findall(r"\son[a-z]+=\"[^\"]*\"", text) == []
    assert "javascript:" not in text


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/nowhere"])
def test_the_api_has_no_policy_but_the_other_headers(
    client: Client, *, path: str
) -> None:
    answer = client.get(path)

    assert "Content-Security-Policy" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_headers_that_browsers_obey(client: Client) -> None:
    headers = client.get("/admin/login/").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_cookies_are_kept_from_scripts_and_other_sites(client: Client) -> None:
    cookie = client.get("/admin/login/").cookies["csrftoken"]

    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    for kind in ("SESSION", "CSRF", "LANGUAGE"):
        assert getattr(django_settings, f"{kind}_COOKIE_HTTPONLY") is True
        assert getattr(django_settings, f"{kind}_COOKIE_SAMESITE") == "Lax"
        # The tests run under http://.
        assert getattr(django_settings, f"{kind}_COOKIE_SECURE") is False
