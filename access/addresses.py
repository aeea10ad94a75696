"""Where a request comes from, also when it comes through proxies."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str | None:
    """Return the address that failed logins are counted for.

    Each proxy appends to X-Forwarded-For whom it got the request from; what stands
    left of our own proxies' entries is the client's invention. So with
    TRUSTED_PROXIES=2 it is the second entry from the right. A request that came past
    the proxies has too few entries and counts under its own address.
    """
    peer: str | None = request.META.get("REMOTE_ADDR") or None
    count: int = settings.TRUSTED_PROXIES
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    if count < 1 or len(hops) < count:
        return peer
    try:
        return str(ip_address(hops[-count].strip()))
    except ValueError:
        return peer
