"""Tries refused tokens again, so that a repaired one is used without anybody's help."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from django.core.exceptions import ImproperlyConfigured

from bridge_project.lib.errors import BridgeError, Unauthorized
from chatwoot_api import probe
from chatwoot_api.models import ChatwootAccount
from dify_api import app_info
from dify_api.models import DifyApp

logger = logging.getLogger(__name__)

# What may come of a token: it works again, is refused still, nobody can say, or our
# own row is no good.
OUTCOMES = ("ok", "refused", "unknown", "unreadable")


def probe_refused(now: datetime) -> dict[str, int]:
    """Check each refused token that is due, once a minute at most.

    Returns how many had each outcome. One row's trouble is not the others'.
    """
    accounts, apps = ChatwootAccount.objects.all(), DifyApp.objects.all()
    found: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
    for pk in list(accounts.to_probe(now).values_list("pk", flat=True)):
        if accounts.claim_probe(pk, now):
            found.update(_outcomes(_probe_account, pk, what="Chatwoot account"))
    for pk in list(apps.to_probe(now).values_list("pk", flat=True)):
        if apps.claim_probe(pk, now):
            found.update(_outcomes(_probe_app, pk, what="Dify app"))
    return dict(found)


def _outcomes(
    check: Callable[[int], Mapping[str, str]], pk: int, *, what: str
) -> list[str]:
    """Run one row's check and log what came of its tokens."""
    try:
        states = check(pk)
    except (ImproperlyConfigured, ValueError) as err:
        # No key decrypts it, or the token has characters that no header may have.
        logger.error("%s %s cannot be checked: %s", what, pk, err)
        return ["unreadable"]
    logger.info("%s %s was checked: %s", what, pk, states)
    return list(states.values())


def _probe_account(pk: int) -> Mapping[str, str]:
    account = ChatwootAccount.objects.filter(pk=pk).first()
    if account is None:
        return {}
    result = probe.probe(account)
    probe.store(account, result)
    return {str(token): state for token, state in result.states().items()}


def _probe_app(pk: int) -> Mapping[str, str]:
    app = DifyApp.objects.filter(pk=pk).first()
    if app is None:
        return {}
    try:
        app_info.refresh(app)
    except Unauthorized:
        return {"key": "refused"}
    except BridgeError:
        return {"key": "unknown"}
    return {"key": "ok"}
