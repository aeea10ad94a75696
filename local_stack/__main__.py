"""`python -m local_stack`: run everything, or one command with the local servers."""

from __future__ import annotations

import argparse
import sys

from local_stack.command import run_command
from local_stack.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start everything and watch over it")
    execute = commands.add_parser(
        "exec", help="run a command with DATABASE_URL, REDIS_URL and the keys set"
    )
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    arguments = parser.parse_args()
    if arguments.command == "run":
        return run()
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        execute.error("say which command to run")
    return run_command(words)


if __name__ == "__main__":
    sys.exit(main())
