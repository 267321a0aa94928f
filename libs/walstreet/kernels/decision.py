"""Owns the decision of a cycle as kernels: calibrate and blend, cost and arbitration, and all of it with sizes.

``DecisionCycle`` takes its arrays once; afterwards one cycle is one call without arguments or allocations. Results
have the bits of ``walstreet.domain`` (``blend``, ``calibrate``, ``cost`` with square-root impact, ``arbitrate`` with
``winner``, ``size``), and the same bits in NumPy and at every instruction-set level; what is not a number is always
the canonical NaN. Alphas, costs and volatilities are in basis points, weights in shares of equity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, Self

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels import decision_reference as formulas
from walstreet.kernels.compiled import Arrays, Settings, compiled
from walstreet.kernels.decision_oracle import (
    MARKET_NAMES,
    ReferenceCycle,
    reference_calibrate_blend,
    reference_cost_arbitrate,
)
from walstreet.kernels.interface import FloatArray, IntArray, StatusArray

__all__ = [
    "DecisionArrays",
    "DecisionCycle",
    "DecisionSettings",
    "calibrate_blend",
    "cost_arbitrate",
]

_SIGMA_BASE_MINUTES: Final = 5

SizeMethod = Literal["auto", "proportional", "vol_target"]
_METHOD_NUMBERS: Final[dict[SizeMethod, float]] = {
    "auto": formulas.AUTOMATIC,
    "proportional": formulas.PROPORTIONAL,
    "vol_target": formulas.VOLATILITY_TARGET,
}

# Name, lowest and highest value of every number that the kernels take, as the native module checks them.
_SETTING_BOUNDS: Final = (
    ("impact_coefficient", 0.0, 1e6),
    ("fee_usd_per_share", 0.0, 1e6),
    ("fee_bps", 0.0, 1e6),
    ("best_share", 0.5, 1.0),
    ("reserve_spread_share", 0.0, 1e6),
    ("reserve_bps", 0.0, 1e6),
    ("z_max", 0.1, 1e3),
    ("names_min_proportional", 1.0, 1e6),
    ("volatility_day_bps_target", 1.0, 1e6),
    ("weight_abs_max", 0.0, 1e6),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSettings:
    """Parameters of cost, arbitration and sizing; names and defaults are those of ``walstreet.domain``.

    Attributes:
        impact_coefficient: Y of the square-root law.
        fee_usd_per_share: commission of one side.
        fee_bps: exchange and regulatory fees of one side.
        best_share: share of the best horizon against its neighbours.
        reserve_spread_share: part of the spread that a trade must leave as edge.
        reserve_bps: what it must leave besides.
        size_method: how the book is sized.
        z_max: bound of |z|.
        names_min_proportional: from this many names on ``auto`` sizes proportionally.
        volatility_day_bps_target: daily volatility of the book under ``vol_target``.
        weight_abs_max: the name cap, applied last; nothing is scaled up again.
    """

    impact_coefficient: float = 1.0
    fee_usd_per_share: float = 0.005
    fee_bps: float = 0.2
    best_share: float = 0.7
    reserve_spread_share: float = 0.5
    reserve_bps: float = 2.0
    size_method: SizeMethod = "auto"
    z_max: float = 3.0
    names_min_proportional: int = 10
    volatility_day_bps_target: float = 60.0
    weight_abs_max: float = 0.05

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.size_method not in _METHOD_NUMBERS:
            raise ValueError(f"size_method: value is {self.size_method!r}, must be one of {tuple(_METHOD_NUMBERS)}")
        for name, lowest, highest in _SETTING_BOUNDS:
            checks.require_between(name, getattr(self, name), lowest, highest)

    def numbers(self) -> Settings:
        """Return the settings as the kernels take them."""
        numbers = {name: float(getattr(self, name)) for name, _, _ in _SETTING_BOUNDS}
        return numbers | {"size_method": _METHOD_NUMBERS[self.size_method]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecisionArrays:
    """Inputs and results of one cycle; write into the inputs, run, read the results.

    Inputs: NaN means unknown, and a symbol with an unknown input is not traded.

    Attributes:
        scores: ``(models, symbols)`` forecasts of r/sigma_h.
        horizon_of_model: ``(models,)`` int64 row of each model's horizon; copied when the cycle is made.
        slopes: ``(models,)`` calibration slopes; not positive means no prediction.
        weights: ``(models,)`` blend weights, each at least 0.
        horizon_scales: ``(horizons,)`` sigma_h over sigma_5m, horizons ascending.
        fresh: ``(horizons,)`` uint8, whether predictions are young enough to act on.
        spread_bps: ``(symbols,)`` as the next five.
        sigma_5m_bps: volatility of five minutes.
        sigma_day_bps: volatility of a day.
        price_usd: price of a share.
        daily_volume_shares: average daily volume.
        order_usd: notional whose trade is priced.
        tradable: ``(symbols,)`` uint8, whether the symbol may be traded at all.
        controls: ``(2,)`` session multiplier of spread and impact; gross budget of the book.
        blended_bps: result ``(horizons, symbols)``; NaN without a prediction.
        weight_present: result ``(horizons, symbols)`` weight of the models that answered.
        cost_bps: result ``(symbols,)`` round trip, the same for every horizon.
        net_bps: result ``(horizons, symbols)`` signed net edge.
        reserve_bps: result ``(symbols,)`` as the next five.
        best: int64 row of the chosen horizon, -1 where none has an edge.
        alpha_final_bps: over the chosen horizon.
        z: ``alpha_final / sigma`` of the chosen horizon.
        clears_reserve: uint8, whether the edge is worth a trade.
        weight: wanted weight, 0 where nothing is wanted.
    """

    scores: FloatArray
    horizon_of_model: IntArray
    slopes: FloatArray
    weights: FloatArray
    horizon_scales: FloatArray
    fresh: StatusArray
    spread_bps: FloatArray
    sigma_5m_bps: FloatArray
    sigma_day_bps: FloatArray
    price_usd: FloatArray
    daily_volume_shares: FloatArray
    order_usd: FloatArray
    tradable: StatusArray
    controls: FloatArray
    blended_bps: FloatArray
    weight_present: FloatArray
    cost_bps: FloatArray
    net_bps: FloatArray
    reserve_bps: FloatArray
    best: IntArray
    alpha_final_bps: FloatArray
    z: FloatArray
    clears_reserve: StatusArray
    weight: FloatArray

    @classmethod
    def create(cls, *, horizon_of_model: Sequence[int], horizons_minutes: Sequence[int], symbol_count: int) -> Self:
        """Return arrays whose inputs are all unknown: missing numbers, nothing fresh, nothing tradable."""
        models, horizons = len(horizon_of_model), len(horizons_minutes)
        row, plane = (symbol_count,), (horizons, symbol_count)
        return cls(
            scores=np.full((models, symbol_count), np.nan),
            horizon_of_model=np.array(horizon_of_model, dtype=np.int64),
            slopes=np.full(models, np.nan),
            weights=np.zeros(models),
            horizon_scales=np.sqrt(np.array(horizons_minutes, dtype=np.int64) / _SIGMA_BASE_MINUTES),
            fresh=np.zeros(horizons, dtype=np.uint8),
            **{name: np.full(row, np.nan) for name in MARKET_NAMES},
            tradable=np.zeros(row, dtype=np.uint8),
            controls=np.array([np.nan, 0.0]),
            blended_bps=np.full(plane, np.nan),
            weight_present=np.zeros(plane),
            cost_bps=np.full(row, np.nan),
            net_bps=np.full(plane, np.nan),
            reserve_bps=np.full(row, np.nan),
            best=np.full(row, -1, dtype=np.int64),
            alpha_final_bps=np.full(row, np.nan),
            z=np.full(row, np.nan),
            clears_reserve=np.zeros(row, dtype=np.uint8),
            weight=np.zeros(row),
        )

    def named(self) -> Arrays:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class DecisionCycle:
    """Decide cycles over one set of arrays; belongs to one thread.

    Attributes:
        arrays: inputs and results.
        run: decides one cycle: reads the inputs, writes the results, allocates nothing (native). Raises ValueError
            for a weight or a gross budget out of range.
    """

    __slots__ = ("arrays", "run")

    arrays: DecisionArrays
    run: Callable[[], None]

    def __init__(self, arrays: DecisionArrays, settings: DecisionSettings) -> None:
        """Check the arrays and keep them.

        Raises:
            TypeError: not arrays of the stated element types.
            ValueError: wrong shape or strides, shared memory, or a horizon that does not exist.
        """
        self.arrays = arrays
        native = compiled()
        if native is None:
            self.run = ReferenceCycle(arrays.named(), settings.numbers()).run
        else:
            self.run = native.DecisionWorkspace(arrays.named(), settings.numbers()).run


def calibrate_blend(
    scores: FloatArray,
    horizon_of_model: IntArray,
    slopes: FloatArray,
    weights: FloatArray,
    sigma_horizon: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Calibrate scores to bps and blend them per horizon over the models that answered.

    Args:
        scores: ``(models, symbols)`` forecasts of r/sigma_h; NaN where a model did not answer.
        horizon_of_model: ``(models,)`` int64 rows of ``sigma_horizon``.
        slopes: ``(models,)``; not positive means no prediction.
        weights: ``(models,)``, each at least 0.
        sigma_horizon: ``(horizons, symbols)`` in bps.

    Returns:
        Plain mean of the alphas, weighted mean (NaN without a prediction), and the weight of the models that
        answered, ``(horizons, symbols)`` each.

    Raises:
        TypeError: not arrays of the stated element types.
        ValueError: wrong shape or strides, a horizon that does not exist, or a weight out of range.
    """
    shape = np.shape(sigma_horizon)
    raw, blended, present = np.empty(shape), np.empty(shape), np.empty(shape)
    native = compiled()
    call = reference_calibrate_blend if native is None else native.calibrate_blend
    call(scores, horizon_of_model, slopes, weights, sigma_horizon, raw, blended, present)
    return raw, blended, present


def cost_arbitrate(arrays: Arrays, settings: DecisionSettings, session_multiplier: float) -> None:
    """Price a round trip and choose a horizon per symbol.

    Args:
        arrays: by name: the six market facts, ``(symbols,)`` each; ``alpha_bps`` and ``sigma_horizon_bps``,
            ``(horizons, symbols)``; and the results ``cost_bps`` and ``net_bps``, ``(horizons, symbols)``,
            ``reserve_bps``, ``best``, ``alpha_final_bps``, ``z`` and ``clears_reserve``, ``(symbols,)``, all as in
            ``DecisionArrays``.
        settings: cost and arbitration.
        session_multiplier: of spread and impact; NaN makes every cost unknown.

    Raises:
        TypeError: not arrays of the stated element types.
        ValueError: an array is missing, has a wrong shape or strides, or shares memory.
    """
    native = compiled()
    call = reference_cost_arbitrate if native is None else native.cost_arbitrate
    call(arrays, settings.numbers(), session_multiplier)
