"""What a flow is told: outcomes as JSON, and the HTTP status that lets it through.

Dify's HTTP node repeats a 4xx four times and then fails the run, and of 429 and 5xx it
loses the body (reference/dify.md section 8a). So what is wrong with a wish is told with
HTTP 200 and `"status": "error"`, unless the bot is set to strict statuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.actions.outcome import Outcome
from conversations.callbacks.errors import body as error_body

# With strict statuses. Neither 5xx nor 429: Dify would lose the body.
_STRICT: Mapping[str, int] = {
    "conversation_not_found": 404,
    "contact_not_found": 404,
    "inbox_not_found": 404,
    "human_in_charge": 409,
    "key_reused": 409,
    "in_progress": 409,
    "chatwoot_unavailable": 424,
    "rate_limited": 424,
    "token_refused": 424,
    "outcome_unknown": 424,
    "busy": 424,
}
_STRICT_ELSE = 422
GOOD = frozenset({"applied", "unchanged"})
MAX_IGNORED = 20
DRAFT_ONLY = "Draft only: nothing was changed, since the agents decide here."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The body, and what stands in the callback's row."""

    body: JsonObject
    before: JsonObject = field(default_factory=dict)
    after: JsonObject = field(default_factory=dict)

    def http_status(self, *, strict: bool) -> int:
        """Return 200, or with strict statuses what fits the code."""
        if self.body.get("status") != "error" or not strict:
            return 200
        return _STRICT.get(str(self.body.get("code")), _STRICT_ELSE)


def refusal(code: str, message: str, **more: JsonValue) -> Answer:
    """Answer that the wish cannot be fulfilled."""
    return Answer(body=error_body(code, message, **more))


def not_set(
    names: Iterable[str],
    *,
    number: int | None,
    understood: JsonObject,
    received: JsonObject,
    old: JsonObject,
) -> Answer:
    """Answer success although nothing was done: the flow had nothing to set."""
    listed = ", ".join(names)
    verb = "is" if "," not in listed else "are"
    return Answer(
        body={
            "status": "success",
            "conversation_id": number,
            "skipped": True,
            "received": received,
            "understood": understood,
            "message": f"Not set: {listed} {verb} empty, so nothing was changed.",
            **old,
        }
    )


def left_alone(*, number: int | None, old: JsonObject) -> Answer:
    """Answer success although nothing was done: the bot only suggests here."""
    return Answer(
        body={
            "status": "success",
            "conversation_id": number,
            "skipped": True,
            "message": DRAFT_ONLY,
            **old,
        }
    )


def with_ignored(
    answer: Answer, ignored: Sequence[str], *, known: Sequence[str]
) -> Answer:
    """Say which arguments the operation does not know, and what may have been meant."""
    if not ignored or not known:
        return answer
    sentences = []
    for name in ignored[:MAX_IGNORED]:
        near = get_close_matches(name.lower(), known, n=1)
        meant = f" Did you mean “{near[0]}”?" if near else ""
        sentences.append(f"“{name[:40]}” is unknown here and was ignored.{meant}")
    text = " ".join([str(answer.body.get("message", "")), *sentences]).strip()
    body: JsonObject = {
        **answer.body,
        "ignored": [*ignored[:MAX_IGNORED]],
        "message": text,
    }
    return replace(answer, body=body)


def of_one(outcome: Outcome, *, number: int | None, **old: JsonValue) -> Answer:
    """Answer about a single field; `old` are the keys of the bridge before this one."""
    if outcome.result == "skipped":
        return not_set(
            [outcome.field],
            number=number,
            received={},
            understood={outcome.field: None},
            old=old,
        )
    if outcome.result not in GOOD:
        return refusal(
            outcome.code,
            outcome.message,
            conversation_id=number,
            field=outcome.field,
            **_possible(outcome),
            **outcome.extra,
        )
    return Answer(
        body={
            **_whole(outcome),
            "conversation_id": number,
            "result": outcome.result,
            "before": outcome.before,
            "after": outcome.after,
            **_sentence(outcome),
            **outcome.extra,
            **old,
        },
        before={outcome.field: outcome.before},
        after={outcome.field: outcome.after},
    )


def of_several(outcomes: Sequence[Outcome], *, number: int | None) -> Answer:
    """Answer field by field: what was applied, skipped or refused."""
    bad = [
        one
        for one in outcomes
        if one.result in ("refused", "failed") or "refused" in one.extra
    ]
    good = [one for one in outcomes if one.result in GOOD]
    fields: JsonObject = {one.field: _described(one) for one in outcomes}
    answer: JsonObject = {
        "status": "success",
        "conversation_id": number,
        "message": _summary(outcomes),
        "fields": fields,
    }
    if bad:
        answer["status"] = "partial" if good else "error"
        answer["code"] = bad[0].code or "bad_value"
    elif not good:
        answer["skipped"] = True
    return Answer(
        body=answer,
        before={one.field: one.before for one in good},
        after={one.field: one.after for one in good},
    )


def _whole(outcome: Outcome) -> JsonObject:
    """Tell whether all of it was done: of several keys some may have been refused."""
    if "refused" not in outcome.extra:
        return {"status": "success"}
    code = outcome.code or "bad_value"
    return {"status": "partial", "code": code, **_possible(outcome)}


def _described(outcome: Outcome) -> JsonObject:
    described: JsonObject = {"result": outcome.result}
    if outcome.result in GOOD:
        described |= {"before": outcome.before, "after": outcome.after}
    if outcome.code:
        described["code"] = outcome.code
    return described | _sentence(outcome) | _possible(outcome) | outcome.extra


def _sentence(outcome: Outcome) -> JsonObject:
    return {"message": outcome.message} if outcome.message else {}


def _possible(outcome: Outcome) -> JsonObject:
    return {"possible": list(outcome.possible)} if outcome.possible else {}


def _summary(outcomes: Sequence[Outcome]) -> str:
    """Say in one text what a model has to know."""
    words = {
        "applied": "Done",
        "unchanged": "Already so",
        "skipped": "Not set",
    }
    parts = []
    for result, word in words.items():
        names = ", ".join(one.field for one in outcomes if one.result == result)
        if names:
            parts.append(f"{word}: {names}.")
    parts += [
        f"{one.field}: {one.message}"
        for one in outcomes
        if one.result in ("refused", "failed") or "refused" in one.extra
    ]
    return " ".join(parts) or "Nothing was asked for."
