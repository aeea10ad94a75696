"""`python -m chaos`: break the running system in every scenario, print one table."""

from __future__ import annotations

import argparse
import os
import platform
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from chaos import setup
from chaos.customers import Crowd
from chaos.database import Database
from chaos.judge import Judgement
from chaos.sandbox_client import Sandbox
from chaos.scenarios import SCENARIOS
from chaos.stack import Stack
from chaos.table import Result, markdown, write_into
from chaos.world import Options, World, say
from local_stack.testing import running_stack

SHOWN_FINDINGS = 20


def main() -> int:
    """Run what was asked for; 0 only if every promise was kept."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _as_interrupt)
    say(f"seed {arguments.seed}")
    options = Options(
        is_short=arguments.short,
        chance=random.Random(arguments.seed),
        turns=arguments.turns,
    )
    began = time.monotonic()
    try:
        with _data_folder(arguments.data) as folder:
            results = _run(folder, numbers=arguments.only, options=options)
    except KeyboardInterrupt:
        say("stopped; everything that was started has ended")
        return 130
    text = markdown(
        results,
        caption=_caption(
            options, seed=arguments.seed, duration_s=time.monotonic() - began
        ),
    )
    sys.stdout.write(f"\n{text}\n")
    if arguments.out is not None:
        write_into(arguments.out, text)
    return 0 if all(result.is_kept for result in results) else 1


def _run(folder: Path, *, numbers: Sequence[int], options: Options) -> list[Result]:
    say("starting the stack")
    results = []
    with running_stack(folder, env=setup.environment()) as running:
        stack = Stack(running)
        say(f"the stack is up; its logs are in {stack.logs}")
        for number in numbers:
            world = World(
                stack=stack,
                sandbox=Sandbox(stack.sandbox_url),
                database=Database(stack.database_url),
                options=options,
                crowd=Crowd(Sandbox(stack.sandbox_url)),
            )
            result = _scenario(number, world=world)
            results.append(result)
            _report(result)
    return results


def _scenario(number: int, *, world: World) -> Result:
    """Run and judge one scenario; what went wrong with it is part of the result."""
    scenario = SCENARIOS[number]
    say(f"{number}. {scenario.title}")
    began = time.monotonic()
    judgement, broken = Judgement(), ""
    try:
        world.calm_down()
        names = world.sandbox.bot_names()
        world.rules = replace(world.rules, bot_names=names)
        scenario.run(world)
        judgement = world.judge()
    except Exception as err:
        broken = f"{type(err).__name__}: {err}"
    return Result(
        number=number,
        title=scenario.title,
        judgement=judgement,
        recoveries_s=tuple(world.recoveries_s),
        duration_s=time.monotonic() - began,
        remarks=tuple(world.remarks),
        broken=broken,
    )


def _report(result: Result) -> None:
    """Say at once what was found; the table comes at the end."""
    judgement = result.judgement
    say(f"   {'kept' if result.is_kept else 'BROKEN'} after {result.duration_s:.0f} s")
    for remark in result.remarks:
        say(f"   {remark}")
    if result.broken:
        say(f"   {result.broken}")
    for name, found in (
        ("lost", judgement.lost),
        ("double", judgement.double),
        ("over a human", judgement.over_human),
        ("silent", judgement.silent),
    ):
        for text in found[:SHOWN_FINDINGS]:
            say(f"   {name}: {text}")
        if len(found) > SHOWN_FINDINGS:
            say(f"   {name}: … and {len(found) - SHOWN_FINDINGS} more")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="the form for CI, under five minutes"
    )
    parser.add_argument(
        "--only",
        type=_numbers,
        default=sorted(SCENARIOS),
        metavar="1,5",
        help="only these scenarios",
    )
    parser.add_argument("--turns", type=int, help="how many turns scenario 1 has")
    parser.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(1_000_000),
        help="of the dice that choose moments; printed at the start",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write the table into that document, between its marks",
    )
    parser.add_argument(
        "--data", type=Path, help="keep data and logs there, to look at afterwards"
    )
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if unknown := set(numbers) - set(SCENARIOS):
        raise argparse.ArgumentTypeError(f"there is no scenario {unknown.pop()}")
    return numbers


@contextmanager
def _data_folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        # PostgreSQL runs as another user if we are root.
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


def _caption(options: Options, *, seed: int, duration_s: float) -> str:
    form = "short form" if options.is_short else "full form"
    return (
        f"{time.strftime('%d %B %Y', time.gmtime())}, {form}, seed {seed}, "
        f"{os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}; {duration_s / 60:.1f} minutes in all."
    )


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
