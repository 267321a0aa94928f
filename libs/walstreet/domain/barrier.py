"""Owns what the barrier models' first-touch probabilities allow: re-basing, the soft gate and the hard entry gates.

``p_peak`` is the probability that the lower barrier is hit first (the price stands at a peak), ``p_valley`` that the
upper one is. Both name directions of the *price*, for the long labels and for the short ones, so the adverse event is
the peak for a long and the valley for a short. The two sets of labels differ in their distances (1.5 sigma for the
profit, 1 sigma for the loss, mirrored in price), hence in their base rates. Every rule therefore works on the re-based
probability ``p* = odds(p) / (odds(p) + odds(base rate))``, which maps the base rate to .5; this is Bayes' rule for
equal priors. That also makes the sides comparable: where one side's probability is absent, the other side's p* of the
same price event stands in for it (documented rule, ``absent: other_side``), and where both are absent p* is a neutral
.5, flagged for the log. A neutral .5 triggers nothing, which the parameters' ranges guarantee.

Nothing here ever scales a weight up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.portable_math import power
from walstreet.domain.units import BoolArray, FloatArray

NEUTRAL = 0.5
"""p* of a probability that equals its base rate, and of an absent one."""
BASE_RATE_MIN = 1e-6
"""A base rate closer to 0 or 1 comes from labels that never or always happen; it counts as absent."""


class BarrierParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds on re-based probabilities."""

    gate_min: float = 0.2
    """Floor of the soft gate before it is normalised; with the defaults the normalised floor is .2/.433 = .462."""
    gamma: float = 1.0
    """Exponent of the adverse event; with both exponents 0 the soft gate is off."""
    delta: float = 0.5
    """Exponent of the favourable event."""
    entry_block: float = 0.60
    """An entry is blocked when the adverse p* exceeds this."""
    preference: float = 0.55
    """A bounce or fade is labelled when the favourable p* exceeds this and the last bar agrees."""
    scale_out: float = 0.65
    """Half of a position is given up when the adverse p* exceeds this."""
    tighten_stop: float = 0.30
    """The soft stop is tightened when the favourable p* falls below this."""
    stop_sigmas: float = 1.0
    """Distance of the soft stop from the last price, in 5-minute volatilities."""
    absent: Literal["other_side", "neutral"] = "other_side"
    """What stands in for one side's absent probability before the neutral .5 does."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges; a neutral .5 may not reach any threshold."""
        require_between("barrier", "gate_min", self.gate_min, 0.0, 1.0)
        require_between("barrier", "gamma", self.gamma, 0.0, 10.0)
        require_between("barrier", "delta", self.delta, 0.0, 10.0)
        for field in ("entry_block", "preference", "scale_out"):
            require_between("barrier", field, getattr(self, field), NEUTRAL, 1.0)
        require_between("barrier", "tighten_stop", self.tighten_stop, 0.0, NEUTRAL)
        require_between("barrier", "stop_sigmas", self.stop_sigmas, 0.1, 20.0)
        # Otherwise a position could be entered and halved on the same probability.
        require_ordered("barrier", ("entry_block", self.entry_block), ("scale_out", self.scale_out))


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierForecast:
    """Calibrated probabilities of one cycle and their base rates in the training labels, (N,) each; NaN is absent.

    Several horizons may have barrier models; the caller passes each symbol's chosen horizon or the nearest one. The
    short labels may be absent as a whole.
    """

    p_peak_long: FloatArray
    p_valley_long: FloatArray
    base_peak_long: FloatArray
    base_valley_long: FloatArray
    p_peak_short: FloatArray | None = None
    p_valley_short: FloatArray | None = None
    base_peak_short: FloatArray | None = None
    base_valley_short: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RebasedBarriers:
    """Probabilities p* that are always known, (N,) each, and how they came about."""

    peak_long: FloatArray
    valley_long: FloatArray
    peak_short: FloatArray
    valley_short: FloatArray
    borrowed_long: BoolArray
    """A p* of the long side stands in from the short labels; for the log."""
    borrowed_short: BoolArray
    neutral_long: BoolArray
    """A p* of the long side is the neutral .5 because nothing is known; for the log."""
    neutral_short: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryGate:
    """What the hard gates say, (N,) each."""

    long_blocked: BoolArray
    """No long may be opened or enlarged, whatever the models want."""
    short_blocked: BoolArray
    peak_risk: BoolArray
    """The wanted direction is long and blocked."""
    valley_risk: BoolArray
    """The wanted direction is short and blocked."""
    valley_bounce_pref: BoolArray
    """Label, not a permission: a long is wanted near a valley from which the price has begun to rise."""
    peak_fade_pref: BoolArray
    """Label, not a permission: a short is wanted near a peak from which the price has begun to fall."""


