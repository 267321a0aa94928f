"""Owns what the arbiter remembers about the book between cycles: correlations, regimes, intents, sweep and slippage.

All of it comes from recorded facts: feature blocks for correlations and regimes, the arbiter's own decision records
for intents and the sweep, fills for slippage. A decision record holds what the next cycle needs of it, so that a
replay asks no gate again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from walstreet.domain import cost_learning, netting, regime
from walstreet.domain.cost_learning import SlippageMemory
from walstreet.domain.covariance import CorrelationEstimate, CovarianceParameters, CovarianceState
from walstreet.domain.decision_record import column_values
from walstreet.domain.learning_parameters import LearningParameters
from walstreet.domain.netting import Netting, NettingMemory, NettingParameters
from walstreet.domain.rebalance import NEVER_SWEPT
from walstreet.domain.regime import RegimeMemory
from walstreet.domain.units import BoolArray, FloatArray, price_usd
from walstreet_events import PRICE_SCALE, BarFlag, Decision, FeatureBlock, IntentBlock, OrderFilled, Side

ARRIVALS_MAX = 4_096
"""Parents whose fills may still teach about slippage; the oldest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What an order met when it was decided."""

    mid_nano: int
    modelled_bps: float
    """Slippage of one side that the cost model expected."""


@dataclass(slots=True, kw_only=True)
class BookMemory:
    """What earlier cycles and fills left behind."""

    covariance: CovarianceState
    correlation: CorrelationEstimate | None = None
    """Made anew with every 5-minute bar."""
    regimes: RegimeMemory = field(default_factory=RegimeMemory)
    switched: tuple[str, ...] = ()
    """Symbols whose regime changed with the newest bar, in the block's order."""
    last_ts_ns: int = 0
    """Newest bar seen; an older one, repaired late, changes nothing."""
    netting: NettingMemory = field(default_factory=NettingMemory)
    swept_close_ns: int = NEVER_SWEPT
    """Close of the session that was swept last."""
    slippage: SlippageMemory = field(default_factory=SlippageMemory)
    modelled: dict[str, float] = field(default_factory=dict)
    """Modelled slippage of the newest decision, bps of one side."""
    arrivals: dict[str, Arrival] = field(default_factory=dict)
    """By intent, oldest first."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return (
            self.covariance.canonical(),
            self.regimes.canonical(),
            (self.switched, self.last_ts_ns, self.swept_close_ns),
            self.netting.canonical(),
            self.slippage.canonical(),
            tuple((symbol, value.hex()) for symbol, value in self.modelled.items()),
            tuple((key, item.mid_nano, item.modelled_bps.hex()) for key, item in self.arrivals.items()),
        )


def initial(parameters: CovarianceParameters) -> BookMemory:
    """Return the memory before the first fact."""
    return BookMemory(covariance=CovarianceState(parameters=parameters))


def observe_block(memory: BookMemory, block: FeatureBlock, parameters: LearningParameters) -> None:
    """Learn correlations and regimes from the newest bar; an older one changes nothing."""
    if block.ts_ns <= memory.last_ts_ns:
        return
    memory.last_ts_ns = block.ts_ns
    traded = (block.flags.array() & int(BarFlag.EMPTY)) == 0
    close = np.where(traded, price_usd(block.close_nano.array()), np.nan)
    if memory.covariance.observe_prices(block.ts_ns, block.symbols, close):
        memory.correlation = memory.covariance.estimate()
    seen = regime.observe(
        memory.regimes,
        symbols=block.symbols,
        sigma_5m_bps=block.sigma_5m_bps.array(),
        parameters=parameters.regime,
    )
    memory.regimes = seen.memory
    memory.switched = tuple(
        symbol for symbol, changed in zip(block.symbols, seen.switched.tolist(), strict=True) if changed
    )


def correlation_of(memory: BookMemory, symbols: tuple[str, ...]) -> FloatArray:
    """Return (N, N) correlation of the symbols, NaN off the diagonal where it is not known."""
    if memory.correlation is not None:
        return memory.correlation.aligned(symbols)
    unknown = np.full((len(symbols), len(symbols)), np.nan)
    np.fill_diagonal(unknown, 1.0)
    return unknown


def switched_of(memory: BookMemory, symbols: tuple[str, ...]) -> BoolArray:
    """Return (N,) whether the regime of a symbol changed with the newest bar."""
    return np.array([symbol in memory.switched for symbol in symbols], dtype=np.bool_)


def turbulent_of(memory: BookMemory, symbols: tuple[str, ...]) -> BoolArray:
    """Return (N,) whether a symbol is in the turbulent regime; one never seen is not."""
    records = memory.regimes.records
    return np.array([symbol in records and records[symbol].turbulent for symbol in symbols], dtype=np.bool_)


def note_decision(memory: BookMemory, decision: Decision, close_ns: int | None, parameters: NettingParameters) -> None:
    """Remember the netted intents that became orders, the sweep, and the slippage that was reckoned with.

    Args:
        memory: Changed in place.
        decision: One of our own, with the columns of this release.
        close_ns: Close of its session; None if none is known, and then nothing was swept.
        parameters: Those in force in that cycle.
    """
    modelled = column_values(decision, "slippage_modelled_bps").tolist()
    memory.modelled = dict(zip(decision.symbols, modelled, strict=True))
    if close_ns is not None and bool(column_values(decision, "sweep").any()):
        memory.swept_close_ns = close_ns
    count = len(decision.symbols)
    sent = Netting(
        net_usd=np.zeros(count),
        allowed_usd=column_values(decision, "netting_sent_usd"),
        opening_usd=column_values(decision, "netting_opening_usd"),
        gross_usd=column_values(decision, "netting_gross_usd"),
        churn=np.zeros(count),
        reason=np.zeros(count, dtype=np.int64),
    )
    memory.netting = netting.update(
        memory.netting,
        symbols=decision.symbols,
        netting=sent,
        alpha_bps=column_values(decision, "alpha_final_bps"),
        now_ns=decision.ts_ns,
        parameters=parameters,
    )


def note_intents(memory: BookMemory, block: IntentBlock) -> None:
    """Remember what the orders of a decision met, until their fills have come."""
    for intent in block.intents:
        memory.arrivals[intent.id] = Arrival(
            mid_nano=intent.arrival_mid_nano, modelled_bps=memory.modelled.get(intent.symbol, float("nan"))
        )
    while len(memory.arrivals) > ARRIVALS_MAX:
        del memory.arrivals[next(iter(memory.arrivals))]


def note_fill(memory: BookMemory, fill: OrderFilled, parameters: LearningParameters) -> None:
    """Learn the slippage of one execution that is new; one that is not ours teaches nothing."""
    arrival = memory.arrivals.get(fill.intent)
    if arrival is None:
        return
    cost_learning.learn(
        memory.slippage,
        fill.symbol,
        realised_bps=cost_learning.realised_slippage_bps(
            side=1 if fill.side is Side.BUY else -1,
            fill_price=fill.price_nano / PRICE_SCALE,
            arrival_mid=arrival.mid_nano / PRICE_SCALE,
        ),
        modelled_bps=arrival.modelled_bps,
        parameters=parameters.slippage,
    )


def sent_part(found: Netting, sent_usd: FloatArray) -> Netting:
    """Return the netting of what really became an order: nothing, the part to flat, or all of it."""
    dropped = sent_usd == 0.0
    only_reducing = ~dropped & (np.abs(sent_usd) < np.abs(found.allowed_usd))
    kept = netting.without(found, dropped)
    return replace(
        kept,
        allowed_usd=np.where(only_reducing, sent_usd, kept.allowed_usd),
        opening_usd=np.where(only_reducing, 0.0, kept.opening_usd),
    )
