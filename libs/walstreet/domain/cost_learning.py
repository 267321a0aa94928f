"""Owns what fills teach about costs: a shrunk, clipped average of realised minus modelled slippage per symbol.

One fill is one side of a round trip. Its realised slippage is measured from the mid at the order's arrival; the
modelled one is half of what the cost model charges a round trip before fees. Their difference feeds an exponentially
weighted mean with decay .05 that starts at the first fill. The correction of a round trip is ``sides *
mean * n/(n+50)``, clipped at 5 bps either way, so that few fills say little and no history says much. Fills are the
only teachers; the clock is none. The corrected cost never falls below one half-spread plus the fees of both sides:
better luck than that is not to be counted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.cost import CostInputs, CostParameters, round_trip_impact_bps
from walstreet.domain.units import BPS, FloatArray

SYMBOLS_MAX = 5_000
"""Symbols learned about; a fill of a further one teaches nothing and is counted."""
FILLS_MAX = 1_000_000
"""Where the count of fills stops; the shrinkage has long ended."""


class CostLearningParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast and how far fills move the cost."""

    enabled: bool = True
    decay: float = 0.05
    """Weight of the newest fill."""
    shrink_fills: float = 50.0
    """With this many fills half of the average counts."""
    correction_bps_max: float = 5.0
    """Largest correction of a round trip, either way."""
    observation_bps_max: float = 50.0
    """A single fill's difference is clipped here, so that one bad print does not rule for weeks."""
    sides: float = 2.0
    """Fills of a round trip; 1 takes the documents' correction literally, as if one fill were the round trip."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("cost_learning", "decay", self.decay, 1e-6, 1.0)
        require_between("cost_learning", "shrink_fills", self.shrink_fills, 0.0, 1e6)
        require_between("cost_learning", "correction_bps_max", self.correction_bps_max, 0.0, 100.0)
        require_between("cost_learning", "observation_bps_max", self.observation_bps_max, 0.1, BPS)
        require_between("cost_learning", "sides", self.sides, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlippageRecord:
    """What fills of one symbol have taught."""

    mean_bps: float
    """Average of realised minus modelled slippage of one side."""
    fills: int


@dataclass(slots=True, kw_only=True)
class SlippageMemory:
    """Records per symbol, changed by ``learn`` only."""

    records: dict[str, SlippageRecord] = field(default_factory=dict)
    refused: int = 0
    """Fills that taught nothing: a value was missing, or there was no room for the symbol."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest, symbols sorted."""
        rows = tuple((symbol, record.mean_bps, record.fills) for symbol, record in sorted(self.records.items()))
        return rows, self.refused


def realised_slippage_bps(*, side: int, fill_price: float, arrival_mid: float) -> float:
    """Return ``side * (fill - mid) / mid * 1e4``, positive when it cost something; NaN unless both prices are positive.

    Source: Perold, "The implementation shortfall", Journal of Portfolio Management 14, 1988.

    Args:
        side: +1 for a buy, -1 for a sell.
        fill_price: Price of the fill.
        arrival_mid: Mid when the order was decided, in the same unit.
    """
    assert side in {1, -1}, side
    if not (0.0 < fill_price < float("inf") and 0.0 < arrival_mid < float("inf")):
        return float("nan")
    return side * (fill_price - arrival_mid) / arrival_mid * BPS


def modelled_slippage_bps(inputs: CostInputs, parameters: CostParameters) -> FloatArray:
    """Return (N,) what the model expects one side to cost: half of ``multiplier * (spread + impact)``, without fees."""
    result: FloatArray = (
        0.5 * inputs.session_multiplier * (inputs.spread_bps + round_trip_impact_bps(inputs, parameters))
    )
    return result


def learn(
    memory: SlippageMemory, symbol: str, *, realised_bps: float, modelled_bps: float, parameters: CostLearningParameters
) -> None:
    """Learn from one fill: ``mean += decay * (clip(realised - modelled) - mean)``; a missing value teaches nothing.

    Args:
        memory: Changed in place.
        symbol: Of the fill.
        realised_bps: Of this side, from ``realised_slippage_bps``.
        modelled_bps: Of this side when it was decided, from ``modelled_slippage_bps``.
        parameters: Speed and clip.
    """
    difference = realised_bps - modelled_bps
    record = memory.records.get(symbol)
    if not np.isfinite(difference) or (record is None and len(memory.records) >= SYMBOLS_MAX):
        memory.refused += 1
        return
    clipped = min(max(difference, -parameters.observation_bps_max), parameters.observation_bps_max)
    if record is None:
        memory.records[symbol] = SlippageRecord(mean_bps=clipped, fills=1)
        return
    memory.records[symbol] = SlippageRecord(
        mean_bps=record.mean_bps + parameters.decay * (clipped - record.mean_bps),
        fills=min(record.fills + 1, FILLS_MAX),
    )


def correction_bps(memory: SlippageMemory, symbols: Sequence[str], parameters: CostLearningParameters) -> FloatArray:
    """Return (N,) signed correction of a round trip: ``clip(sides * mean * n/(n+shrink_fills))``; 0 without a fill."""
    values = np.zeros(len(symbols))
    if not parameters.enabled:
        return values
    for index, symbol in enumerate(symbols):
        record = memory.records.get(symbol)
        if record is not None:
            weight = record.fills / (record.fills + parameters.shrink_fills)
            values[index] = parameters.sides * record.mean_bps * weight
    return np.clip(values, -parameters.correction_bps_max, parameters.correction_bps_max)


def cost_floor_bps(spread_bps: FloatArray, price_usd: FloatArray, parameters: CostParameters) -> FloatArray:
    """Return (N,) ``spread/2 + 2*fees``, the least a round trip is taken to cost; NaN without spread or price."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(spread_bps) & (spread_bps >= 0.0) & np.isfinite(price_usd) & (price_usd > 0.0)
    price = np.where(known, price_usd, 1.0)
    fees = 2.0 * (parameters.fee_usd_per_share / price * BPS + parameters.fee_bps)
    return np.where(known, 0.5 * spread_bps + fees, np.nan)


def corrected_cost_bps(cost_bps: FloatArray, correction: FloatArray, floor_bps: FloatArray) -> FloatArray:
    """Return (H, N) ``max(cost + correction, floor)``; NaN where the cost or its floor is missing.

    Args:
        cost_bps: (H, N) round trip of the model.
        correction: (N,) from ``correction_bps``.
        floor_bps: (N,) from ``cost_floor_bps``.
    """
    corrected: FloatArray = np.maximum(cost_bps + correction[None, :], floor_bps[None, :])
    return corrected
