"""The one table at the end: for the terminal and for docs/reliability.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.judge import Fate, Judgement

HEADINGS = (
    "scenario",
    "turns",
    "answered",
    "handed over",
    "skipped",
    "given up by Chatwoot",
    "lost answers",
    "double answers",
    "answers over a human",
    "silent turns",
    "crossed in flight",
    "time to recover, median / max",
    "took",
)
# Between these lines of the document the table stands; nothing else is touched.
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


@dataclass(frozen=True)
class Result:
    """What one scenario showed. `broken` is what kept it from being judged."""

    number: int
    title: str
    judgement: Judgement
    recoveries_s: tuple[float, ...] = ()
    duration_s: float = 0.0
    remarks: tuple[str, ...] = field(default_factory=tuple)
    broken: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether all four promises were kept."""
        one = self.judgement
        promises = (one.lost, one.double, one.over_human, one.silent)
        return not self.broken and not any(promises)


def row(result: Result) -> tuple[str, ...]:
    """Return the cells of one scenario."""
    judgement = result.judgement
    if result.broken:
        cells = [f"**{result.broken}**", *[""] * 10]
    else:
        fates = (Fate.ANSWERED, Fate.HANDED_OVER, Fate.SKIPPED, Fate.GIVEN_UP)
        cells = [
            str(len(judgement.fates) or "–"),
            *(str(judgement.count(fate)) for fate in fates),
            *(
                _promise(found)
                for found in (
                    judgement.lost,
                    judgement.double,
                    judgement.over_human,
                    judgement.silent,
                )
            ),
            str(len(judgement.in_flight)),
            recovery(result.recoveries_s),
        ]
    return (
        f"{result.number}. {result.title}",
        *cells,
        f"{result.duration_s:.0f} s",
    )


def recovery(seconds: Sequence[float]) -> str:
    """Return median and maximum, or a dash if nothing had to recover."""
    if not seconds:
        return "–"
    return f"{statistics.median(seconds):.1f} / {max(seconds):.1f} s"


def markdown(results: Sequence[Result], *, caption: str) -> str:
    """Return the table, its caption and what has to be known to read it."""
    lines = [
        caption,
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|{' --- |' * len(HEADINGS)}",
        *(f"| {' | '.join(row(result))} |" for result in results),
    ]
    remarks = [
        f"- {result.number}: {remark}"
        for result in results
        for remark in result.remarks
    ]
    return "\n".join([*lines, *([""] if remarks else []), *remarks, ""])


def write_into(path: Path, text: str) -> None:
    """Replace what stands between the two marks; a new file gets just the table.

    Raises ValueError if the file has no such marks.
    """
    framed = f"{BEGIN}\n\n{text.strip()}\n\n{END}"
    if not path.exists():
        path.write_text(f"{framed}\n")
        return
    before, begin, rest = path.read_text().partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines “{BEGIN}” and “{END}” for the table.")
    path.write_text(f"{before}{framed}{after}")


def _promise(found: Sequence[str]) -> str:
    return f"**{len(found)}**" if found else "0"
