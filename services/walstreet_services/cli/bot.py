"""Owns the research verbs of `bot` on the command line: which there are, what they take, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from walstreet.research.swing_config import CONFIG_FILE
from walstreet.runtime.errors import EXIT_BROKEN
from walstreet_services.cli import bot_backtest, bot_permute, bot_walkforward, bot_weights
from walstreet_services.cli.bot_audit import ParityError
from walstreet_services.cli.bot_inputs import add_common_arguments, add_range_arguments, parse_date

Verb = Callable[[argparse.Namespace], int]

EPILOG = (
    f"Configuration, later on top: config/{CONFIG_FILE}, config/config.local.yaml, the environment (IB_HOST and the "
    "like, BOT__SECTION__KEY), --set. The same data, configuration and seed give the same files, byte for byte, with "
    "any number of threads. Exit codes: 0 done, 1 research and live disagree (a fault of walstreet), 2 bad input (the "
    "message says what to change)."
)


def add_backtest(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bot backtest`."""
    _add_verb(parser, bot_backtest.run)
    add_range_arguments(parser)


def add_walkforward(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bot walkforward`."""
    _add_verb(parser, bot_walkforward.run)
    add_range_arguments(parser)


def add_permute(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bot permute`."""
    _add_verb(parser, bot_permute.run)
    add_range_arguments(parser)
    parser.add_argument("--runs", type=int, help="permutations of each window (permutation.runs)")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bot weights`."""
    _add_verb(parser, bot_weights.run)
    parser.add_argument("--asof", type=parse_date, metavar="YYYY-MM-DD", help="the day (default: the newest bar)")


def _add_verb(parser: argparse.ArgumentParser, verb: Verb) -> None:
    parser.epilog = EPILOG
    add_common_arguments(parser)
    parser.set_defaults(run=_judged(verb))


def _judged(verb: Verb) -> Verb:
    """Return the verb with exit code 1 where the engine and the live decision disagree."""

    def run(options: argparse.Namespace) -> int:
        try:
            return verb(options)
        except ParityError as error:
            print(f"walstreet: {error}", file=sys.stderr)
            return EXIT_BROKEN

    return run
