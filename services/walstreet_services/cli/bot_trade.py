"""Owns `bot trade`: the orders of the daily rebalance, printed (--dry-run), to the paper account, or live and armed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from walstreet.adapters.ibkr import BrokerRefusedError
from walstreet.research.swing_config import SwingConfig
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_USAGE
from walstreet_services.cli.bot_arming import how_to_arm, require_account, require_login, require_state
from walstreet_services.cli.bot_broker import BROKER_FAILURES, address
from walstreet_services.cli.bot_live import account_of, add_config_arguments, load_config
from walstreet_services.cli.bot_preview import as_plain, preview
from walstreet_services.cli.bot_session import STATE, STATE_LIVE, RotationSession
from walstreet_services.cli.outcome import as_json

EPILOG = (
    "Without a mode nothing is sent: --dry-run is the default, also beside --paper. Exit codes: 0 done, 1 the broker "
    "cannot be reached, an invariant did not hold or live orders were refused because nobody had armed, 2 bad input or "
    "an account that the mode must not trade."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument("--dry-run", action="store_true", help="print the orders and why; send nothing")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--paper", action="store_true", help="trade the paper account until the close")
    mode.add_argument(
        "--live", action="store_true", help="trade the live account; needs execution.live and two people who arm it"
    )
    parser.add_argument(
        "--state", type=Path, help=f"folder of the log, kept from day to day (default: {STATE}; live: {STATE_LIVE})"
    )
    parser.add_argument("--no-view", action="store_true", help="plain lines instead of the live view")
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    config = load_config(options)
    if options.paper or options.live:
        require_account(options, config)
    if options.dry_run or not (options.paper or options.live):
        return _dry_run(options, config)
    return _trade(options, config)


def _dry_run(options: argparse.Namespace, config: SwingConfig) -> int:
    try:
        with address(options, config) as where:
            content = asyncio.run(preview(options, config, where))
    except BROKER_FAILURES as error:
        print(f"walstreet: no orders: {error}", file=sys.stderr)
        return EXIT_BROKEN
    if options.json:
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
    else:
        show_rebalance(Console(width=None if sys.stdout.isatty() else 170), content)
    return 0


def _trade(options: argparse.Namespace, config: SwingConfig) -> int:
    session = RotationSession(options, config)
    require_state(session.state, account_of(options, config))
    if not options.sim:
        try:
            require_login(options, config)
        except BrokerRefusedError as error:
            mode = "--live" if options.live else "--paper"
            print(f"walstreet: {mode} is refused: {error}", file=sys.stderr)
            return EXIT_BROKEN
        except BROKER_FAILURES as error:
            print(f"walstreet: no session: {error}", file=sys.stderr)
            return EXIT_BROKEN
    if options.live:
        print(how_to_arm(session.state, account_of(options, config)), file=sys.stderr)
    # Tables go to standard error where standard output is for the JSON.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        code = asyncio.run(session.run())
    content: dict[str, Any] = {} if session.record is None else as_plain(session.record)
    if options.json:
        outcome = {} if session.outcome is None else as_json(session.outcome)
        sys.stdout.write(json.dumps({"rebalance": content, "session": outcome}, indent=2) + "\n")
    elif content:
        show_rebalance(Console(width=None if sys.stdout.isatty() else 170), content)
    if session.record is None and code not in {EXIT_BROKEN, EXIT_USAGE}:
        print("walstreet: the session has no rebalance; was it started before the decision's time?", file=sys.stderr)
        return code or EXIT_BROKEN
    if fault := session.arming.fault(session.state):
        print(f"walstreet: {fault}", file=sys.stderr)
        return code or EXIT_BROKEN
    return code


def show_rebalance(console: Console, content: dict[str, Any]) -> None:
    """Print a rebalance: every symbol with its reason, then the orders."""
    table = Table(title=f"{content['strategy']} {content['session']}: {content['status']} (mode {content['mode']})")
    heads = ("symbol", "selection", "score", "target", "held", "shares", "wanted", "order", "price", "verdict")
    for head in heads:
        table.add_column(head, justify="left" if head in {"symbol", "selection", "verdict"} else "right")
    for row in content["symbols"]:
        table.add_row(
            row["symbol"],
            row["reason"],
            _text(row["score"], ".2f"),
            _text(row["weight_target"], ".2%"),
            _text(row["weight_held"], ".2%"),
            _text(row["held_shares"], "g"),
            _text(row["wanted_shares"], ".4f"),
            _text(row["order_shares"], "+g") if row["order_shares"] else "",
            _text(row["price_usd"], ",.2f"),
            row["verdict"] + (f" ({row['detail']})" if row["detail"] else ""),
        )
    console.print(table)
    console.print(
        f"equity ${content['equity_usd']:,.2f}, settled cash free ${content['settled_usd']:,.2f}, committed "
        f"${content['committed_usd']:,.2f}; orders today {content['orders_before']}, day trades "
        f"{content['day_trades']}, good-faith violations {content['good_faith_violations']}",
        highlight=False,
    )
    for order in content["orders"]:
        console.print(
            f"{order['side']} {order['shares']:g} {order['symbol']} at about ${order['price_usd']:,.2f} "
            f"(${order['notional_usd']:,.2f}; {order['fractional_shares']:.4f} in fractions)",
            highlight=False,
        )
    if not content["orders"]:
        console.print("no orders", highlight=False)
    if content.get("sent") is False:
        console.print("dry run: nothing was sent", highlight=False)


def _text(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
