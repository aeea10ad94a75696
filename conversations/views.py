"""HTTP in: Chatwoot's webhooks."""

from __future__ import annotations

import logging
import time

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, DataError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from bridge_project.lib.errors import InvalidWebhook, MalformedPayload
from chatwoot_api.webhooks import MAX_BODY_BYTES
from conversations import intake

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def chatwoot_webhook(request: HttpRequest, account_key: str = "") -> JsonResponse:
    """Store a webhook and answer 200 `{"status": "accepted" | "duplicate", …}`.

    Chatwoot repeats a delivery only after 429 or 500, and after anything else that is
    not 2xx it takes the conversation from the bot (reference/chatwoot.md section 3).
    So a database that is away answers 500, never 503.
    """
    try:
        receipt = intake.record(
            _body(request),
            headers=request.headers,
            token=request.GET.get("token", ""),
            account_key=account_key,
            now_s=time.time(),
        )
    except InvalidWebhook as err:
        logger.warning("Webhook refused: %s", err)
        return _refusal(err.code, err.message, status=err.http_status)
    except DataError:
        # Sent again it would fail again. `webhooks.decode` should have refused it.
        logger.exception("PostgreSQL cannot take a webhook")
        return _refusal(
            MalformedPayload.code,
            "The event has a value that cannot be stored.",
            status=MalformedPayload.http_status,
        )
    except DatabaseError:
        logger.exception("A webhook could not be stored; Chatwoot will repeat it")
        return _refusal(
            "database_unavailable",
            "The bridge cannot store the event right now. Send it again.",
            status=500,
        )
    return JsonResponse(
        {
            "status": "accepted" if receipt.is_new else "duplicate",
            "event_id": receipt.event_id,
        }
    )


def _body(request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise TooLarge
    try:
        return request.body
    except RequestDataTooBig as err:
        raise TooLarge from err


class TooLarge(MalformedPayload):
    """The body is larger than 1 MB, which no Chatwoot event is."""

    code = "too_large"
    http_status = 413


def _refusal(code: str, message: str, *, status: int) -> JsonResponse:
    return JsonResponse(
        {"status": "error", "code": code, "message": message}, status=status
    )