def rebased(probability: FloatArray, base_rate: FloatArray) -> FloatArray:
    """Return (N,) p*; NaN where the probability or its base rate is absent or out of range.

    ``p* = odds(p) / (odds(p) + odds(b)) = p(1-b) / (p(1-b) + b(1-p))``, unitless; the second form has no infinities.
    Source: Bayes' rule in odds form (prior correction; King and Zeng, Political Analysis 9, 2001, section 4.1).
    """
    with np.errstate(invalid="ignore"):
        known = (probability >= 0.0) & (probability <= 1.0)
        known &= (base_rate >= BASE_RATE_MIN) & (base_rate <= 1.0 - BASE_RATE_MIN)
    p, base = np.where(known, probability, NEUTRAL), np.where(known, base_rate, NEUTRAL)
    up, down = p * (1.0 - base), base * (1.0 - p)
    return np.where(known, up / (up + down), np.nan)


def _rebased_or_absent(probability: FloatArray | None, base_rate: FloatArray | None, count: int) -> FloatArray:
    if probability is None or base_rate is None:
        return np.full(count, np.nan)
    return rebased(probability, base_rate)


def _filled(own: FloatArray, other: FloatArray, *, borrow: bool) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return values without a gap, where they are the other side's, and where they are neutral."""
    absent = np.isnan(own)
    borrowed = absent & ~np.isnan(other) if borrow else np.zeros(len(own), dtype=np.bool_)
    neutral = absent & ~borrowed
    return np.where(borrowed, other, np.where(neutral, NEUTRAL, own)), borrowed, neutral


def rebase_forecast(forecast: BarrierForecast, parameters: BarrierParameters) -> RebasedBarriers:
    """Return p* of both events for both sides, absent ones replaced and flagged."""
    count, borrow = len(forecast.p_peak_long), parameters.absent == "other_side"
    peak_long = _rebased_or_absent(forecast.p_peak_long, forecast.base_peak_long, count)
    valley_long = _rebased_or_absent(forecast.p_valley_long, forecast.base_valley_long, count)
    peak_short = _rebased_or_absent(forecast.p_peak_short, forecast.base_peak_short, count)
    valley_short = _rebased_or_absent(forecast.p_valley_short, forecast.base_valley_short, count)
    filled_peak_long = _filled(peak_long, peak_short, borrow=borrow)
    filled_valley_long = _filled(valley_long, valley_short, borrow=borrow)
    filled_peak_short = _filled(peak_short, peak_long, borrow=borrow)
    filled_valley_short = _filled(valley_short, valley_long, borrow=borrow)
    return RebasedBarriers(
        peak_long=filled_peak_long[0],
        valley_long=filled_valley_long[0],
        peak_short=filled_peak_short[0],
        valley_short=filled_valley_short[0],
        borrowed_long=filled_peak_long[1] | filled_valley_long[1],
        borrowed_short=filled_peak_short[1] | filled_valley_short[1],
        neutral_long=filled_peak_long[2] | filled_valley_long[2],
        neutral_short=filled_peak_short[2] | filled_valley_short[2],
    )


def _power(values: FloatArray, exponent: float) -> FloatArray:
    """Return ``values ** exponent``; the exponents that need no logarithm are exact and fast."""
    if exponent == 0.0:
        return np.ones_like(values)
    if exponent == 0.5:
        root: FloatArray = np.sqrt(values)
        return root
    return values if exponent == 1.0 else power(values, exponent)


