"""Reads what people paste as an address: from a browser, or from a manual. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

# What follows the server's own address in Chatwoot's pages and API.
_CHATWOOT_TAIL = re.compile(r"/(?:app|api/v1)(?:/accounts/(\d+))?(?:/.*)?$")
_CHATWOOT_LOGIN = re.compile(r"/(?:app/login|super_admin)(?:/.*)?$")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class ServerAddress:
    """A server's address, and the account that was pasted with it, if any."""

    url: str
    account_id: int | None = None


class NoAddress(ValueError):
    """What was entered is no address of a server."""


def read_address(text: str) -> ServerAddress:
    """Return the server's address; without https:// in front it is added.

    Raises NoAddress.
    """
    parts = _parts(text)
    path = parts.path.rstrip("/")
    account_id = None
    found = _CHATWOOT_LOGIN.search(path) or _CHATWOOT_TAIL.search(path)
    if found is not None:
        path = path[: found.start()]
        groups = found.groups()
        account_id = int(groups[0][:18]) if groups and groups[0] else None
    return ServerAddress(f"{parts.scheme}://{parts.netloc}{path}", account_id)


def read_api_address(text: str) -> str:
    """Return the address of Dify's API as entered, but for what is not part of it.

    The address bar of Dify's pages (/apps, /app/…/overview) leads to the same server.
    """
    parts = _parts(text)
    path = re.sub(r"/(?:apps?|explore|signin)(?:/.*)?$", "", parts.path.rstrip("/"))
    host = "api.dify.ai" if parts.hostname == "cloud.dify.ai" else parts.netloc
    # Somebody copied an example: the address of one of the calls.
    path = re.sub(r"/v1/.+$", "/v1", path) or "/v1"
    return f"{parts.scheme}://{host}{path}"


def _parts(text: str) -> SplitResult:
    address = text.strip()
    if "://" not in address:
        address = f"{_usual_scheme(address)}://{address}"
    try:
        parts = urlsplit(address)
        _port = parts.port
    except ValueError as err:
        raise NoAddress from err
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or _SPACE.search(address):
        raise NoAddress
    if parts.username or parts.password or not _is_host(host):
        raise NoAddress
    return parts


def _is_host(host: str) -> bool:
    """Tell whether this can be the name or number of a server."""
    try:
        ip_address(host)
    except ValueError:
        return bool(re.fullmatch(r"[\w-]+(\.[\w-]+)*", host))
    return True


def _usual_scheme(address: str) -> str:
    """Servers on this machine or at a bare number hardly ever have a certificate."""
    host = re.split(r"[/:]", address, maxsplit=1)[0]
    try:
        return "http" if not ip_address(host).is_global else "https"
    except ValueError:
        return "http" if host == "localhost" else "https"
