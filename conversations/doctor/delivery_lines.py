"""What it means how events reach the bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from bridge_project.lib.errors import BridgeError, Unauthorized, UpstreamError
from bridge_project.lib.health import describe
from conversations.doctor.addresses import all_private
from conversations.doctor.chatwoot import REFUSES_PRIVATE_SINCE
from conversations.doctor.delivery import RoundTrip, Seen
from conversations.doctor.line import About, Line, State

# Chatwoot gives up after five seconds.
SLOW_MS = 2000
# Somebody has written within it, where customers write at all.
LATELY = timedelta(days=1)


def lines(
    seen: Seen, *, version: tuple[int, int, int] | None, now: datetime, about: About
) -> Iterator[Line]:
    """Yield what is to be said of deliveries, ours and Chatwoot's own."""
    yield _round_trip(seen, now=now, about=about)
    yield _last(seen, now=now, about=about)
    yield _private(seen, version=version, now=now, about=about)


def _round_trip(seen: Seen, *, now: datetime, about: About) -> Line:
    check, trip = "round_trip", seen.round_trip
    if trip is None:
        return Line(
            check=check,
            state=State.FAILED,
            found=_("There is neither a webhook secret nor a webhook token."),
            meaning=_("Every event of Chatwoot is refused."),
            remedy=_("Fetch the secret from Chatwoot, or run the set-up again."),
            mend="fetch_secret",
            about=about,
        )
    if trip.error is not None:
        return _lost(trip, trip.error, seen=seen, now=now, about=about)
    values = {"address": trip.address, "ms": trip.duration_ms}
    if not trip.arrived:
        return Line(
            check=check,
            state=State.FAILED,
            found=_("%(address)s answered success, but the event is not here.")
            % values,
            meaning=_("PUBLIC_URL leads to another bridge, or to another program."),
            remedy=_("Set PUBLIC_URL to the address of this bridge."),
            about=about,
        )
    if trip.duration_ms > SLOW_MS:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("Arrived at %(address)s, after %(ms)d ms.") % values,
            meaning=_("Chatwoot waits 5 s, then it takes the conversation away."),
            remedy=_("Look at the load of the web processes and the database."),
            about=about,
        )
    return Line(
        check=check,
        state=State.OK,
        found=_("Arrived at %(address)s in %(ms)d ms, and was recognised.") % values,
        about=about,
    )


def _lost(
    trip: RoundTrip, error: BridgeError, *, seen: Seen, now: datetime, about: About
) -> Line:
    """Tell a door that is shut from one that we only cannot see from inside."""
    if isinstance(error, Unauthorized):
        return Line(
            check="round_trip",
            state=State.FAILED,
            found=_("%(address)s refuses our own signature.")
            % {"address": trip.address},
            meaning=_(
                "Either PUBLIC_URL leads to another bridge, or something on the way "
                "changes or drops the headers of the signature."
            ),
            remedy=_("Set PUBLIC_URL, and let the proxy pass X-Chatwoot-… on."),
            about=about,
        )
    answered = isinstance(error, UpstreamError) and error.status is not None
    redirects = answered and _is_redirect(error)
    comes_in = _came_lately(seen, now=now)
    meaning = _("The bridge does not reach itself by its public address.")
    if comes_in:
        meaning += " " + _("Chatwoot does: its events arrive.")
    if redirects:
        meaning = _("The address redirects; a POST is lost on the way.")
    return Line(
        check="round_trip",
        state=State.WARNING if comes_in else State.FAILED,
        found=describe(error),
        meaning=meaning,
        remedy=_("PUBLIC_URL is %(url)s. Set it to the address that Chatwoot calls.")
        % {"url": settings.PUBLIC_URL},
        about=about,
    )


def _is_redirect(error: BridgeError) -> bool:
    status = error.status if isinstance(error, UpstreamError) else None
    return status is not None and 300 <= status < 400


def _last(seen: Seen, *, now: datetime, about: About) -> Line:
    check = "last_delivery"
    if seen.last is None:
        return Line(
            check=check,
            state=State.SKIPPED,
            found=_("None yet."),
            meaning=_("Write a message in the widget of a linked inbox to see one."),
            about=about,
        )
    ago = timesince(seen.last.received_at, now)
    if not seen.last.is_signed:
        return Line(
            check=check,
            state=State.OK,
            found=_("%(ago)s ago, not signed.") % {"ago": ago},
            meaning=_("It came in by the webhook token, or because anybody may."),
            about=about,
        )
    found = _("%(ago)s ago, signed.") % {"ago": ago}
    return Line(check=check, state=State.OK, found=found, about=about)


def _private(
    seen: Seen, *, version: tuple[int, int, int] | None, now: datetime, about: About
) -> Line:
    check, url = "private_address", settings.PUBLIC_URL
    if not seen.our_addresses:
        return Line(
            check=check,
            state=State.FAILED,
            found=_("Nobody knows the name in %(url)s.") % {"url": url},
            meaning=_("Chatwoot can hardly find the bridge."),
            remedy=_("Set PUBLIC_URL to a name that Chatwoot's server can resolve."),
            about=about,
        )
    values = {"url": url, "address": ", ".join(seen.our_addresses)}
    found = _("%(url)s is at %(address)s.") % values
    if not all_private(seen.our_addresses):
        return Line(check=check, state=State.OK, found=found, about=about)
    if _came_lately(seen, now=now):
        return Line(
            check=check,
            state=State.OK,
            found=found,
            meaning=_("A private address; Chatwoot reaches it, its events arrive."),
            about=about,
        )
    if seen.their_addresses and not all_private(seen.their_addresses):
        return Line(
            check=check,
            state=State.FAILED,
            found=found,
            meaning=_("Chatwoot is elsewhere and cannot reach a private address."),
            remedy=_("Set PUBLIC_URL to an address that the Internet can reach."),
            about=about,
        )
    if version is not None and version < REFUSES_PRIVATE_SINCE:
        return Line(check=check, state=State.OK, found=found, about=about)
    return Line(
        check=check,
        state=State.WARNING,
        found=found,
        meaning=_(
            "Chatwoot 4.14 and newer refuses to call private addresses, unless it is "
            "allowed to. No event has come in the last day."
        ),
        remedy=_(
            "Set SAFE_FETCH_ALLOW_PRIVATE_NETWORK=true for Chatwoot's web and Sidekiq "
            "processes (4.14.1 or newer), then write a message in the widget."
        ),
        about=about,
    )


def _came_lately(seen: Seen, *, now: datetime) -> bool:
    return seen.last is not None and now - seen.last.received_at < LATELY
