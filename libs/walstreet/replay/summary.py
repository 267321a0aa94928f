"""Owns the summary of a session from its TAPE: counts, verdicts, orders, P&L, hashes, latency, gates, checklist."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain.gate_rates import GateRate
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.domain.signing import unsealed
from walstreet.replay.checklist_log import ChecklistLog
from walstreet.replay.gate_series import GateSeries
from walstreet.replay.tca_log import TcaLog
from walstreet.replay.watch import SessionWatch
from walstreet.runtime.loop_ports import Message
from walstreet_events import (
    AccountValues,
    AnyEvent,
    BarBlock,
    BarCheck,
    Decision,
    EventDecodeError,
    FeatureBlock,
    IntentBlock,
    LedgerCorrection,
    ModeState,
    OrderCommission,
    OrderFilled,
    OrderRefused,
    OrderSubmitting,
    PredictionBlock,
    ReconBreak,
    ReconReport,
    SessionRef,
    Side,
    decode,
    encode,
    tag_of,
)
from walstreet_events import headers as names
from walstreet_events.market import BarFlag

HASH_GROUPS: dict[str, tuple[str, ...]] = {
    "decisions": ("decision.v1", "mode_state.v1"),
    "orders": (
        "intent_block.v1",
        "order_submitting.v1",
        "order_refused.v1",
        "order_cancelling.v1",
        "order_updated.v1",
    ),
    "fills": ("order_filled.v1", "order_commission.v1"),
}
"""Payloads in per-subject order enter the hash of their group; headers and stream order do not."""

HOPS: dict[type, str] = {
    FeatureBlock: "bar_to_features",
    PredictionBlock: "bar_to_predictions",
    Decision: "bar_to_decision",
    IntentBlock: "bar_to_intent",
    # Written by execution when the fsynced intent has reached it and passed the guards.
    OrderSubmitting: "bar_to_order",
}
"""Latency is measured to these events of a cycle, in the order of the flow."""


@dataclass(slots=True)
class Series:
    """What the report draws: one value per cycle."""

    ts_ns: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    gross: list[float] = field(default_factory=list)
    net: list[float] = field(default_factory=list)
    gates: GateSeries = field(default_factory=GateSeries)


@dataclass(slots=True)
class Summary:
    """Everything that the end of a session shows."""

    session_date: str = ""
    market: str = ""
    symbols: tuple[str, ...] = ()
    messages: int = 0
    undecodable: int = 0
    types: Counter[str] = field(default_factory=Counter)
    bars: int = 0
    bars_expected: int = 0
    bars_empty: Counter[str] = field(default_factory=Counter)
    bars_by_symbol: Counter[str] = field(default_factory=Counter)
    warmup_blocks: int = 0
    bar_mismatches: int = 0
    decisions: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    modes: list[tuple[int, str, str]] = field(default_factory=list)
    intents: int = 0
    orders_sent: int = 0
    orders_refused: Counter[str] = field(default_factory=Counter)
    order_states: Counter[str] = field(default_factory=Counter)
    fills: int = 0
    fills_notional: float = 0.0
    commission: float = 0.0
    positions: dict[str, float] = field(default_factory=dict)
    equity_first: float | None = None
    equity_last: float | None = None
    recon_reports: Counter[str] = field(default_factory=Counter)
    recon_breaks: Counter[str] = field(default_factory=Counter)
    hashes: dict[str, str] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    series: Series = field(default_factory=Series)
    gates: dict[str, GateRate] = field(default_factory=dict)
    """How often each gate let a symbol through, over the session."""
    selective_gates: tuple[str, ...] = ()
    """Those that are meant to select."""
    checklist: ChecklistLog = field(default_factory=ChecklistLog)
    costs: TcaLog = field(default_factory=TcaLog)
    """What trading cost."""

    @property
    def equity_change(self) -> float | None:
        """Return the change of net liquidation over the session in USD."""
        if self.equity_first is None or self.equity_last is None:
            return None
        return self.equity_last - self.equity_first


class Summarizer:
    """Folds a TAPE into a summary."""

    def __init__(self, monitor: MonitorParameters | None = None) -> None:
        """Start empty, with the windows and marks of monitoring."""
        self._watch = SessionWatch(monitor)
        self.summary = Summary(
            series=Series(gates=self._watch.series),
            selective_gates=self._watch.parameters.selective_gates,
            checklist=self._watch.checklist,
        )
        self._digests: dict[tuple[str, str], hashlib._Hash] = {}
        self._bar_wall: dict[int, int] = {}
        self._intent_bar: dict[str, int] = {}
        self._position_micro: Counter[str] = Counter()
        self._hops: dict[str, list[float]] = defaultdict(list)
        self._states: dict[str, str] = {}

    def take(self, messages: Iterable[Message]) -> None:
        """Fold the next messages; what cannot be decoded is counted, and ``verify`` names it."""
        for message in messages:
            self.summary.messages += 1
            try:
                event = decode(message.payload)
            except EventDecodeError:
                self.summary.undecodable += 1
                continue
            self.summary.types[tag_of(type(event))] += 1
            self._hash(message, event)
            self._count(event)
            self._latency(message, event)
            self._watch.take(message, event)
            self.summary.costs.take((event,))

    def finish(self) -> Summary:
        """Return the summary. Call it once, behind the last message."""
        summary = self.summary
        summary.gates = self._watch.finish().gates
        summary.costs.finish()
        for group in HASH_GROUPS:
            whole = hashlib.sha256()
            for (name, subject), digest in sorted(self._digests.items()):
                if name == group:
                    whole.update(f"{subject}:{digest.hexdigest()}\n".encode())
            summary.hashes[group] = whole.hexdigest()
        summary.latency_ms = {name: percentiles(self._hops[name]) for name in HOPS.values() if name in self._hops}
        summary.order_states = Counter(self._states.values())
        return summary

    def _hash(self, message: Message, event: AnyEvent) -> None:
        tag = tag_of(type(event))
        # Who sent intents, and under which key, belongs to this life and this folder; what was decided does not.
        payload = encode(unsealed(event)) if isinstance(event, IntentBlock) else message.payload
        for group, tags in HASH_GROUPS.items():
            if tag in tags:
                digest = self._digests.setdefault((group, message.subject), hashlib.sha256())
                digest.update(len(payload).to_bytes(8, "little"))
                digest.update(payload)

    def _count(self, event: AnyEvent) -> None:  # noqa: C901, PLR0912 - one flat match over event types reads best
        summary = self.summary
        match event:
            case SessionRef():
                summary.session_date, summary.market, summary.symbols = (
                    event.session_date,
                    event.market,
                    event.symbols,
                )
                summary.bars_expected = (event.close_ns - event.open_ns) // event.bar_ns
            case BarBlock():
                self._count_bars(event)
            case BarCheck():
                summary.bar_mismatches += 1
            case Decision():
                self._count_decision(event)
            case ModeState():
                summary.modes.append((event.ts_ns, event.mode.value, event.reason))
            case IntentBlock():
                summary.intents += len(event.intents)
            case OrderSubmitting():
                summary.orders_sent += 1
                self._states[event.client_order_id] = "submitting"
            case OrderRefused():
                summary.orders_refused[event.reason] += 1
            case OrderFilled():
                self._count_fill(event)
            case OrderCommission():
                summary.commission += event.commission_nano / 1e9
            case AccountValues() if event.net_liquidation_nano is not None:
                equity = event.net_liquidation_nano / 1e9
                summary.equity_first = equity if summary.equity_first is None else summary.equity_first
                summary.equity_last = equity
            case ReconReport():
                summary.recon_reports[event.status] += 1
            case LedgerCorrection() if event.position_change_micro:
                self._position_micro[event.symbol] += event.position_change_micro
                summary.positions[event.symbol] = self._position_micro[event.symbol] / 1e6
            case ReconBreak():
                summary.recon_breaks[event.kind.value] += 1
            case _ if hasattr(event, "client_order_id") and hasattr(event, "state"):
                self._states[event.client_order_id] = event.state.value
            case _:
                pass

    def _count_bars(self, block: BarBlock) -> None:
        summary = self.summary
        if block.warmup:
            summary.warmup_blocks += 1
            return
        summary.bars += 1
        for symbol, flags in zip(block.symbols, block.flags.array().tolist(), strict=True):
            summary.bars_by_symbol[symbol] += 1
            if flags & BarFlag.EMPTY:
                summary.bars_empty[symbol] += 1

    def _count_decision(self, decision: Decision) -> None:
        summary = self.summary
        summary.decisions += 1
        summary.verdicts.update(verdict.value for verdict in decision.verdicts)
        weights = [column for column in decision.columns if column.name == "weight_current"]
        series = summary.series
        series.ts_ns.append(decision.ts_ns)
        series.equity.append(decision.equity_nano / 1e9)
        values = np.nan_to_num(weights[0].values.array()) if weights else np.zeros(1)
        series.gross.append(float(np.abs(values).sum()))
        series.net.append(float(values.sum()))

    def _count_fill(self, fill: OrderFilled) -> None:
        summary = self.summary
        summary.fills += 1
        summary.fills_notional += fill.quantity_micro / 1e6 * fill.price_nano / 1e9
        # Whole micro-shares: sums of fractions would leave a rest where the position is flat.
        self._position_micro[fill.symbol] += fill.quantity_micro if fill.side is Side.BUY else -fill.quantity_micro
        summary.positions[fill.symbol] = self._position_micro[fill.symbol] / 1e6

    def _latency(self, message: Message, event: AnyEvent) -> None:
        """Collect the time from the bar's append to each later append of the same cycle."""
        wall = message.number(names.WALL_NS)
        if not wall:
            return
        if isinstance(event, BarBlock):
            if not event.warmup:
                self._bar_wall[event.ts_ns] = wall
            return
        bar_ns = event.ts_ns
        if isinstance(event, IntentBlock):
            self._intent_bar[event.id] = event.ts_ns
        elif isinstance(event, OrderSubmitting):
            # An order has the time of its placing; its cause leads to the bar. Later slices wait on purpose.
            bar_ns = self._intent_bar.get(event.cause, 0) if event.slice_index == 0 else 0
        start = self._bar_wall.get(bar_ns)
        if start is None:
            return
        hop = HOPS.get(type(event))
        if hop is not None:
            self._hops[hop].append((wall - start) / 1e6)


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p90, p99, max and the number of samples of ``values``."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return {"samples": 0}
    p50, p90, p99 = (float(q) for q in np.percentile(array, [50, 90, 99]))
    return {"p50": p50, "p90": p90, "p99": p99, "max": float(array.max()), "samples": int(array.size)}
