"""Owns the netting of intents: one signed intent per symbol out of those of all horizons and strategies.

Sizes come from the *new* intents of this cycle only and nothing waits; the trailing window serves the churn measure.
An intent that reduces the position, and the part of a crossing intent that brings the position to flat, always passes.
What opens or enlarges a position must pass three tests, in this order:

- ``below_min``: ``|opening part| >= net_usd_min``;
- ``churn``: ``1 - |net| / sum|intent| <= churn_max`` over the trailing window including this cycle;
- ``hysteresis``: against the direction of the symbol's last opening, ``|alpha| > last |alpha| * (1 + flip_margin) +
  flip_bps``.

An opening without an alpha is ``missing`` and does not pass.

Only what passed is remembered: a suppressed intent never reached the market. Source: document 001
(``NettingSuppression``), with the numbers of the project's behaviour document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.units import BPS, BoolArray, FloatArray, IntArray
from walstreet_events import NANOS_PER_SECOND, Verdict

SYMBOLS_MAX = 5_000
"""Symbols remembered; more come from a broken universe."""
INTENTS_PER_SYMBOL_MAX = 64
"""Beyond it the two oldest intents of a symbol are merged under the younger one's time, which forgets nothing early."""
TOLERANCE = 1e-9
"""Excess of the churn measure that counts as rounding."""


class NettingParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an opening intent is suppressed."""

    window_s: float = 30.0
    net_usd_min: float = 200.0
    churn_max: float = 0.3
    """1 suppresses nothing."""
    flip_margin: float = 0.05
    """Share by which a flip's alpha must exceed the last one."""
    flip_bps: float = 0.1
    """Added to that share."""
    flip_memory_s: float = 1_800.0
    """For how long the last alpha holds a flip back; after that it says nothing about now."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("netting", "window_s", self.window_s, 0.0, 3_600.0)
        require_between("netting", "net_usd_min", self.net_usd_min, 0.0, 1e6)
        require_between("netting", "churn_max", self.churn_max, 0.0, 1.0)
        require_between("netting", "flip_margin", self.flip_margin, 0.0, 10.0)
        require_between("netting", "flip_bps", self.flip_bps, 0.0, BPS)
        require_between("netting", "flip_memory_s", self.flip_memory_s, 0.0, 86_400.0)


class NettingReason(IntEnum):
    """Why an intent left the netting as it did."""

    NONE = 0
    """Nothing was wanted, or all of it passed."""
    BELOW_MIN = 1
    CHURN = 2
    HYSTERESIS = 3
    MISSING = 4
    """An intent or the position is not a number, and nothing passes; or an opening's alpha, and it does not open."""


