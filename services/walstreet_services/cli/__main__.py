"""Owns the command line of walstreet: it reads arguments, calls one command, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import walstreet
from walstreet.adapters.nats import LogError
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE, UsageError
from walstreet_services.cli import checklist_command, param_command, replay_command, tape_command, up, why_command

SERVICES = ("gateway", "features", "inference", "arbiter", "execution", "reconciler")
MODULES = {
    "sim": "walstreet_services.ibsim",
    "bench": "walstreet_services.cli.bench",
    "train-zoo": "walstreet_services.cli.train_zoo",
    "calibrate": "walstreet_services.cli.calibrate",
    "bootstrap": "walstreet_services.cli.bootstrap",
}
"""Commands that are programs of their own, with their own arguments."""


def parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    top = argparse.ArgumentParser(
        prog="walstreet",
        description="A trading stack for Interactive Brokers whose write-ahead log is the system.",
        epilog="Exit codes: 0 all well, 1 an invariant did not hold, 2 bad input (the message says what to change), "
        "130 and 143 ended early by SIGINT and SIGTERM.",
    )
    top.add_argument("--version", action="version", version=f"walstreet {walstreet.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up.add_arguments(
        commands.add_parser("up", help="run the whole stack embedded: log server, simulator, six services")
    )
    tape_command.add_arguments(commands.add_parser("tape", help="look at a TAPE: verify, show, dead"))
    replay_command.add_arguments(commands.add_parser("replay", help="decide a recorded session again and compare"))
    param_command.add_arguments(commands.add_parser("param", help="change a parameter while a session runs"))
    why_command.add_arguments(commands.add_parser("why", help="explain one decision: every number and every gate"))
    checklist_command.add_arguments(
        commands.add_parser("checklist", help="how often each gate let through, and what the checklist says")
    )
    passed = "all further arguments are the module's own; see --help after the name"
    commands.add_parser("sim", help=f"the gateway simulator ({passed})", add_help=False)
    commands.add_parser("bench", help="measure against peers", add_help=False)
    commands.add_parser("train-zoo", help="train the small model zoo (needs the training extra)", add_help=False)
    commands.add_parser("calibrate", help="what the models forecast on unseen sessions, for the gate", add_help=False)
    commands.add_parser("bootstrap", help="prepare a deployment in containers: prepare, declare", add_help=False)
    service = commands.add_parser("service", help=f"run one service ({passed})", add_help=False)
    service.add_argument("name", choices=SERVICES)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in MODULES:
        _become(MODULES[arguments[0]], arguments[1:])
    if arguments[:1] == ["service"] and len(arguments) > 1 and arguments[1] in SERVICES:
        _become(f"walstreet_services.{arguments[1]}", arguments[2:])
    options = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except UsageError as error:
        print(f"walstreet: {error}", file=sys.stderr)
        return EXIT_USAGE
    except LogError as error:
        print(f"walstreet: {error}", file=sys.stderr)
        return EXIT_BROKEN
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return 130


def _become(module: str, arguments: Sequence[str]) -> None:
    """Replace this process by a module's own program, so that signals reach it directly."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own module, no shell


if __name__ == "__main__":
    sys.exit(main())
