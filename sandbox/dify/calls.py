"""The HTTP Request nodes of the played flows: what a message orders, a run carries out.

A node sends what the recordings `callback/*` show: httpx's own headers, the token of
the input `conversation_token`, JSON filled in as text.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass

import httpx

from sandbox.dify.versions import Version
from sandbox.json_types import Json
from sandbox.wire_log import WireLog, mask_text

CONNECT_S = 10.0
READ_S = 600.0
SHOWN_CHARS = 1000

# Name, argument, what happens. The page shows this list.
COMMANDS: list[tuple[str, str, str]] = [
    (
        "/call",
        'POST toggle-status/current {"status": "open"}',
        "the flow calls the bridge in the middle of its run; ;; separates several",
    ),
    (
        "/callearly",
        'PATCH conversations/current {"priority": "high"}',
        "the same before the stream's first event",
    ),
    ("/team", "support", "the flow assigns the team"),
    ("/status", "open", "the flow sets the status: hands over, or resolves"),
    ("/priority", "high", "the flow sets the priority"),
    ("/label", "vip, urgent", "the flow adds labels"),
    ("/attr", "region=Berlin", "the flow sets an attribute of the conversation"),
]
_SEPARATOR = ";;"
_ORDER = re.compile(
    r"/(call|callearly|team|status|priority|label|attr)\s+(\S.*)", re.DOTALL
)
_CALL = re.compile(r"([A-Za-z]+)\s+(\S+)(?:\s+(.+))?", re.DOTALL)
# As Dify has it: each name at most 30 characters, none beginning with a digit.
_VARIABLE = re.compile(r"\{\{#(\w{1,50}(?:\.[A-Za-z_]\w{0,29}){1,10})#\}\}", re.ASCII)


@dataclass(frozen=True)
class FlowCall:
    """One HTTP Request node. `path` continues the input `bridge_api_url`."""

    method: str
    path: str
    body: str | None = None
    early: bool = False


@dataclass(frozen=True)
class Reply:
    """What a node has afterwards; status 0 when nobody answered."""

    call: FlowCall
    status: int
    body: str
    request: str = ""

    @property
    def line(self) -> str:
        """What the played flow tells the customer of it."""
        text = mask_text(self.body)
        cut = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
        path = mask_text(self.call.path)
        return f"{self.call.method} {path} → {self.status or 'no answer:'} {cut}"


def parse_calls(query: str) -> tuple[list[FlowCall], str]:
    """The calls that the message orders, and what else it says."""
    calls: list[FlowCall] = []
    rest: list[str] = []
    for line in query.splitlines():
        others: list[str] = []
        for piece in line.split(_SEPARATOR):
            call = _parse(piece.strip())
            if call is None:
                others.append(piece)
            else:
                calls.append(call)
        rest.append(_SEPARATOR.join(others))
    return calls, "\n".join(rest).strip()


def _parse(piece: str) -> FlowCall | None:
    order = _ORDER.fullmatch(piece)
    if order is None:
        return None
    name, argument = order[1], order[2].strip()
    if not name.startswith("call"):
        return _friendly(name, argument)
    match = _CALL.fullmatch(argument)
    if match is None:
        return None
    path = match[2].lstrip("/")
    early = name == "callearly"
    return FlowCall(match[1].upper(), path, body=match[3], early=early)


def _friendly(name: str, argument: str) -> FlowCall | None:
    if name == "attr":
        key, equals, value = argument.partition("=")
        if not equals:
            return None
        wanted: object = {key.strip(): value.strip()}
        return _post("update-custom-attributes", wanted)
    if name == "label":
        labels = [label.strip() for label in argument.split(",") if label.strip()]
        return _post("update-labels", labels)
    paths = {
        "team": "assign-team",
        "status": "toggle-status",
        "priority": "toggle-priority",
    }
    return _post(paths[name], {name: argument})


def _post(operation: str, body: object) -> FlowCall:
    text = json.dumps(body, ensure_ascii=False)
    return FlowCall("POST", f"{operation}/current", body=text)


def filled(template: str, *, variables: Json) -> str:
    """The text with `{{#sys.x#}}` and `{{#start.x#}}`; an unknown one is its path."""

    def value(match: re.Match[str]) -> str:
        known = variables.get(match[1], match[1])
        if known is None:
            return ""
        return json.dumps(known) if isinstance(known, (dict, list)) else str(known)

    return _VARIABLE.sub(value, template)


class BridgeCaller:
    """Sends what a flow's HTTP Request nodes send, and logs it on the wire."""

    def __init__(self, wire_log: WireLog) -> None:
        self.wire_log = wire_log
        self._client = httpx.AsyncClient(
            follow_redirects=True,
            trust_env=False,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
        )

    async def send(self, call: FlowCall, *, variables: Json, version: Version) -> Reply:
        base = str(variables.get("start.bridge_api_url") or "")
        if not base.startswith(("http://", "https://")):
            text = "the input bridge_api_url is no address"
            return Reply(call=call, status=0, body=text)
        url = f"{base.rstrip('/')}/{filled(call.path, variables=variables)}"
        content = _content(call, variables=variables, version=version)
        token = str(variables.get("start.conversation_token") or "")
        headers = _headers(version, token=token, has_body=content is not None)
        try:
            request = self._client.build_request(
                call.method, url, content=content, headers=headers
            )
        except httpx.InvalidURL as err:
            return Reply(call=call, status=0, body=f"InvalidURL: {err}")
        return await self._exchange(call, request)

    async def _exchange(self, call: FlowCall, request: httpx.Request) -> Reply:
        path = request.url.raw_path.decode("ascii")
        entry = self.wire_log.start(
            direction="dify→bridge", method=call.method, path=path
        )
        self.wire_log.keep_request(
            entry, headers=request.headers.items(), body=request.content
        )
        error = None
        try:
            response = await self._client.send(request)
            self.wire_log.keep_response(
                entry,
                status=response.status_code,
                headers=response.headers.items(),
                body=response.content,
            )
        except httpx.HTTPError as err:
            error = f"{type(err).__name__}: {err}"
            return Reply(call=call, status=0, body=error, request=_raw(request))
        finally:
            self.wire_log.finish(entry, error=error)
        return Reply(
            call=call,
            status=response.status_code,
            body=response.text,
            request=_raw(request),
        )

    async def close(self) -> None:
        await self._client.aclose()


def _content(call: FlowCall, *, variables: Json, version: Version) -> bytes | None:
    """The body as the version spells JSON; what is no JSON is sent as it is."""
    if call.body is None:
        return None
    text = filled(call.body, variables=variables)
    try:
        return version.node_json(json.loads(text)).encode()
    except ValueError:
        return text.encode("utf-8", "replace")


def _headers(version: Version, *, token: str, has_body: bool) -> dict[str, str]:
    headers = {"Accept": "*/*", "User-Agent": f"python-httpx/{version.httpx}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if has_body:
        headers["Content-Type"] = "application/json"
    if not version.is_old:
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        headers["traceparent"] = f"00-{trace}-{span}-01"
    return headers


def _raw(request: httpx.Request) -> str:
    """The request as the node keeps it, token included: so does Dify."""
    kept = ("host", "authorization", "content-type", "content-length")
    lines = [f"{request.method} {request.url.raw_path.decode('ascii')} HTTP/1.1"]
    lines += [
        f"{name.title()}: {value}"
        for name, value in request.headers.items()
        if name in kept
    ]
    body = request.content.decode("utf-8", "replace")
    return "\r\n".join([*lines, "", body])
