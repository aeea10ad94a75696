"""4. Chatwoot and Dify fail in every way that they are known to fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chaos.customers import Customer
from chaos.judge import Fate
from chaos.world import APP_MODE, World, say

TITLE = "Chatwoot and Dify fail in every known way"
RECOVERY_PATIENCE_S = 600
PROBE_PATIENCE_S = 180
# The shortest that a DifyApp allows is 5 and 20 s.
FIRST_EVENT_TIMEOUT_S, IDLE_TIMEOUT_S = 8, 20
PROXY_PAGE = (
    "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
)
# 1.12 goes on with a run that was cut off and tells of it; 0.15 does not tell, so the
# run is repeated and cut off again.
OLD_VERSIONS = {"0.15": Fate.HANDED_OVER, "1.12": Fate.ANSWERED}

POSTS, READS = "messages$", "$"
TYPING, STATUS = "toggle_typing_status$", "toggle_status$"


@dataclass(frozen=True)
class Case:
    """What one customer says, and what fails for this customer alone."""

    name: str
    command: str = ""
    fault: Mapping[str, object] | None = None
    # Of the conversation in Chatwoot; None: Dify's.
    path: str | None = None
    # A second message follows when the first has been answered.
    goes_on: bool = False
    # What is told in a remark if it comes otherwise.
    expected: Fate = Fate.ANSWERED


def _chatwoot(
    name: str, path: str, kind: str, *, command: str = "", **more: object
) -> Case:
    expected = Fate.HANDED_OVER if command else Fate.ANSWERED
    fault = {"kind": kind, **more}
    return Case(name, command, fault, path, expected=expected)


def _dify(name: str, kind: str, **more: object) -> Case:
    return Case(name, fault={"kind": kind, **more})


CHATWOOT: Sequence[Case] = (
    _chatwoot("a post answered 500", POSTS, "status", status=500),
    _chatwoot("a post answered 429", POSTS, "status", status=429),
    _chatwoot("a post not taken: connection dropped", POSTS, "drop"),
    _chatwoot("a post stored, then 500", POSTS, "status_after", status=500),
    _chatwoot(
        "a post stored, then a proxy's 502",
        POSTS,
        "status_after",
        status=502,
        body=PROXY_PAGE,
    ),
    _chatwoot("a post stored, then silence", POSTS, "hang_after", delay_s=60.0),
    _chatwoot("a post stored, connection dropped", POSTS, "drop_after"),
    _chatwoot("reading answered 500", READS, "status", method="GET", times=2),
    _chatwoot("reading dropped", READS, "drop", method="GET"),
    _chatwoot("reading answered 429", READS, "status", method="GET", status=429),
    _chatwoot("typing answered 500", TYPING, "status", times=2),
    _chatwoot(
        "handover: line stored, then silence",
        POSTS,
        "hang_after",
        command="/quota",
        delay_s=60.0,
    ),
    _chatwoot(
        "handover: line stored, connection dropped",
        POSTS,
        "drop_after",
        command="/quota",
        times=2,
    ),
    _chatwoot(
        "handover: status set, then 500", STATUS, "status_after", command="/quota"
    ),
    _chatwoot("handover: status answered 500", STATUS, "status", command="/quota"),
)
DIFY: Sequence[Case] = (
    Case("slow to begin", "/slowstart 5"),
    Case("slow", "/slow 12"),
    _dify("silent once", "delay", delay_s=FIRST_EVENT_TIMEOUT_S + 4.0),
    _dify("run, but not a word of it", "hang_after", delay_s=60.0),
    _dify("connection refused", "drop"),
    _dify("run, connection dropped", "drop_after"),
    Case("cut in the middle", "/cut"),
    Case("busy twice: 400 Too many requests", "/busy 2"),
    _dify("429", "status", status=429),
    _dify("a proxy's 502", "status", status=502, body=PROXY_PAGE),
    Case("a failing node", "/fail", expected=Fate.HANDED_OVER),
    Case("quota exceeded", "/quota", expected=Fate.HANDED_OVER),
    Case("conversation deleted", "/forget", goes_on=True),
)
# What fails each time: after a minute these are the humans'.
FOR_EVER: Sequence[Case] = tuple(
    Case(name, command, expected=Fate.HANDED_OVER)
    for name, command in (
        ("an error event", "/error"),
        ("always silent", "/silent"),
        ("always hanging", "/hang"),
        ("always busy", "/busy"),
        ("always 502", "/http 502"),
    )
)
OLD: Sequence[Case] = (
    Case("no failure"),
    _dify("run, connection dropped", "drop_after"),
    Case("hanging, each time", "/hang", expected=Fate.HANDED_OVER),
    Case("conversation deleted", "/forget", goes_on=True),
)


def run(world: World) -> None:
    """Let everything fail at once, each failure for customers of its own."""
    world.database.set_app(
        first_event_timeout_s=FIRST_EVENT_TIMEOUT_S, idle_timeout_s=IDLE_TIMEOUT_S
    )
    each = world.size(full=5, short=1)
    say(f"   {len(CHATWOOT) + len(DIFY)} kinds of failure, {each} customers each")
    _fail(world, [*CHATWOOT, *DIFY], each=each)
    _refuse_key(world, count=world.size(full=10, short=3))
    if world.options.is_short:
        return
    _refuse_tokens(world)
    world.database.set_bot(max_turn_minutes=1)
    say("   Dify fails each time")
    _fail(world, FOR_EVER, each=each)
    for version, expected in OLD_VERSIONS.items():
        say(f"   Dify {version}")
        world.sandbox.set(dify_version=version)
        cut = Case(f"cut by Dify {version}", "/cut", expected=expected)
        _fail(world, [*OLD, cut], each=each)


def _fail(world: World, cases: Sequence[Case], *, each: int) -> None:
    """Order the faults, let everybody write, and say what came otherwise."""
    expected: dict[str, Case] = {}
    followed: list[Customer] = []
    for case in cases:
        customers = world.crowd.come(each)
        for customer in customers:
            _order(world, case, customer=customer)
            expected[world.crowd.say(customer, case.command)] = case
        if case.goes_on:
            followed += customers
    if followed:
        time.sleep(4.0)
        world.crowd.all_say(followed)
    world.recover(patience_s=RECOVERY_PATIENCE_S)
    fates = world.judge().fates
    found = Counter((case.name, fates[token]) for token, case in expected.items())
    wanted = {(case.name, case.expected) for case in cases}
    world.remarks += [
        f"not as expected: {name}: {count} {fate}"
        for (name, fate), count in found.items()
        if (name, fate) not in wanted
    ]


def _order(world: World, case: Case, *, customer: Customer) -> None:
    if case.fault is None:
        return
    where: dict[str, object] = {
        "path": "^/v1/chat-messages$",
        "content": customer.mark,
    }
    if case.path is not None:
        slash = "" if case.path == READS else "/"
        where = {
            "path": rf"/conversations/{customer.conversation_id}{slash}{case.path}"
        }
    order = {**case.fault, **where}
    world.sandbox.add_fault(str(order.pop("kind")), **order)


def _refuse_key(world: World, *, count: int) -> None:
    """Dify answers 401 to everybody for some seconds."""
    say(f"   Dify refuses its key, {count} customers")
    world.sandbox.set_app(APP_MODE, key_refused=True)
    world.crowd.all_say(world.crowd.come(count))
    world.recover(patience_s=RECOVERY_PATIENCE_S)
    world.sandbox.set_app(APP_MODE, key_refused=False)
    if not world.options.is_short:
        _is_back(world, "Dify", refused=world.database.refused_keys)


def _refuse_tokens(world: World) -> None:
    """Chatwoot refuses the administrator's token, then the bot's."""
    for name in ("admin_token_refused", "bot_token_refused"):
        say(f"   {name.replace('_', ' ')}")
        customers = world.crowd.come(10)
        for customer in customers[:3]:
            lost = Case("", fault={"kind": "drop_after"}, path=POSTS)
            _order(world, lost, customer=customer)
        world.sandbox.set(**{name: True})
        world.crowd.all_say(customers)
        time.sleep(10.0)
        world.sandbox.set(**{name: False})
        _is_back(world, "Chatwoot", refused=world.database.refused_tokens)
        world.recover(patience_s=RECOVERY_PATIENCE_S)


def _is_back(world: World, service: str, *, refused: Callable[[], int]) -> None:
    """The bridge finds out by itself that it is welcome again, and answers."""
    began = time.monotonic()
    if not world.wait_for(lambda: refused() == 0, patience_s=PROBE_PATIENCE_S):
        raise RuntimeError(f"{service} is not used again after {PROBE_PATIENCE_S} s")
    after_s = time.monotonic() - began
    world.remarks.append(f"{service} was used again {after_s:.0f} s after it refused")
    (customer,) = world.crowd.come(1)
    token = world.crowd.say(customer)
    world.recover(patience_s=RECOVERY_PATIENCE_S)
    if world.judge().fates[token] is not Fate.ANSWERED:
        raise RuntimeError(f"{service} is back, but a customer was not answered")
