"""Owns the account's decision where several strategies share it: its facts, its record, its intents.

Each strategy's own record, with every number behind its wishes, stands beside it on the TAPE (``StrategyRecord``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from walstreet.domain.arbiter_state import ArbiterState
from walstreet.domain.cycle_inputs import cycle_symbols
from walstreet.domain.strategy_netting import AccountFacts, SymbolTrade
from walstreet.domain.units import FloatArray
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    Column,
    Decision,
    EventId,
    Mode,
    OrderIntent,
    PredictionBlock,
    Side,
    Verdict,
    derive_id,
    float_block,
)

WANTED_COLUMN = "wanted_shares:"
"""Begins the name of the column that holds one strategy's wishes."""
CROSSED_COLUMN = "crossed_shares:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What one cycle of the account is decided on."""

    id: EventId
    """Of its decision."""
    ts_ns: int
    predictions: PredictionBlock
    mode: Mode
    facts: AccountFacts
    own: Mapping[str, Decision]
    """The strategies' own records, by name; a strategy of another kind may have none."""

    def config_hash(self, strategy: str) -> str:
        """Return what a strategy says of its parameters, empty if it has no record."""
        return self.own[strategy].config_hash if strategy in self.own else ""


def account_decision(
    account: ArbiterState, cycle: Cycle, trades: Sequence[SymbolTrade], *, strategies: Sequence[str], config_hash: str
) -> Decision:
    """Return the account's record of a cycle: sums, limits, verdicts, and who wanted what.

    Args:
        account: Its state.
        cycle: What was decided on.
        trades: From ``net_wishes``, of the same facts.
        strategies: All names, in order.
        config_hash: Identifies all parameters in force.
    """
    block = account.joined
    symbols = cycle_symbols(block.symbols if block else cycle.predictions.symbols, account.ledger.held())
    by_symbol = {trade.symbol: trade for trade in trades}
    return Decision(
        id=cycle.id,
        cause=cycle.predictions.id,
        ts_ns=cycle.ts_ns,
        symbols=symbols,
        horizons_minutes=tuple(sorted({minutes for own in cycle.own.values() for minutes in own.horizons_minutes})),
        features=cycle.predictions.features,
        predictions=cycle.predictions.id,
        mode=cycle.mode,
        equity_nano=account.equity_nano or 0,
        verdicts=tuple(_verdict(symbol, by_symbol.get(symbol), cycle.own, strategies) for symbol in symbols),
        columns=_columns(symbols, by_symbol, cycle.facts, strategies),
        config_hash=config_hash,
    )


def _columns(
    symbols: Sequence[str], by_symbol: Mapping[str, SymbolTrade], facts: AccountFacts, strategies: Sequence[str]
) -> tuple[Column, ...]:
    equity = facts.equity_nano / PRICE_SCALE if facts.equity_nano else float("nan")
    price = np.array([facts.mark_nano.get(symbol, 0) / PRICE_SCALE or np.nan for symbol in symbols])
    held = _shares(facts.position_micro, symbols)
    order = _shares({symbol: trade.order_micro for symbol, trade in by_symbol.items()}, symbols)
    wanted = {name: _wanted(by_symbol, symbols, name, crossed=False) for name in strategies}
    crossed = {name: _wanted(by_symbol, symbols, name, crossed=True) for name in strategies}
    total = np.zeros(len(symbols))
    for name in strategies:
        total = total + wanted[name]
    weight = np.where(np.isnan(price), 0.0, price) / equity
    numbers: list[tuple[str, str, FloatArray]] = [
        ("mid_usd", "usd", price),
        ("weight_current", "weight", held * weight),
        ("weight_wanted", "weight", (held + total) * weight),
        ("weight_final", "weight", (held + order) * weight),
        ("quantity_shares", "shares", order),
        *((f"{WANTED_COLUMN}{name}", "shares", wanted[name]) for name in strategies),
        *((f"{CROSSED_COLUMN}{name}", "shares", crossed[name]) for name in strategies),
    ]
    return tuple(Column(name=name, unit=unit, values=float_block(values)) for name, unit, values in numbers)


def _shares(micro: Mapping[str, int], symbols: Sequence[str]) -> FloatArray:
    return np.array([micro.get(symbol, 0) / QUANTITY_SCALE for symbol in symbols])


def _wanted(trades: Mapping[str, SymbolTrade], symbols: Sequence[str], name: str, *, crossed: bool) -> FloatArray:
    micro: dict[str, int] = {}
    for symbol, trade in trades.items():
        for wish, part in zip(trade.wishes, trade.crossed_micro, strict=True):
            if wish.strategy == name:
                micro[symbol] = part if crossed else wish.signed_micro
    return _shares(micro, symbols)


def _verdict(
    symbol: str, trade: SymbolTrade | None, decisions: Mapping[str, Decision], strategies: Sequence[str]
) -> Verdict:
    """Return what became of the symbol at the account; where nobody wanted it, what the first strategy says of it."""
    if trade is not None:
        if trade.order_micro:
            return Verdict.ACCEPTED
        return Verdict(trade.reason) if trade.reason else Verdict.NETTED
    for name in strategies:
        decision = decisions.get(name)
        if decision is not None and symbol in decision.symbols:
            return decision.verdicts[decision.symbols.index(symbol)]
    return Verdict.NO_PRED


def account_facts(account: ArbiterState) -> AccountFacts:
    """Return what the sum of the strategies is judged by; positions are valued at mid, close or last execution."""
    held = account.ledger.held()
    marks = {symbol: account.ledger.mark_nano(symbol) for symbol in held}
    block = account.joined
    if block is not None:
        rows = zip(
            block.symbols,
            block.bid_nano.array().tolist(),
            block.ask_nano.array().tolist(),
            block.close_nano.array().tolist(),
            strict=True,
        )
        for symbol, bid, ask, close in rows:
            price = (bid + ask) // 2 if bid > 0 and ask > 0 else close
            if price > 0:
                marks[symbol] = price
    return AccountFacts(
        equity_nano=account.equity_nano,
        position_micro={symbol: account.ledger.position_micro(symbol) for symbol in held},
        rest_micro=account.working.remaining_micro(),
        blocked={symbol: True for symbol in sorted({*held, *account.instruments}) if symbol in account.external},
        mark_nano=marks,
        sectors={symbol: item.sector for symbol, item in account.instruments.items()},
    )


def account_intent(trade: SymbolTrade, facts: AccountFacts, decision_id: EventId) -> OrderIntent:
    """Return the account's intent: the sum of the parts, worked as its largest part wishes."""
    lead, order = trade.lead.intent, trade.order_micro
    side = Side.BUY if order > 0 else Side.SELL
    held = facts.position_micro.get(trade.symbol, 0)
    equity, mark = facts.equity_nano or 0, facts.mark_nano.get(trade.symbol, 0)
    weight = (held + order) / QUANTITY_SCALE * mark / equity if equity else 0.0
    return msgspec.structs.replace(
        lead,
        id=derive_id(decision_id, f"intent:{trade.symbol}:{side.value}", 0),
        side=side,
        quantity_micro=abs(order),
        reducing=held * order < 0 and abs(order) <= abs(held),
        arrival_mid_nano=trade.price_nano,
        target_weight=weight,
    )
