"""Owns `bot trade --dry-run`: the orders of a rebalance made now, and why, without a log and without sending anything.

The same pure functions decide as in the arbiter; what differs is where the facts come from: here they are one reading
of the broker (positions, cash, today's executions). What only the log knows stands at its start: no good-faith
violation, no day trade; and settled cash is the broker's.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from walstreet.adapters.ibkr import BrokerError, IbkrBroker
from walstreet.domain.daily_bars import daily_block, date_of_ns
from walstreet.domain.day_trades import DayTrades
from walstreet.domain.gateway_parameters import SessionPlan
from walstreet.domain.observations import DailyBarsObserved, InstrumentFacts, Observation, SnapshotObserved
from walstreet.domain.rotation_live import decision_event, year_ago
from walstreet.domain.rotation_plan import AccountView, RotationPlan, plan_rotation
from walstreet.domain.settlement import SettlementBook
from walstreet.domain.units import DAY_NS
from walstreet.research.swing_config import SwingConfig
from walstreet.runtime.daily_bars import ask_daily_bars
from walstreet.runtime.errors import UsageError
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    DailyBars,
    Mode,
    RotationDecision,
    derive_id,
    int_block,
    tag_of,
)
from walstreet_services.cli.bot_broker import connected
from walstreet_services.cli.bot_live import lead_seconds, rotation_parameters

REQUEST = "dry-run"


async def preview(options: argparse.Namespace, config: SwingConfig, where: tuple[str, int]) -> dict[str, Any]:
    """Return the rebalance as it would be sent now.

    Raises:
        walstreet.adapters.ibkr.BrokerError: The broker does not answer.
        UsageError: It has no daily bars.
    """
    parameters = rotation_parameters(config)
    seen: list[Observation] = []
    async with connected(options, config, where, seen) as broker:
        now_ns = await broker.server_time_ns()
        instruments = await broker.instruments(config.universe)
        bars = await _bars(broker, config, now_ns)
        snapshot = await broker.snapshot(REQUEST, now_ns)
    if not snapshot.ok:
        raise BrokerError(f"the account cannot be read: {snapshot.detail}")
    record_id = derive_id(bars.id, tag_of(RotationDecision), 0)
    view = _view(snapshot, instruments, bars, record_id)
    plan = plan_rotation(bars, view, parameters)
    record = decision_event(plan, view, bars, parameters, record_id)
    return as_plain(record, plan) | {"schedule": _schedule(config), "sent": False}


async def _bars(broker: IbkrBroker, config: SwingConfig, now_ns: int) -> DailyBars:
    """Return daily bars with today's as their last row; outside of sessions the last complete day stands for it."""
    observed = await ask_daily_bars(
        broker, config.universe, now_ns=now_ns, days=250, adjusted=True, errors=(BrokerError,)
    )
    if observed is None:
        raise BrokerError("the connection was lost while daily bars were asked for")
    today = date_of_ns(now_ns)
    # Only what lies within the day counts as today: the hours of the session are the broker's bars' own.
    plan = SessionPlan(
        session_date=today,
        open_ns=now_ns // DAY_NS * DAY_NS,
        close_ns=(now_ns // DAY_NS + 1) * DAY_NS,
        symbols=tuple(config.universe),
        market="live",
    )
    bars = daily_block(observed, plan, config.universe, days=250)
    return bars if bars.provisional_end_ns else _without_today(bars, observed)


def _without_today(bars: DailyBars, observed: DailyBarsObserved) -> DailyBars:
    if len(bars.dates) < 2:
        raise UsageError("the broker has no daily bars of the universe; check market data permissions and symbols")
    tables = {
        name: int_block(getattr(bars, name).array()[:-1]) for name in DailyBars.__struct_fields__ if "_nano" in name
    }
    dates = bars.dates[:-1]
    changed = {**tables, "dates": dates, "session_date": dates[-1], "provisional_end_ns": observed.ts_ns}
    return msgspec.structs.replace(bars, **changed)


def _view(
    snapshot: SnapshotObserved, instruments: Sequence[InstrumentFacts], bars: DailyBars, record_id: str
) -> AccountView:
    account = snapshot.account
    settled = account.settled_cash_nano if account else None
    sent = {item.perm_id: True for item in snapshot.executions}
    sent |= {item.perm_id: True for item in snapshot.open_orders}
    working: dict[str, int] = {}
    for order in snapshot.open_orders:
        left = order.quantity_micro - order.filled_micro
        working[order.symbol] = working.get(order.symbol, 0) + (left if order.buy else -left)
    date = bars.session_date
    return AccountView(
        session_date=date,
        # The question is what would be done now, so now is in time.
        close_ns=bars.ts_ns + DAY_NS,
        now_ns=bars.ts_ns,
        mode=Mode.LIVE,
        reconciled=True,
        equity_nano=account.net_liquidation_nano if account else None,
        positions_micro={item.symbol: item.quantity_micro for item in snapshot.positions},
        lots_micro={item.symbol: item.lot_micro for item in instruments},
        working_micro=working,
        halted={},
        external={},
        broker_settled_nano=settled,
        book=None if settled is None else SettlementBook(session=date, settled_nano=settled),
        day_trades=DayTrades(session=date),
        orders_today=len(sent),
        rebalance=record_id,
        rebalance_today="",
        year_ago=year_ago(bars.ts_ns),
    )


def _schedule(config: SwingConfig) -> str:
    return f"{lead_seconds(config) // 60} minutes before the close"


def as_plain(record: RotationDecision, plan: RotationPlan | None = None) -> dict[str, Any]:
    """Return a record of a rebalance as plain values for tables and JSON."""
    table = {column.name: column.values.array().tolist() for column in record.columns}
    rows: list[dict[str, Any]] = [
        {
            "symbol": symbol,
            **{name: None if values[index] != values[index] else values[index] for name, values in table.items()},
            "reason": record.reasons[index],
            "verdict": record.verdicts[index],
            "detail": plan.details.get(index, "") if plan else "",
        }
        for index, symbol in enumerate(record.symbols)
    ]
    chosen = [record.symbols.index(symbol) for symbol in record.chosen]
    orders = [
        {
            "side": "BUY" if row["order_shares"] > 0 else "SELL",
            "symbol": row["symbol"],
            "shares": abs(row["order_shares"]),
            "fractional_shares": abs(row["wanted_shares"] - row["held_shares"]),
            "price_usd": row["price_usd"],
            "notional_usd": abs(row["order_shares"]) * row["price_usd"],
        }
        for row in rows
        if row["order_shares"]
    ]
    return {
        "strategy": record.strategy,
        "session": record.session_date,
        "decided": dt.datetime.fromtimestamp(record.ts_ns / 1e9, dt.UTC).isoformat(timespec="seconds"),
        "status": record.status,
        "mode": record.mode.value,
        "equity_usd": record.equity_nano / PRICE_SCALE,
        "settled_usd": record.settled_nano / PRICE_SCALE,
        "committed_usd": record.committed_nano / PRICE_SCALE,
        "orders_before": record.orders_before,
        "day_trades": record.day_trades,
        "good_faith_violations": record.good_faith_violations,
        "exposure": record.exposure,
        "chosen": [rows[index]["symbol"] for index in chosen],
        # Sells first, as they are sent.
        "orders": sorted(orders, key=lambda order: (order["side"] == "BUY", -order["notional_usd"])),
        "symbols": rows,
        "id": record.id,
        "config_hash": record.config_hash,
        "lot_shares": 1_000_000 / QUANTITY_SCALE,
    }
