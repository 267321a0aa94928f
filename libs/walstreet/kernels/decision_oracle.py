"""Owns the NumPy stand-ins of the native decision calls: the same checks, in the same words, around the formulas."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels import decision_reference as formulas
from walstreet.kernels.compiled import Arrays, Settings
from walstreet.kernels.interface import MODEL_COUNT_MAX, VALUE_ABS_MAX, FloatArray, IntArray

__all__ = [
    "HORIZON_COUNT_MAX",
    "MARKET_NAMES",
    "ReferenceCycle",
    "reference_calibrate_blend",
    "reference_cost_arbitrate",
]

HORIZON_COUNT_MAX: Final = 16
_SMALLEST: Final = float(np.finfo(np.float64).smallest_normal)
_FLOAT_MAX: Final = float(np.finfo(np.float64).max)
_GROSS_BUDGET_MAX: Final = 1e6
_MULTIPLIER_MAX: Final = 1e6
_CONTROL_COUNT: Final = 2
_WEIGHT_RULE: Final = "must be from 0 to 1e+150; repair the weights before the call"
_SCALE_RULE: Final = "must be positive and finite; it is sigma_h over sigma_5m"
_HORIZON_RULE: Final = "it is a row of the horizons"

MARKET_NAMES: Final = (
    "spread_bps",
    "sigma_5m_bps",
    "sigma_day_bps",
    "price_usd",
    "daily_volume_shares",
    "order_usd",
)
_CHOICE_NAMES: Final = ("reserve_bps", "best", "alpha_final_bps", "z", "clears_reserve")
_ELEMENTS: Final = {
    "best": "int64",
    "horizon_of_model": "int64",
    "fresh": "uint8",
    "tradable": "uint8",
    "clears_reserve": "uint8",
}


class ReferenceCycle:
    """Decide cycles in NumPy: the oracle of the native workspace, with the same checks."""

    __slots__ = ("_arrays", "_horizon_of_model", "_settings")

    def __init__(self, arrays: Arrays, settings: Settings) -> None:
        """Check the arrays and keep them."""
        _require_cycle(arrays)
        self._arrays = arrays
        self._settings = settings
        self._horizon_of_model: IntArray = arrays["horizon_of_model"].astype(np.int64)

    def run(self) -> None:
        """Decide one cycle."""
        arrays, settings = self._arrays, self._settings
        given = {
            name: np.asarray(array, dtype=np.float64) for name, array in arrays.items() if array.dtype == np.float64
        }
        checks.require_range(given["weights"], "weights", 0.0, VALUE_ABS_MAX, _WEIGHT_RULE)
        session_multiplier, gross_budget = given["controls"].tolist()
        _require_multiplier("controls[0]", session_multiplier)
        checks.require_between("controls[1]", gross_budget, 0.0, _GROSS_BUDGET_MAX)
        with np.errstate(all="ignore"):
            base = given["sigma_5m_bps"]
            base = np.where(np.isfinite(base) & (base > 0.0), base, np.nan)
            sigma = given["horizon_scales"][:, None] * base[None, :]
            _, blended, present = formulas.blended_alphas(
                given["scores"], self._horizon_of_model, given["slopes"], given["weights"], sigma
            )
            cost = formulas.round_trip_costs(given, settings, session_multiplier)
            alpha = np.where(arrays["fresh"][:, None] != 0, blended, np.nan)
            net = formulas.net_edges(alpha, cost)
            choice = formulas.chosen_horizons(net, sigma, given["spread_bps"], settings)
            wanted = (choice.clears != 0) & (arrays["tradable"] != 0)
            weight, sound = formulas.sized_weights(
                np.where(wanted, choice.z, np.nan), given["sigma_day_bps"], gross_budget, settings
            )
        if not sound:
            raise ValueError("sigma_day_bps: a weight overflows float64; mask daily volatilities near zero")
        _write_choice(arrays, choice)
        results = {
            "blended_bps": blended,
            "weight_present": present,
            "cost_bps": cost,
            "net_bps": net,
            "weight": weight,
        }
        for name, values in results.items():
            arrays[name][...] = values


def _require_multiplier(name: str, value: float) -> None:
    """Refuse a multiplier out of range; NaN is allowed, and makes every cost unknown."""
    if not math.isnan(value):
        checks.require_between(name, value, 0.0, _MULTIPLIER_MAX)


def _write_choice(arrays: Arrays, choice: formulas.Choice) -> None:
    arrays["reserve_bps"][:] = choice.reserve
    arrays["best"][:] = choice.best
    arrays["alpha_final_bps"][:] = choice.alpha_final
    arrays["z"][:] = choice.z
    arrays["clears_reserve"][:] = choice.clears


def _require_rows(arrays: Arrays, names: Sequence[str], *, dimensions: int, written: bool) -> None:
    for name in names:
        if name not in arrays:
            raise ValueError(f"{name}: is missing; pass it in the dictionary of arrays")
        checks.require_array(arrays[name], name, _ELEMENTS.get(name, "float64"), dimensions, written=written)


def _require_apart(arrays: Arrays, outputs: Sequence[str], inputs: Sequence[str]) -> None:
    for index, output in enumerate(outputs):
        for other in (*outputs[index + 1 :], *inputs):
            checks.require_separate((output, arrays[output]), {other: arrays[other]})


def _require_shapes(arrays: Arrays, names: Sequence[str], shape: tuple[int, ...], because: str) -> None:
    for name in names:
        checks.require_shape(arrays[name], name, shape, because)


def _require_cycle(arrays: Arrays) -> None:
    """Refuse arrays that do not fit each other, in the words of the native workspace."""
    model_rows = ("slopes", "weights")
    outputs = ("blended_bps", "weight_present", "cost_bps", "net_bps", "weight")
    _require_rows(arrays, ("scores",), dimensions=2, written=False)
    _require_rows(arrays, (*model_rows, "horizon_scales", "fresh", "tradable", "controls"), dimensions=1, written=False)
    _require_rows(arrays, MARKET_NAMES, dimensions=1, written=False)
    symbols = arrays["spread_bps"].shape
    _require_shapes(arrays, MARKET_NAMES[1:], symbols, "spread_bps")
    _require_rows(arrays, ("blended_bps", "weight_present", "net_bps"), dimensions=2, written=True)
    _require_rows(arrays, ("cost_bps", "weight", *_CHOICE_NAMES), dimensions=1, written=True)
    _require_shapes(arrays, _CHOICE_NAMES, symbols, "spread_bps")
    _require_rows(arrays, ("horizon_of_model",), dimensions=1, written=False)
    models, horizons = arrays["scores"].shape[:1], arrays["horizon_scales"].shape
    _require_shapes(arrays, ("horizon_of_model",), models, "scores")
    checks.require_extent(arrays["horizon_scales"], "horizon_scales", 1, HORIZON_COUNT_MAX, "horizons")
    checks.require_integer_range(
        arrays["horizon_of_model"].astype(np.int64), "horizon_of_model", 0, horizons[0] - 1, _HORIZON_RULE
    )
    checks.require_extent(arrays["scores"], "scores", 0, MODEL_COUNT_MAX, "models")
    _require_shapes(arrays, ("scores",), models + symbols, "spread_bps")
    _require_shapes(arrays, model_rows, models, "scores")
    _require_shapes(arrays, ("fresh",), horizons, "horizon_scales")
    _require_shapes(arrays, ("tradable",), symbols, "spread_bps")
    _require_shapes(arrays, ("controls",), (_CONTROL_COUNT,), "session_multiplier and gross_budget")
    planes = ("blended_bps", "weight_present", "net_bps")
    _require_shapes(arrays, planes, horizons + symbols, "horizon_scales and spread_bps")
    _require_shapes(arrays, ("cost_bps", "weight"), symbols, "spread_bps")
    scales = np.asarray(arrays["horizon_scales"], dtype=np.float64)
    checks.require_range(scales, "horizon_scales", _SMALLEST, _FLOAT_MAX, _SCALE_RULE)
    inputs = ("scores", *model_rows, "horizon_scales", "fresh", "tradable", "controls", *MARKET_NAMES)
    _require_apart(arrays, (*_CHOICE_NAMES, *outputs), inputs)


def reference_calibrate_blend(  # noqa: PLR0917 - mirrors the native call
    scores: FloatArray,
    horizon_of_model: IntArray,
    slopes: FloatArray,
    weights: FloatArray,
    sigma_horizon: FloatArray,
    raw: FloatArray,
    blended: FloatArray,
    weight_present: FloatArray,
) -> None:
    """Write calibrated and blended alphas per horizon, in NumPy."""
    arrays: Arrays = {
        "scores": scores,
        "horizon_of_model": horizon_of_model,
        "slopes": slopes,
        "weights": weights,
        "sigma_horizon": sigma_horizon,
        "raw": raw,
        "blended": blended,
        "weight_present": weight_present,
    }
    _require_rows(arrays, ("scores",), dimensions=2, written=False)
    _require_rows(arrays, ("horizon_of_model", "slopes", "weights"), dimensions=1, written=False)
    _require_rows(arrays, ("sigma_horizon",), dimensions=2, written=False)
    outputs = ("raw", "blended", "weight_present")
    _require_rows(arrays, outputs, dimensions=2, written=True)
    models, horizons = scores.shape[:1], len(sigma_horizon)
    checks.require_extent(scores, "scores", 0, MODEL_COUNT_MAX, "models")
    checks.require_extent(sigma_horizon, "sigma_horizon", 1, HORIZON_COUNT_MAX, "horizons")
    _require_shapes(arrays, ("horizon_of_model", "slopes", "weights"), models, "scores")
    _require_shapes(arrays, ("sigma_horizon",), (horizons, scores.shape[1]), "scores")
    _require_shapes(arrays, outputs, sigma_horizon.shape, "sigma_horizon")
    _require_apart(arrays, outputs, ("scores", "horizon_of_model", "slopes", "weights", "sigma_horizon"))
    checks.require_range(weights, "weights", 0.0, VALUE_ABS_MAX, _WEIGHT_RULE)
    checks.require_integer_range(horizon_of_model, "horizon_of_model", 0, horizons - 1, _HORIZON_RULE)
    with np.errstate(all="ignore"):
        raw[:], blended[:], weight_present[:] = formulas.blended_alphas(
            scores, horizon_of_model, slopes, weights, sigma_horizon
        )


def reference_cost_arbitrate(arrays: Arrays, settings: Settings, session_multiplier: float) -> None:
    """Write costs, net edges and the choice of a horizon, in NumPy."""
    _require_multiplier("session_multiplier", session_multiplier)
    _require_rows(arrays, MARKET_NAMES, dimensions=1, written=False)
    symbols = arrays["spread_bps"].shape
    _require_shapes(arrays, MARKET_NAMES[1:], symbols, "spread_bps")
    _require_rows(arrays, _CHOICE_NAMES, dimensions=1, written=True)
    _require_shapes(arrays, _CHOICE_NAMES, symbols, "spread_bps")
    _require_rows(arrays, ("alpha_bps", "sigma_horizon_bps"), dimensions=2, written=False)
    _require_rows(arrays, ("cost_bps", "net_bps"), dimensions=2, written=True)
    sigma = np.asarray(arrays["sigma_horizon_bps"], dtype=np.float64)
    checks.require_extent(sigma, "sigma_horizon_bps", 1, HORIZON_COUNT_MAX, "horizons")
    _require_shapes(arrays, ("sigma_horizon_bps",), (len(sigma), *symbols), "spread_bps")
    _require_shapes(arrays, ("alpha_bps", "cost_bps", "net_bps"), sigma.shape, "sigma_horizon_bps")
    inputs = ("alpha_bps", "sigma_horizon_bps", *MARKET_NAMES)
    _require_apart(arrays, (*_CHOICE_NAMES, "cost_bps", "net_bps"), inputs)
    market = {name: np.asarray(arrays[name], dtype=np.float64) for name in MARKET_NAMES}
    with np.errstate(all="ignore"):
        cost = formulas.round_trip_costs(market, settings, session_multiplier)
        net = formulas.net_edges(np.asarray(arrays["alpha_bps"], dtype=np.float64), cost)
        choice = formulas.chosen_horizons(net, sigma, market["spread_bps"], settings)
    arrays["cost_bps"][:] = cost
    arrays["net_bps"][:] = net
    _write_choice(arrays, choice)