def _side_gate(adverse: FloatArray, favourable: FloatArray, parameters: BarrierParameters) -> FloatArray:
    """Return ``min(1, G(adverse, favourable) / G(.5, .5))`` with the floored product G."""

    def floored(against: FloatArray, towards: FloatArray) -> FloatArray:
        product = _power(1.0 - against, parameters.gamma) * _power(0.5 + 0.5 * towards, parameters.delta)
        floor: FloatArray = np.maximum(parameters.gate_min, product)
        return floor

    neutral = np.array([NEUTRAL])
    gate: FloatArray = np.minimum(1.0, floored(adverse, favourable) / floored(neutral, neutral))
    return gate


def soft_gate(weights: FloatArray, barriers: RebasedBarriers, parameters: BarrierParameters) -> FloatArray:
    """Return (N,) the unitless factor in (0, 1] of each final weight's own side; 1 where there is no weight.

    Long: ``g = min(1, G(p_peak*, p_valley*) / G(.5, .5))`` with ``G(a, f) = max(gate_min, (1-a)^gamma *
    (.5+.5f)^delta)``; short: the same with ``G(p_valley*, p_peak*)`` of the short labels. Source: document 003,
    section 3 (``BarrierGate``), normalised as the project's behaviour document says.
    """
    long_gate = _side_gate(barriers.peak_long, barriers.valley_long, parameters)
    short_gate = _side_gate(barriers.valley_short, barriers.peak_short, parameters)
    with np.errstate(invalid="ignore"):
        return np.where(weights > 0.0, long_gate, np.where(weights < 0.0, short_gate, 1.0))


def apply_soft_gate(
    weights: FloatArray, fresh: BoolArray, barriers: RebasedBarriers, parameters: BarrierParameters
) -> FloatArray:
    """Return (N,) gated weights.

    Args:
        weights: (N,) final weights, signed.
        fresh: (N,) True where the weight was sized this cycle. A weight that is merely kept must stay out: it was gated
            when it was sized, and a second gate every cycle would melt it away.
        barriers: Probabilities.
        parameters: Shape of the gate.
    """
    return np.where(fresh, weights * soft_gate(weights, barriers, parameters), weights)


def entry_gate(
    direction: FloatArray, last_return_bps: FloatArray, barriers: RebasedBarriers, parameters: BarrierParameters
) -> EntryGate:
    """Return which sides are blocked and which wanted entries that concerns.

    Args:
        direction: (N,) signed wish, of which only the sign counts (alpha, z or weight); NaN or 0 wants nothing.
        last_return_bps: (N,) return of the last finished bar; NaN is neither rising nor falling.
        barriers: Probabilities.
        parameters: Thresholds.
    """
    with np.errstate(invalid="ignore"):
        long, short = direction > 0.0, direction < 0.0
        rising, falling = last_return_bps > 0.0, last_return_bps < 0.0
    long_blocked = barriers.peak_long > parameters.entry_block
    short_blocked = barriers.valley_short > parameters.entry_block
    return EntryGate(
        long_blocked=long_blocked,
        short_blocked=short_blocked,
        peak_risk=long & long_blocked,
        valley_risk=short & short_blocked,
        valley_bounce_pref=long & rising & (barriers.valley_long > parameters.preference),
        peak_fade_pref=short & falling & (barriers.peak_short > parameters.preference),
    )


def without_entries(targets: FloatArray, current: FloatArray, gate: EntryGate) -> FloatArray:
    """Return (N,) targets that open or enlarge nothing on a blocked side; a flip into it ends at 0.

    Args:
        targets: (N,) wanted weights; reductions of what is held pass.
        current: (N,) weights held; NaN (no value known) counts as nothing held, so nothing may be opened.
        gate: Which sides are blocked.
    """
    held = np.where(np.isfinite(current), current, 0.0)
    long_limit, short_limit = np.maximum(held, 0.0), np.minimum(held, 0.0)
    with np.errstate(invalid="ignore"):
        capped = np.where(gate.long_blocked & (targets > long_limit), long_limit, targets)
        return np.where(gate.short_blocked & (targets < short_limit), short_limit, capped)