NETTING_VERDICTS: dict[NettingReason, Verdict] = {
    NettingReason.BELOW_MIN: Verdict.BELOW_MIN,
    NettingReason.CHURN: Verdict.CHURN,
    NettingReason.HYSTERESIS: Verdict.HYSTERESIS,
    NettingReason.MISSING: Verdict.NO_REF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRecord:
    """One netted intent that passed."""

    ts_ns: int
    net_usd: float
    gross_usd: float
    """Sum of the absolute intents behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolIntents:
    """What netting remembers about one symbol."""

    recent: tuple[IntentRecord, ...] = ()
    """In order of arrival."""
    direction: int = 0
    """Of the last opening intent; 0 without one."""
    alpha_bps: float = 0.0
    """Its absolute alpha."""
    opened_ns: int = 0

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        recent = tuple((item.ts_ns, item.net_usd, item.gross_usd) for item in self.recent)
        return recent, self.direction, self.alpha_bps, self.opened_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class NettingMemory:
    """Recent intents per symbol; a value, replaced as a whole."""

    symbols: dict[str, SymbolIntents] = field(default_factory=dict)

    def canonical(self) -> tuple[tuple[str, tuple[object, ...]], ...]:
        """Return the content for a digest, sorted by symbol."""
        return tuple((symbol, self.symbols[symbol].canonical()) for symbol in sorted(self.symbols))


@dataclass(frozen=True, slots=True, kw_only=True)
class Netting:
    """Outcome of one cycle, (N,) each."""

    net_usd: FloatArray
    allowed_usd: FloatArray
    """Signed; the net, its reducing part, or 0."""
    opening_usd: FloatArray
    """Part of ``allowed_usd`` that opens or enlarges a position."""
    gross_usd: FloatArray
    """Turnover to remember: ``|allowed|`` plus what cancelled out among this cycle's intents; 0 if nothing passed."""
    churn: FloatArray
    """Over the window including this cycle, 0 to 1; NaN where an intent is missing."""
    reason: IntArray
    """``NettingReason`` of what was suppressed."""


def _starts(now_ns: int, parameters: NettingParameters) -> tuple[int, int]:
    """Return after which times intents and openings count; an age equal to its limit no longer does."""
    window_ns = int(parameters.window_s * NANOS_PER_SECOND)
    return now_ns - window_ns, now_ns - int(parameters.flip_memory_s * NANOS_PER_SECOND)


def _window(
    memory: NettingMemory, symbols: Sequence[str], now_ns: int, parameters: NettingParameters
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return (N,) net and gross of the window, and direction and absolute alpha of the last opening in force."""
    count = len(symbols)
    start_ns, flip_start_ns = _starts(now_ns, parameters)
    net, gross, direction, alpha = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count)
    for index, symbol in enumerate(symbols):
        known = memory.symbols.get(symbol)
        if known is None:
            continue
        symbol_net = symbol_gross = 0.0
        for record in known.recent:
            if record.ts_ns > start_ns:
                symbol_net += record.net_usd
                symbol_gross += record.gross_usd
        net[index], gross[index] = symbol_net, symbol_gross
        if known.opened_ns > flip_start_ns:
            direction[index], alpha[index] = known.direction, known.alpha_bps
    return net, gross, direction, alpha


def _totals(intents_usd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (N,) net and gross of (K, N) intents, added in row order so that the bits are fixed."""
    net, gross = np.zeros(intents_usd.shape[1]), np.zeros(intents_usd.shape[1])
    for row in intents_usd:
        net = net + row
        gross = gross + np.abs(row)
    return net, gross


def net_intents(
    memory: NettingMemory,
    *,
    symbols: Sequence[str],
    intents_usd: FloatArray,
    position_usd: FloatArray,
    alpha_bps: FloatArray,
    now_ns: int,
    parameters: NettingParameters,
) -> Netting:
    """Return what of this cycle's intents may become orders.

    Args:
        memory: Recent intents; those out of the window do not count, whether or not they have been expired.
        symbols: (N,) distinct.
        intents_usd: (K, N) signed changes of notional wanted by K horizons or strategies, 0 for none.
        position_usd: (N,) signed notional held.
        alpha_bps: (N,) alpha behind the net intent.
        now_ns: Event time of the cycle.
        parameters: Thresholds.
    """
    assert intents_usd.shape == (len(intents_usd), len(symbols)), intents_usd.shape
    with np.errstate(invalid="ignore", over="ignore"):
        net, gross = _totals(intents_usd)
    missing = ~(np.isfinite(net) & np.isfinite(gross) & np.isfinite(position_usd))
    net, gross = np.where(missing, 0.0, net), np.where(missing, 0.0, gross)
    position = np.where(missing, 0.0, position_usd)
    against = np.sign(net) * np.sign(position) < 0.0
    reducing = np.where(against, np.sign(net) * np.minimum(np.abs(net), np.abs(position)), 0.0)
    opening = net - reducing
    past_net, past_gross, last_direction, last_alpha = _window(memory, symbols, now_ns, parameters)
    turnover = past_gross + gross
    moved = np.abs(past_net + net)
    churn = np.where(turnover > 0.0, 1.0 - moved / np.where(turnover > 0.0, turnover, 1.0), 0.0)
    flips = np.sign(opening) * last_direction < 0.0
    needed = last_alpha * (1.0 + parameters.flip_margin) + parameters.flip_bps
    with np.errstate(invalid="ignore"):
        clears = np.abs(alpha_bps) > needed
    opens = opening != 0.0
    blind = opens & ~np.isfinite(alpha_bps)
    reason = np.zeros(len(symbols), dtype=np.int64)
    for where, code in (
        (missing | blind, NettingReason.MISSING),
        (opens & (np.abs(opening) < parameters.net_usd_min), NettingReason.BELOW_MIN),
        (opens & (churn > parameters.churn_max + TOLERANCE), NettingReason.CHURN),
        (opens & flips & ~clears, NettingReason.HYSTERESIS),
    ):
        reason[(reason == NettingReason.NONE) & where] = code
    suppressed = reason != NettingReason.NONE
    allowed = np.where(suppressed, reducing, net)
    return Netting(
        net_usd=np.where(missing, np.nan, net),
        allowed_usd=allowed,
        opening_usd=np.where(suppressed, 0.0, opening),
        gross_usd=np.where(allowed != 0.0, np.abs(allowed) + (gross - np.abs(net)), 0.0),
        churn=np.where(missing, np.nan, churn),
        reason=reason,
    )


def _with_record(records: tuple[IntentRecord, ...], record: IntentRecord) -> tuple[IntentRecord, ...]:
    if len(records) < INTENTS_PER_SYMBOL_MAX:
        return (*records, record)
    oldest, second = records[0], records[1]
    merged = IntentRecord(
        ts_ns=max(oldest.ts_ns, second.ts_ns),
        net_usd=oldest.net_usd + second.net_usd,
        gross_usd=oldest.gross_usd + second.gross_usd,
    )
    return (merged, *records[2:], record)


def expire(memory: NettingMemory, now_ns: int, parameters: NettingParameters) -> NettingMemory:
    """Return the memory without what no longer counts at ``now_ns``."""
    start_ns, flip_start_ns = _starts(now_ns, parameters)
    kept: dict[str, SymbolIntents] = {}
    for symbol, known in memory.symbols.items():
        recent = tuple(item for item in known.recent if item.ts_ns > start_ns)
        opened = known.direction != 0 and known.opened_ns > flip_start_ns
        if recent or opened:
            kept[symbol] = replace(known, recent=recent) if opened else SymbolIntents(recent=recent)
    return NettingMemory(symbols=kept)


def update(
    memory: NettingMemory,
    *,
    symbols: Sequence[str],
    netting: Netting,
    alpha_bps: FloatArray,
    now_ns: int,
    parameters: NettingParameters,
) -> NettingMemory:
    """Return the memory after the orders of a cycle went out, expired at ``now_ns``.

    Args:
        memory: Before the cycle.
        symbols: (N,) of the cycle.
        netting: Its outcome; what did not become an order must be set to 0 by ``without`` before.
        alpha_bps: (N,) as given to ``net_intents``, so finite wherever something opens.
        now_ns: Event time of the cycle.
        parameters: Windows.
    """
    after = expire(memory, now_ns, parameters).symbols
    alphas = np.abs(alpha_bps).tolist()
    allowed, gross, opening = netting.allowed_usd.tolist(), netting.gross_usd.tolist(), netting.opening_usd.tolist()
    for index, symbol in enumerate(symbols):
        if allowed[index] == 0.0:
            continue
        record = IntentRecord(ts_ns=now_ns, net_usd=allowed[index], gross_usd=gross[index])
        known = after.get(symbol, SymbolIntents())
        known = replace(known, recent=_with_record(known.recent, record))
        if opening[index] != 0.0:
            direction = 1 if opening[index] > 0.0 else -1
            known = replace(known, direction=direction, alpha_bps=alphas[index], opened_ns=now_ns)
        after[symbol] = known
    assert len(after) <= SYMBOLS_MAX, f"{len(after)} symbols are remembered, at most {SYMBOLS_MAX} are possible"
    return NettingMemory(symbols=after)


def without(netting: Netting, dropped: BoolArray) -> Netting:
    """Return the outcome after a later step kept the symbols in ``dropped`` from sending an order."""
    return replace(
        netting,
        allowed_usd=np.where(dropped, 0.0, netting.allowed_usd),
        opening_usd=np.where(dropped, 0.0, netting.opening_usd),
        gross_usd=np.where(dropped, 0.0, netting.gross_usd),
    )
