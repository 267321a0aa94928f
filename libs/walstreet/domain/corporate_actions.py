"""Owns the dividends and splits that two series of one symbol imply: prices as they were, and adjusted ones.

With ``f = adjusted close / raw close``, the adjustment between two bars is ``g = f[t - 1] / f[t]``. A dividend ``D``
with ex-day t gives ``g = 1 - D / close[t - 1]`` (the convention of CRSP and of the broker's ADJUSTED_LAST), so
``D = close[t - 1] * (1 - g)``. A split of n new shares for m old ones gives ``g = m / n``. Prices come rounded to
cents, and a change of f that rounding alone can make is none. A ``g`` above 1 that is no reverse split is no action:
``daily_checks`` names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import numpy as np

from walstreet.domain.daily_series import DailySeries
from walstreet.domain.units import FloatArray

PRICE_STEP_USD: Final = 0.01
ROUNDINGS: Final = 1.5
"""A change counts as an action beyond so many times of what rounding can make at most."""
FACTOR_FLOOR: Final = 5e-5
"""A smaller change of the factor is noise of the source's own arithmetic."""
SPLIT_CHANGE_MIN: Final = 1.0 / 3.0
"""A smaller change of the price is taken for a dividend: few splits are below 3 for 2, few dividends above a third."""
SPLIT_PARTS_MAX: Final = 50
SPLIT_TOLERANCE: Final = 2e-3
RESTATED_TOLERANCE: Final = 2e-3
"""Stored and freshly fetched prices of the same days may differ by so much without a new scale."""

Kind = Literal["dividend", "split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateAction:
    """One action on its ex-day."""

    day: int
    kind: Kind
    value: float
    """USD a share, or new shares for one old share."""


def corporate_actions(raw: DailySeries, adjusted: DailySeries) -> tuple[CorporateAction, ...]:
    """Return the actions between the days that both series have, oldest first; none for provisional days."""
    before, after = raw.final(), adjusted.final()
    days, at_raw, at_adjusted = np.intersect1d(before.days, after.days, return_indices=True)
    if len(days) < 2:
        return ()
    close, scaled = before.close[at_raw], after.close[at_adjusted]
    factor = scaled / close
    change = factor[:-1] / factor[1:]
    room = _rounding(close, scaled)
    limit = np.maximum(ROUNDINGS * (room[:-1] + room[1:]), FACTOR_FLOOR)
    found = np.flatnonzero(np.abs(change - 1.0) > limit)
    actions = (
        _action(int(days[row + 1]), float(change[row]), float(close[row]), float(limit[row])) for row in found.tolist()
    )
    return tuple(action for action in actions if action.value > 0.0)


def restated_scale(stored: DailySeries, fresh: DailySeries) -> float | None:
    """Return the scale by which a source has restated the same final days since they were stored, or None.

    A source that adjusts raw prices for splits tells all of its past in new shares after one; what is stored is then
    worth nothing and the whole series must be fetched again.
    """
    old, new = stored.final(), fresh
    days, at_old, at_new = np.intersect1d(old.days, new.days, return_indices=True)
    if len(days) == 0:
        return None
    ratio = new.close[at_new] / old.close[at_old]
    scale = float(np.median(ratio))
    rounding = float(np.max(PRICE_STEP_USD / np.minimum(new.close[at_new], old.close[at_old])))
    return scale if abs(scale - 1.0) > max(RESTATED_TOLERANCE, ROUNDINGS * rounding) else None


def split_ratio(change: float, tolerance: float) -> float | None:
    """Return new shares for one old share if the change of price looks like a split, else None."""
    if not math.isfinite(change) or change <= 0.0 or abs(change - 1.0) < SPLIT_CHANGE_MIN - tolerance:
        return None
    ratio = Fraction(1.0 / change).limit_denominator(SPLIT_PARTS_MAX)
    value = ratio.numerator / ratio.denominator
    simple = ratio.denominator <= 4 or ratio.numerator == 1
    near = value > 0.0 and abs(value * change - 1.0) <= max(SPLIT_TOLERANCE, tolerance)
    return value if simple and near else None


def _rounding(close: FloatArray, scaled: FloatArray) -> FloatArray:
    """Return the largest relative error of the factor that half a step in both prices makes."""
    error: FloatArray = PRICE_STEP_USD / 2.0 / close + PRICE_STEP_USD / 2.0 / scaled
    return error


def _action(day: int, change: float, close_before: float, tolerance: float) -> CorporateAction:
    ratio = split_ratio(change, tolerance)
    if ratio is not None:
        return CorporateAction(day=day, kind="split", value=ratio)
    return CorporateAction(day=day, kind="dividend", value=close_before * (1.0 - change))
