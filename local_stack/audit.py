"""`make check`: does a package that the bridge runs with have a known vulnerability?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from local_stack.data_dir import PROJECT_ROOT

BASE = PROJECT_ROOT / "requirements" / "base.txt"
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
PATIENCE_S = 180


@dataclass(frozen=True)
class Verdict:
    """What the audit found: an exit code and what to say."""

    code: int
    lines: list[str]


def main() -> int:
    packages = with_dependencies(requirements(BASE.read_text()))
    verdict = audit(packages)
    sys.stdout.write("\n".join(verdict.lines) + "\n")
    return verdict.code


def requirements(text: str) -> list[Requirement]:
    """Read a requirements file without options and nested files."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def with_dependencies(wanted: Iterable[Requirement]) -> dict[str, str]:
    """Return name and installed version of these packages and all that they need."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = list(wanted)
    while queue:
        one = queue.pop()
        key = (one.name.lower(), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(one.name)
        except PackageNotFoundError:
            continue  # for another system or Python
        found[installed.metadata["Name"]] = installed.version
        for text in installed.requires or []:
            needed = Requirement(text)
            if _applies(needed, extras=one.extras):
                queue.append(needed)
    return found


def _applies(needed: Requirement, *, extras: set[str]) -> bool:
    if needed.marker is None:
        return True
    return any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def audit(packages: dict[str, str]) -> Verdict:
    """Ask the package index about each of these versions."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(f"{name}=={packages[name]}\n" for name in sorted(packages))
        listed.flush()
        command = [str(PIP_AUDIT), "--requirement", listed.name, "--no-deps"]
        command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
        try:
            ended = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            return verdict("", f"no answer in {PATIENCE_S} s")
    return verdict(ended.stdout, ended.stderr)


def verdict(report: str, complaints: str) -> Verdict:
    """Judge pip-audit's report; one that could not be made is no failure.

    A machine without a network, or with an index that has no such data, must be able
    to run the other checks. It says so, in a line that cannot be overlooked.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        cause = (complaints.strip().splitlines() or ["no report"])[-1]
        return Verdict(0, [f"SKIPPED: the package index cannot be asked ({cause})."])
    known = [one for one in packages if "skip_reason" not in one]
    bad = [f"  {line}" for one in known for line in _vulnerabilities(one)]
    if bad:
        return Verdict(1, ["Known vulnerabilities, raise these versions:", *bad])
    if not known:
        return Verdict(
            0,
            [
                "SKIPPED: the package index of this machine has no data about "
                f"vulnerabilities; {len(packages)} packages were not looked up."
            ],
        )
    lines = [f"Packages without a known vulnerability: {len(known)}."]
    unknown = [str(one["name"]) for one in packages if "skip_reason" in one]
    if unknown:
        lines.append(f"SKIPPED, the index does not know: {', '.join(unknown)}")
    return Verdict(0, lines)


def _vulnerabilities(package: dict[str, Any]) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"fixed in {', '.join(found['fix_versions']) or 'no version yet'}"
        for found in package.get("vulns", [])
    ]


if __name__ == "__main__":
    sys.exit(main())
