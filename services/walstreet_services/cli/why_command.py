"""Owns `walstreet why`: one decision record printed in full, from the inputs to the verdict."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from walstreet.runtime.errors import EXIT_OK, UsageError
from walstreet_events import NANOS_PER_SECOND, Decision, OrderFilled, OrderIntent, OrderRefused, OrderUpdated, decode
from walstreet_events.decision import Column, Verdict
from walstreet_events.order import IntentBlock
from walstreet_services.cli.tapes import EXCHANGE_ZONE, local_time, newest_state, open_tape, read_all
from walstreet_services.cli.why_rotation import find_rotation, intent_of, print_rotation, rotation_record

MEANINGS: dict[Verdict, str] = {
    Verdict.ACCEPTED: "an order was sent for it",
    Verdict.STALE_QUOTE: "its quote was too old, missing or one-sided, or trading was halted",
    Verdict.STALE_BAR: "the bar came too late",
    Verdict.STALE_PRED: "the predictions were too old",
    Verdict.NO_PRED: "no model answered for it",
    Verdict.NO_REF: "a fact is missing that the decision needs (contract, volume, volatility, equity)",
    Verdict.CONF_BLOCK: "the conformal gate: the interval of the expected return does not clear the cost",
    Verdict.CONF_UNCALIBRATED: "the conformal gate has seen too few matured outcomes",
    Verdict.NO_ALPHA: "no horizon has an edge after its cost",
    Verdict.BELOW_THETA: "the edge of the best horizon is below the reserve",
    Verdict.PEAK_RISK: "the price is likely to fall to its lower barrier first",
    Verdict.VALLEY_RISK: "the price is likely to rise to its upper barrier first",
    Verdict.VALLEY_BOUNCE_PREF: "a bounce from a valley is under way",
    Verdict.PEAK_FADE_PREF: "a fade from a peak is under way",
    Verdict.SCALE_OUT_50PCT: "half of the position is taken off: its barrier is near",
    Verdict.TIGHTEN_SL: "the soft stop was hit, or moved closer",
    Verdict.HOLD: "it is held until the horizon of its last signal has passed",
    Verdict.BELOW_MIN: "the change is too small for an order",
    Verdict.CHURN: "too much back and forth within the last seconds",
    Verdict.HYSTERESIS: "turning round needs a clearly stronger signal than the last one",
    Verdict.IN_BAND: "the holding is within the no-trade band around the target",
    Verdict.RISK_GROSS: "the gross limit leaves no room",
    Verdict.RISK_NET: "the net limit leaves no room",
    Verdict.RISK_NAME: "the limit per name leaves no room",
    Verdict.RISK_SECTOR: "the limit per sector leaves no room",
    Verdict.PENDING_ORDER: "an order for it is still at work",
    Verdict.NO_ENTRY_WINDOW: "no entries at this time of the session",
    Verdict.MODE_OBSERVE: "the mode allows reductions only",
    Verdict.MODE_EMERGENCY: "the mode is EMERGENCY",
    Verdict.NOT_RECONCILED: "the books are not reconciled with the broker",
    Verdict.RISK_CLUSTER: "the limit per cluster of correlated names leaves no room",
    Verdict.RISK_VOLATILITY: "the limit on the volatility of the book leaves no room",
    Verdict.NETTED: "strategies wanted opposite sides and traded with each other; no order was needed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("symbol")
    parser.add_argument(
        "time", help="the cycle: YYYY-MM-DDTHH:MM at the exchange (the bar's end), or HH:MM; a rebalance: also its date"
    )
    parser.add_argument("--state", help="state folder of the session (default: the newest under state/)")
    parser.add_argument("--url", help="address of a running NATS server")
    parser.add_argument("--credentials", default="", help="folder with password files, with --url")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=lambda options: asyncio.run(_why(options)))


async def _why(options: argparse.Namespace) -> int:
    state = newest_state() if options.state is None and options.url is None else options.state
    async with open_tape(state=state, url=options.url, credentials_dir=options.credentials) as connection:
        messages, _ = await read_all(connection)
    rotation = find_rotation(messages, options.time)
    if rotation is not None:
        orders = [decode(message.payload) for message in messages if message.subject.startswith("order.")]
        life = _life(orders, intent_of(orders, rotation, options.symbol))
        found = rotation_record(rotation, options.symbol, life)
        if options.json:
            print(json.dumps(found))
        else:
            print_rotation(found)
        return EXIT_OK
    decisions = [decode(message.payload) for message in messages if message.subject == "decision.cycle"]
    decision = _find([item for item in decisions if isinstance(item, Decision)], options.time)
    if options.symbol not in decision.symbols:
        raise UsageError(f"{options.symbol} is not in this decision; it has {', '.join(decision.symbols)}")
    orders = [decode(message.payload) for message in messages if message.subject.startswith("order.")]
    intent = next(
        (
            item
            for block in orders
            if isinstance(block, IntentBlock) and block.decision == decision.id
            for item in block.intents
            if item.symbol == options.symbol
        ),
        None,
    )
    record = _record(decision, options.symbol, intent, _life(orders, intent))
    if options.json:
        print(json.dumps(record))
    else:
        _print(record)
    return EXIT_OK


def _find(decisions: list[Decision], text: str) -> Decision:
    """Return the decision of the minute that ``text`` names.

    Raises:
        UsageError: The text is no time, or there is no decision at it.
    """
    if not decisions:
        raise UsageError("the TAPE holds no decision")
    day = local_time(decisions[0].ts_ns)[:10]
    try:
        moment = datetime.fromisoformat(text if "T" in text or " " in text else f"{day}T{text}")
    except ValueError as error:
        raise UsageError(f"{text!r} is no time; write YYYY-MM-DDTHH:MM at the exchange, or HH:MM") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=EXCHANGE_ZONE)
    wanted_ns = round(moment.timestamp()) * NANOS_PER_SECOND
    for decision in decisions:
        if decision.ts_ns == wanted_ns:
            return decision
    first, last = local_time(decisions[0].ts_ns), local_time(decisions[-1].ts_ns)
    raise UsageError(
        f"there is no decision at {text}; the session's decisions run from {first} to {last}, one a minute"
    )


def _life(orders: list[Any], intent: OrderIntent | None) -> list[str]:
    """Return what became of the intent, in the order of the TAPE."""
    if intent is None:
        return []
    lines: list[str] = []
    for event in orders:
        if getattr(event, "intent", None) != intent.id:
            continue
        if isinstance(event, OrderRefused):
            lines.append(f"{local_time(event.ts_ns)} refused: {event.reason} ({event.detail})")
        elif isinstance(event, OrderFilled):
            shares, price = event.quantity_micro / 1e6, event.price_nano / 1e9
            lines.append(f"{local_time(event.ts_ns)} filled {shares:g} at {price:.4f}")
        elif isinstance(event, OrderUpdated):
            lines.append(f"{local_time(event.ts_ns)} {event.state.value}")
    return lines


def _record(decision: Decision, symbol: str, intent: OrderIntent | None, life: list[str]) -> dict[str, Any]:
    index = decision.symbols.index(symbol)
    verdict = decision.verdicts[index]
    return {
        "symbol": symbol,
        "time": local_time(decision.ts_ns),
        "decision": decision.id,
        "features": decision.features,
        "predictions": decision.predictions,
        "config_hash": decision.config_hash,
        "mode": decision.mode.value,
        "equity_usd": decision.equity_nano / 1e9,
        "verdict": verdict.value,
        "meaning": MEANINGS[verdict],
        "horizons_minutes": list(decision.horizons_minutes),
        "columns": [_column(column, index) for column in decision.columns],
        "intent": None
        if intent is None
        else {
            "id": intent.id,
            "side": intent.side.value,
            "shares": intent.quantity_micro / 1e6,
            "horizon_minutes": intent.horizon_minutes,
            "time_in_force_s": intent.tif_s,
        },
        "life": life,
    }


def _column(column: Column, index: int) -> dict[str, Any]:
    values = column.values.array()
    picked = values[..., index].tolist()
    known = [_known(value) for value in picked] if isinstance(picked, list) else _known(picked)
    return {"name": column.name, "unit": column.unit, "value": known}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _print(record: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"[bold]{record['symbol']}[/] at {record['time']}: [bold]{record['verdict']}[/], {record['meaning']}\n"
        f"mode {record['mode']}, equity ${record['equity_usd']:,.2f}, decision {record['decision']}\n"
        f"parameters {record['config_hash'][:16]}, predictions {record['predictions']}"
    )
    horizons = record["horizons_minutes"]
    by_horizon = Table("number", "unit", *(f"{minutes}m" for minutes in horizons), title="per horizon")
    single = Table("number", "unit", "value", title="per symbol, in the order of the pipeline")
    for column in record["columns"]:
        if isinstance(column["value"], list):
            by_horizon.add_row(column["name"], column["unit"], *map(_text, column["value"]))
        else:
            single.add_row(column["name"], column["unit"], _text(column["value"]))
    console.print(by_horizon)
    console.print(single)
    if record["intent"]:
        intent = record["intent"]
        console.print(
            f"intent {intent['id']}: {intent['side']} {intent['shares']:g} shares for {intent['horizon_minutes']}m, "
            f"in force {intent['time_in_force_s']} s"
        )
    for line in record["life"]:
        console.print(line, markup=False)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
