"""What Dify says of an app, and what that means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from bridge_project.lib.errors import BridgeError, Unauthorized
from bridge_project.lib.health import describe
from conversations.doctor.clocks import clock_line
from conversations.doctor.line import About, Line, State
from dify_api.looking import AppLook
from dify_api.models import DifyApp
from dify_api.payloads import AppMode


def lines(
    answer: AppLook | BridgeError, *, app: DifyApp, now: datetime, about: About
) -> Iterator[Line]:
    """Yield a line for each thing that was looked at."""
    if isinstance(answer, BridgeError):
        yield from _no_answer(answer, app=app, about=about)
        return
    address = app.connection().api_url
    version = f", {answer.version}" if answer.version else ""
    yield _ok("app_reachable", f"{address}{version}", about=about)
    found = _("Dify accepts it: the app is “%(name)s”.") % {"name": answer.info.name}
    yield _ok("app_key", found, about=about)
    yield _mode(answer, app=app, about=about)
    yield clock_line("app_clock", answer.clock, ours=now, about=about)
    if answer.parameters is None:
        yield _unpublished(answer, about=about)
        return
    yield _ok("app_published", _("Yes."), about=about)
    yield _inputs(answer, app=app, about=about)
    yield _files(answer, about=about)
    yield _speech(answer, about=about)


def _no_answer(error: BridgeError, *, app: DifyApp, about: About) -> Iterator[Line]:
    if isinstance(error, Unauthorized):
        yield _ok("app_reachable", app.connection().api_url, about=about)
        yield Line(
            check="app_key",
            state=State.FAILED,
            found=describe(error),
            meaning=_("The bot cannot answer; customers are handed over to humans."),
            remedy=_(
                "Make a new key in Dify under “API Access” of this app, and enter it "
                "at the Dify app."
            ),
            link=app.console_url,
            about=about,
        )
        return
    yield Line(
        check="app_reachable",
        state=State.FAILED,
        found=describe(error),
        meaning=_("The bot cannot answer; customers are handed over to humans."),
        remedy=_(
            "Check the address of the Dify app, and whether this server may connect to "
            "%(address)s."
        )
        % {"address": app.connection().api_url},
        about=about,
    )


def _mode(answer: AppLook, *, app: DifyApp, about: About) -> Line:
    check, mode = "app_mode", answer.info.mode
    if not mode:
        return Line(
            check=check,
            state=State.OK if app.mode else State.FAILED,
            found=_("Dify before 1.0 does not tell it; here it is: %(kind)s.")
            % {"kind": app.get_mode_display() or "–"},
            remedy="" if app.mode else _("Choose the kind at the Dify app."),
            about=about,
        )
    if mode not in set(AppMode):
        return Line(
            check=check,
            state=State.FAILED,
            found=mode,
            meaning=_("The bridge cannot run apps of this kind."),
            remedy=_("Use a chatbot, chatflow, agent, workflow or text generator."),
            about=about,
        )
    kind = str(DifyApp.Mode(mode).label)
    if mode != app.mode:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("In Dify: %(there)s; here: %(here)s.")
            % {"there": kind, "here": app.get_mode_display() or "–"},
            meaning=_("The app would be asked in the wrong way."),
            remedy=_("Read the app from Dify again."),
            mend="read_app",
            about=about,
        )
    return _ok(check, kind, about=about)


def _unpublished(answer: AppLook, *, about: About) -> Line:
    error = answer.unreadable
    is_known = error is not None and error.code == "app_unavailable"
    return Line(
        check="app_published",
        state=State.FAILED,
        found=describe(error) if error is not None else "",
        meaning=_("The app was never published, so it cannot run.")
        if is_known
        else _("The app's settings cannot be read, so it can hardly run."),
        remedy=_("Open the app in Dify and press “Publish”.") if is_known else "",
        about=about,
    )


def _inputs(answer: AppLook, *, app: DifyApp, about: About) -> Line:
    """Compare with what the bridge itself reads every quarter of an hour."""
    check = "app_inputs"
    declared = answer.parameters.inputs if answer.parameters else ()
    if app.parameters_read_at is None or declared != app.declared_inputs():
        return Line(
            check=check,
            state=State.WARNING,
            found=_("The app declares other inputs than we know of."),
            meaning=_("New inputs are not filled, and old ones sent in vain."),
            remedy=_("Read the app from Dify again."),
            mend="read_app",
            about=about,
        )
    names = ", ".join(field.variable for field in declared)
    return _ok(check, names or _("The app declares none."), about=about)


def _files(answer: AppLook, *, about: About) -> Line:
    upload = answer.file_upload
    if not upload.enabled:
        found = _("The app takes none.")
    else:
        values = {"count": upload.max_files, "kinds": ", ".join(upload.kinds)}
        found = _("The app takes up to %(count)d: %(kinds)s.") % values
    return Line(
        check="app_files",
        state=State.OK,
        found=found,
        meaning=_("Others are only named in the question.")
        if upload.enabled
        else _("A customer's files are only named in the question."),
        about=about,
    )


def _speech(answer: AppLook, *, about: About) -> Line:
    found = _("The app can turn speech into text.")
    if not answer.listens:
        found = _("The app does not turn speech into text.")
    return Line(
        check="app_speech",
        state=State.OK,
        found=found,
        meaning=_("Customers' voice messages become text.")
        if answer.listens
        else _("Voice messages need a server of the bot's own, or are only named."),
        about=about,
    )


def _ok(check: str, found: str, *, about: About) -> Line:
    return Line(check=check, state=State.OK, found=found, about=about)
