"""Owns the command line of walstreet: it reads arguments, calls one command, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

import walstreet
from walstreet.adapters.nats import LogError
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE, UsageError

SERVICES = ("gateway", "features", "inference", "arbiter", "execution", "reconciler")
COMMANDS = {
    "up": ("up", "add_arguments", "run the whole stack embedded: log server, simulator, six services"),
    "tape": ("tape_command", "add_arguments", "look at a TAPE: verify, show, dead"),
    "replay": ("replay_command", "add_arguments", "decide a recorded session again and compare"),
    "param": ("param_command", "add_arguments", "change a parameter while a session runs"),
    "adopt": ("adopt_command", "add_arguments", "take over what is not ours in a symbol, so that it trades again"),
    "panic": ("emergency_command", "add_panic", "stop trading, cancel everything, close every position; latched"),
    "resume": (
        "emergency_command",
        "add_resume",
        "end an emergency, with a name and a reason; trading re-enters at OBSERVE",
    ),
    "mode": ("emergency_command", "add_mode", "show the operating mode and any emergency, or ask for another mode"),
    "arm": ("emergency_command", "add_arm", "turn one of the two keys of live trading; the gateway is probed"),
    "disarm": ("emergency_command", "add_disarm", "take the keys of live trading out again"),
    "rearm": ("emergency_command", "add_rearm", "let a throttled symbol and side, or the account, trade again"),
    "why": ("why_command", "add_arguments", "explain one decision: every number and every gate"),
    "checklist": ("checklist_command", "add_arguments", "how often each gate let through, and what the checklist says"),
    "tca": ("tca_command", "add_arguments", "what trading cost: the shortfall split, markouts, tuning, with pictures"),
    "fetch": ("bot_fetch", "add_arguments", "fetch or update the daily bars of the universe, and validate them"),
    "backtest": ("bot", "add_backtest", "simulate the ETF rotation on daily bars: metrics, plots, weights, audit"),
    "walkforward": (
        "bot",
        "add_walkforward",
        "choose parameters on rolling training windows, test them on what follows",
    ),
    "permute": ("bot", "add_permute", "is the best of the grid better than on the same days in another order?"),
    "connect": ("bot_connect", "add_arguments", "reach the broker: version, account, permissions, time difference"),
    "trade": ("bot_trade", "add_arguments", "orders of the daily rotation: --dry-run | --paper | --live"),
    "weights": ("bot", "add_weights", "print the target weights of one day as JSON, with the reasons"),
}
"""Command to the module of this package that owns it, what adds its arguments there, and its help. A module is imported
when its command is named, because an operator in a hurry should not wait for the libraries of all the others."""

PROGRAMS = {
    "sim": ("walstreet_services.ibsim", "the gateway simulator"),
    "bench": ("walstreet_services.cli.bench", "measure against peers"),
    "train-zoo": ("walstreet_services.cli.train_zoo", "train the small model zoo (needs the training extra)"),
    "calibrate": ("walstreet_services.cli.calibrate", "what the models forecast on unseen sessions, for the gate"),
    "bootstrap": ("walstreet_services.cli.bootstrap", "prepare a deployment in containers: prepare, declare"),
    "chaos": (
        "walstreet_services.cli.chaos",
        "kill every process at every named moment, judged by the broker's record",
    ),
    "chaos-rows": ("walstreet_services.cli.chaos_rows", "the broker's known failures, one session for each"),
    "soak": ("walstreet_services.cli.soak", "hours of trading: flat memory, nothing dropped, no break"),
    "exhibit": ("walstreet_services.cli.exhibit", "measure what the decision core promises, with pictures"),
}
"""Commands that are programs of their own, with their own arguments and `--help`."""


def parser(named: str | None = None) -> argparse.ArgumentParser:
    """Return the command line: every command's name and help, and the arguments of the ``named`` one."""
    top = argparse.ArgumentParser(
        prog="walstreet",
        description="A trading stack for Interactive Brokers whose write-ahead log is the system.",
        epilog="Exit codes: 0 all well, 1 an invariant did not hold, 2 bad input (the message says what to change), "
        "130 and 143 ended early by SIGINT and SIGTERM.",
    )
    top.add_argument("--version", action="version", version=f"walstreet {walstreet.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, function, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == named:
            add: Callable[[argparse.ArgumentParser], None] = getattr(
                importlib.import_module(f"walstreet_services.cli.{module}"), function
            )
            add(command)
    for name, (_, text) in PROGRAMS.items():
        commands.add_parser(name, help=text, add_help=False)
    service = commands.add_parser("service", help="run one service (all further arguments are its own)", add_help=False)
    service.add_argument("name", choices=SERVICES)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = next((argument for argument in arguments if not argument.startswith("-")), None)
    if arguments and arguments[0] in PROGRAMS:
        _become(PROGRAMS[arguments[0]][0], arguments[1:])
    if arguments[:1] == ["service"] and len(arguments) > 1 and arguments[1] in SERVICES:
        _become(f"walstreet_services.{arguments[1]}", arguments[2:])
    options = parser(named).parse_args(arguments)
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
