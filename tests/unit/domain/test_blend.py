"""Owns the tests of calibration and blend."""

import numpy as np
import pytest

from walstreet.domain.blend import aligned_scores, blend_horizons
from walstreet.domain.calibrate import ModelCalibration, alpha_bps, horizon_sigma_bps
from walstreet_events import ROOT, EventId, ModelColumn, ModelStatus, PredictionBlock, float_block

pytestmark = pytest.mark.spec("002.components", "000.10")


def block_of(
    rows: list[tuple[str, int, ModelStatus, list[float]]],
    *,
    target: str = "return",
    symbols: tuple[str, ...] = ("A", "B"),
) -> PredictionBlock:
    """Return a prediction block with one row per (model, horizon, status, scores)."""
    return PredictionBlock(
        id=EventId("1" * 32),
        cause=ROOT,
        ts_ns=1,
        symbols=symbols,
        warmup=False,
        features="2" * 32,
        models=tuple(
            ModelColumn(model=model, family="f", horizon_minutes=horizon, target=target, status=status)
            for model, horizon, status, _ in rows
        ),
        values=float_block([scores for *_, scores in rows]),
    )


def calibration(model: str, horizon: int, slope: float, weight: float) -> ModelCalibration:
    """Return one calibration."""
    return ModelCalibration(model=model, horizon_minutes=horizon, slope=slope, weight=weight)


def test_volatility_grows_with_the_square_root_of_the_horizon():
    """Of 10 bps per 5 minutes 60 minutes give sqrt(12) and a day sqrt(78) times as much."""
    sigma = horizon_sigma_bps(np.array([10.0, np.nan, 0.0]), np.array([5, 60, 390]))
    assert sigma[:, 0] == pytest.approx([10.0, 10.0 * 12**0.5, 10.0 * 78**0.5])
    assert np.all(np.isnan(sigma[:, 1:]))


def test_alpha_is_slope_times_volatility_times_score():
    """Slope .05, volatility 20 bps and score 2 give 2 bps; a negative or zero slope gives no prediction."""
    alphas = alpha_bps(np.full((3, 1), 2.0), np.array([0.05, -0.05, 0.0]), np.full((3, 1), 20.0))
    assert alphas[0, 0] == pytest.approx(2.0)
    assert np.all(np.isnan(alphas[1:]))


def test_blend_renormalises_over_the_models_that_answered():
    """With weights 3 and 1 the blend is the weighted mean, or the other model alone where one is silent."""
    block = block_of([("m1", 5, ModelStatus.OK, [1.0, np.nan]), ("m2", 5, ModelStatus.OK, [2.0, 2.0])])
    blended = blend_horizons(
        block,
        aligned_scores(block, ("A", "B")),
        calibrations=[calibration("m1", 5, 1.0, 3.0), calibration("m2", 5, 1.0, 1.0)],
        horizons_minutes=(5,),
        sigma_horizon_bps=np.full((1, 2), 10.0),
    )
    assert blended.blended_bps[0].tolist() == pytest.approx([12.5, 20.0])
    assert blended.weight_present[0].tolist() == [4.0, 1.0]
    assert blended.raw_bps[0].tolist() == pytest.approx([15.0, 20.0])


@pytest.mark.parametrize("status", [s for s in ModelStatus if s is not ModelStatus.OK])
def test_models_that_are_not_well_are_absent(status: ModelStatus):
    """A failed, late, quarantined or unready row does not enter the blend even if it carries numbers."""
    block = block_of([("m1", 5, status, [1.0, 1.0])])
    blended = blend_horizons(
        block,
        aligned_scores(block, ("A", "B")),
        calibrations=[calibration("m1", 5, 1.0, 1.0)],
        horizons_minutes=(5,),
        sigma_horizon_bps=np.full((1, 2), 10.0),
    )
    assert np.all(np.isnan(blended.blended_bps))


def test_no_prediction_without_weight_calibration_or_return_target():
    """Zero weight, a missing calibration and a barrier target each leave NaN, never 0."""
    sigma = np.full((1, 2), 10.0)
    cases = [
        (block_of([("m1", 5, ModelStatus.OK, [1.0, 1.0])]), [calibration("m1", 5, 1.0, 0.0)]),
        (block_of([("m1", 5, ModelStatus.OK, [1.0, 1.0])]), [calibration("m2", 5, 1.0, 1.0)]),
        (block_of([("m1", 5, ModelStatus.OK, [1.0, 1.0])], target="peak"), [calibration("m1", 5, 1.0, 1.0)]),
    ]
    for block, calibrations in cases:
        blended = blend_horizons(
            block,
            aligned_scores(block, ("A", "B")),
            calibrations=calibrations,
            horizons_minutes=(5,),
            sigma_horizon_bps=sigma,
        )
        assert np.all(np.isnan(blended.blended_bps))


def test_scores_follow_the_symbols_by_name():
    """A block in another order, or without a symbol, is read by name."""
    block = block_of([("m1", 5, ModelStatus.OK, [1.0, 2.0])])
    assert aligned_scores(block, ("B", "C", "A"))[0].tolist() == pytest.approx([2.0, np.nan, 1.0], nan_ok=True)


def test_malformed_block_is_named():
    """A block whose array does not fit its models and symbols raises with its id."""
    block = block_of([("m1", 5, ModelStatus.OK, [1.0, 2.0, 3.0])])
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        aligned_scores(block, ("A", "B"))


def test_calibration_refuses_values_out_of_range():
    """An unknown horizon, a NaN slope and a negative, NaN or vanishing weight are refused with the model's name."""
    with pytest.raises(ValueError, match="'m': horizon_minutes is 7"):
        calibration("m", 7, 1.0, 1.0)
    with pytest.raises(ValueError, match="slope is nan"):
        calibration("m", 5, float("nan"), 1.0)
    for weight in (-1.0, float("nan"), 1e-300):
        with pytest.raises(ValueError, match=f"weight is {weight}"):
            calibration("m", 5, 1.0, weight)
