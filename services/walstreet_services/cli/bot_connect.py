"""Owns `bot connect`: can the broker be reached, as whom, with which permissions, and is its clock ours?"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from walstreet.adapters.ibkr import BrokerError, IbkrBroker
from walstreet.domain.observations import AccountFacts, FeedObserved, InstrumentFacts, Observation, OrderTicket
from walstreet.research.swing_config import SwingConfig
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK
from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE, derive_id
from walstreet_services.cli.bot_broker import BROKER_FAILURES, address, connected, wall_ns
from walstreet_services.cli.bot_live import account_of, add_config_arguments, load_config
from walstreet_services.cli.tapes import local_time

EPILOG = "Exit codes: 0 connected, 1 no connection or a permission is missing (the message says which), 2 bad input."
PREVIEW_S = 10.0
HISTORY_DAYS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument("--live", action="store_true", help="the live account (ibkr.account_live); nothing is sent")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    config = load_config(options)
    try:
        with address(options, config) as where:
            facts = asyncio.run(_ask(options, config, where))
    except BROKER_FAILURES as error:
        print(f"walstreet: no connection: {error}", file=sys.stderr)
        return EXIT_BROKEN
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        _print(facts)
    return EXIT_OK if facts["ok"] else EXIT_BROKEN


async def _ask(options: argparse.Namespace, config: SwingConfig, where: tuple[str, int]) -> dict[str, Any]:
    seen: list[Observation] = []
    async with connected(options, config, where, seen) as broker:
        server_ns = await broker.server_time_ns()
        difference_s = (server_ns - wall_ns()) / NANOS_PER_SECOND
        permissions = dict(await _permissions(broker, config, server_ns))
        snapshot = await broker.snapshot("connect", server_ns)
        account = snapshot.account
        data = [item for item in seen if isinstance(item, FeedObserved)]
        return {
            "ok": snapshot.ok and all(text == "ok" for text in permissions.values()),
            "host": where[0],
            "port": where[1],
            "client_id": config.ibkr.client_id,
            "library": options.library,
            "server_version": await broker.server_version(),
            "accounts": list(broker.accounts),
            "account": account_of(options, config),
            "broker_time": local_time(server_ns),
            "time_difference_s": round(difference_s, 1),
            "market_mode": config.ibkr.market_mode,
            "farms": {item.farm: item.detail for item in data},
            "permissions": permissions,
            "open_orders": len(snapshot.open_orders),
            "positions": {item.symbol: item.quantity_micro / QUANTITY_SCALE for item in snapshot.positions},
            "summary_usd": _amounts(account),
            "snapshot": snapshot.detail or "ok",
        }


async def _permissions(broker: IbkrBroker, config: SwingConfig, now_ns: int) -> list[tuple[str, str]]:
    """Return what may be done: contracts, history and, by a what-if that places nothing, orders."""
    symbol = config.universe[0]
    try:
        instruments = await broker.instruments(config.universe)
    except BrokerError as error:
        return [("contracts", str(error))]
    found = [("contracts", "ok")]
    price_nano = 0
    try:
        bars = await broker.history(symbol, end_ns=now_ns, days=HISTORY_DAYS, bar_seconds=86_400)
        price_nano = bars[-1].close_nano if bars else 0
        found.append(("history", "ok" if bars else f"no bars of {symbol}"))
    except BrokerError as error:
        found.append(("history", str(error)))
    if price_nano:
        found.append(("orders", await _order_permission(broker, instruments[0], price_nano, now_ns)))
    return found


async def _order_permission(broker: IbkrBroker, instrument: InstrumentFacts, price_nano: int, now_ns: int) -> str:
    tick = instrument.min_tick_nano
    ticket = OrderTicket(
        broker_order_id=broker.next_order_id,
        client_order_id=derive_id("bot-connect", instrument.symbol, 0),
        symbol=instrument.symbol,
        con_id=instrument.con_id,
        buy=True,
        quantity_micro=QUANTITY_SCALE,
        limit_nano=max(tick, price_nano // tick * tick),
        good_till_ns=(now_ns // NANOS_PER_SECOND + 60) * NANOS_PER_SECOND,
    )
    try:
        await broker.preview(ticket, timeout_s=PREVIEW_S)
    except BrokerError as error:
        return f"the what-if of one share of {instrument.symbol} was refused: {error}"
    return "ok"


def _amounts(account: AccountFacts | None) -> dict[str, float | None]:
    if account is None:
        return {}
    amounts = {
        "net_liquidation": account.net_liquidation_nano,
        "cash": account.cash_nano,
        "settled_cash": account.settled_cash_nano,
        "available_funds": account.available_funds_nano,
        "gross_position": account.gross_position_nano,
        "initial_margin": account.initial_margin_nano,
        "maintenance_margin": account.maintenance_margin_nano,
    }
    return {name: None if nano is None else nano / PRICE_SCALE for name, nano in amounts.items()}


def _print(facts: dict[str, Any]) -> None:
    table = Table(title="Broker", show_header=False)
    table.add_row("gateway", f"{facts['host']}:{facts['port']} as client {facts['client_id']}, {facts['library']}")
    table.add_row("server version", str(facts["server_version"]))
    table.add_row("account", f"{facts['account']} of {', '.join(facts['accounts'])}")
    table.add_row("broker's time", f"{facts['broker_time']}, {facts['time_difference_s']:+.1f} s from this machine's")
    table.add_row("market data", facts["market_mode"])
    for name, text in facts["permissions"].items():
        table.add_row(f"permission: {name}", text)
    for name, amount in facts["summary_usd"].items():
        table.add_row(name.replace("_", " "), "unknown" if amount is None else f"${amount:,.2f}")
    held = ", ".join(f"{symbol} {shares:g}" for symbol, shares in sorted(facts["positions"].items())) or "none"
    table.add_row("positions", held)
    table.add_row("open orders", str(facts["open_orders"]))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
