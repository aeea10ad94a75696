"""HTTP in: Chatwoot's webhooks, and questions of those who want a suggestion."""

from __future__ import annotations

import json
import logging
import time
from threading import BoundedSemaphore

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, DataError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from psycopg_pool import PoolTimeout

from bridge_project.lib.errors import InvalidWebhook, MalformedPayload
from chatwoot_api.webhooks import MAX_BODY_BYTES
from conversations import intake, suggesting
from conversations.suggesting import NotSuggested

logger = logging.getLogger(__name__)

# Each holds a thread while Dify thinks; webhooks need those that callbacks leave.
_places = BoundedSemaphore(settings.SUGGESTIONS_AT_ONCE)


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


@csrf_exempt
@require_POST
def copilot(request: HttpRequest) -> JsonResponse:
    """Answer `{"message": …}` with `{"suggestion": …}`; Chatwoot hears nothing of it.

    For agents' tools, never for the world: see `suggesting.caller_of`.
    """
    if not _places.acquire(blocking=False):
        text = "As many suggestions as possible are being made. Ask again in a minute."
        return _refusal("busy", text, status=429)
    try:
        caller = suggesting.caller_of(
            authorization=request.headers.get("Authorization", ""),
            token=request.GET.get("token", ""),
        )
        wish = suggesting.read(json.loads(_body(request)))
        suggestion = suggesting.suggest(wish, caller=caller)
    except NotSuggested as err:
        return _refusal(err.code, err.message, status=err.http_status)
    except MalformedPayload as err:
        return _refusal(err.code, err.message, status=err.http_status)
    except (ValueError, RecursionError):
        text = "The body is no JSON. Send an object with “message”."
        return _refusal("malformed", text, status=400)
    except (DatabaseError, PoolTimeout):
        logger.exception("A suggestion could not be made without the database")
        text = "The bridge does not reach its database right now. Ask again later."
        return _refusal("database_unavailable", text, status=503)
    finally:
        _places.release()
    return JsonResponse(suggesting.told(suggestion))


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
