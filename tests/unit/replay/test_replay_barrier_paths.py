"""Owns the tests of what became of barrier probabilities, against the labels that the models learned from."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from walstreet.domain.units import FloatArray
from walstreet.replay import barrier_paths
from walstreet.replay.barrier_paths import BARRIER_MINUTES, KEPT_MAX, BarrierPaths, first_touch
from walstreet.testing.watched_session import MODELS, answers, price_bar, volatility
from walstreet.training import labels
from walstreet_events import ModelStatus

SYMBOLS = ("AAA", "BBB", "CCC")
BARS = 120
MODELS_ROWS = [[0.0] * 3, [0.3, 0.4, 0.5], [0.2, 0.6, 0.7]]


def walk(seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return (BARS, 3) high, low, close and sigma of a walk that touches barriers often; some sigmas are missing."""
    random = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, 6e-4, (BARS, 3)), axis=0)), 4)
    high = np.round(close + np.abs(random.normal(0.0, 0.04, close.shape)), 4)
    low = np.round(close - np.abs(random.normal(0.0, 0.04, close.shape)), 4)
    sigma = random.uniform(6.0, 14.0, close.shape)
    sigma[random.random(close.shape) < 0.05] = np.nan
    return high, low, close, sigma


def test_the_barriers_are_those_of_the_training() -> None:
    """The numbers are written twice, because replay may not import training; they must not drift apart."""
    assert barrier_paths.STOP_MULTIPLE == labels.STOP_MULTIPLE
    assert barrier_paths.TARGET_MULTIPLE == labels.TARGET_MULTIPLE


@pytest.mark.parametrize("seed", range(5))
def test_paths_agree_with_the_labels_exactly(seed: int) -> None:
    """Every whole path of a recorded session gives the label that training would have made of it."""
    high, low, close, sigma = walk(seed)
    paths = BarrierPaths()
    found: dict[str, list[FloatArray]] = {"peak": [], "valley": []}
    for number in range(BARS):
        for outcome in paths.take_bar(price_bar(number, high[number], low[number], close[number], symbols=SYMBOLS)):
            found[outcome.event].append(outcome.happened)
        paths.take_features(volatility(number, sigma[number], symbols=SYMBOLS))
        paths.take_predictions(answers(number, MODELS_ROWS, symbols=SYMBOLS))
    for event, lower in (("peak", True), ("valley", False)):
        expected = labels.barrier_first(
            high, low, close, sigma, horizon_bars=BARRIER_MINUTES, bar_minutes=1.0, lower=lower
        )[:-BARRIER_MINUTES]
        np.testing.assert_array_equal(np.stack(found[event]), expected)
        assert {0.0, 1.0} <= set(expected[np.isfinite(expected)].tolist())


def test_first_touch_by_hand() -> None:
    """Sigma 100/sqrt(3) bps is 1 % over 15 minutes: from 100 the stop of a long is 99 and its target 101.5.

    The first symbol reaches the target and then the stop, the second both in one bar, the third neither, the fourth
    has no volatility.
    """
    sigma = np.array([1.0, 1.0, 1.0, np.nan]) * 100.0 / np.sqrt(3.0)
    close = np.full(4, 100.0)
    high = np.array([[101.6, 100.0, 101.4, 102.0], [100.0, 101.6, 100.0, 102.0]])
    low = np.array([[99.5, 99.5, 99.1, 90.0], [98.0, 98.9, 99.1, 90.0]])
    np.testing.assert_array_equal(first_touch(high, low, close, sigma, event="peak"), [0.0, 1.0, 0.0, np.nan])
    # The mirror: the stop of a short is 101, its target 98.5.
    np.testing.assert_array_equal(first_touch(high, low, close, sigma, event="valley"), [1.0, 1.0, 1.0, np.nan])


def fed(
    *, missing: int | None = None, models: tuple[object, ...] = MODELS, bars: int = BARRIER_MINUTES + 1
) -> tuple[BarrierPaths, list[barrier_paths.BarrierOutcome]]:
    """Return what a flat session says of its first forecast; ``missing`` names a bar that never came."""
    paths, found = BarrierPaths(), []
    for number in range(bars):
        if number != missing:
            found += paths.take_bar(price_bar(number, [100.0] * 3, [100.0] * 3, [100.0] * 3, symbols=SYMBOLS))
        if number == 0:
            paths.take_features(volatility(number, [10.0] * 3, symbols=SYMBOLS))
            paths.take_predictions(answers(number, MODELS_ROWS[: len(models)], models=models, symbols=SYMBOLS))
    return paths, found


def test_a_path_with_a_missing_bar_is_unknown() -> None:
    """What happened in a minute that nobody recorded is not guessed."""
    paths, found = fed(missing=7)
    assert found == []
    assert (paths.forecasts, paths.broken) == (1, 1)


def test_a_path_is_judged_with_its_last_bar_and_once() -> None:
    """Not before the horizon has passed, and not again after it."""
    assert fed(bars=BARRIER_MINUTES)[1] == []
    assert [outcome.event for outcome in fed(bars=BARRIER_MINUTES + 10)[1]] == ["peak", "valley"]


def test_models_of_the_same_event_are_averaged_over_those_that_answered() -> None:
    """As the barrier gate is asked: (.3 + .2)/2; the failed model and the other horizon say nothing."""
    peak = MODELS[1]
    models = (
        peak,
        msgspec.structs.replace(peak, model="second"),
        msgspec.structs.replace(peak, model="failed", status=ModelStatus.FAILED),
        msgspec.structs.replace(peak, model="longer", horizon_minutes=60),
    )
    paths = BarrierPaths()
    found = paths.take_bar(price_bar(0, [100.0] * 3, [100.0] * 3, [100.0] * 3, symbols=SYMBOLS))
    paths.take_features(volatility(0, [10.0] * 3, symbols=SYMBOLS))
    values = [[0.3, 0.3, np.nan], [0.2, np.nan, np.nan], [0.9] * 3, [0.9] * 3]
    paths.take_predictions(answers(0, values, models=models, symbols=SYMBOLS))
    for number in range(1, BARRIER_MINUTES + 1):
        found += paths.take_bar(price_bar(number, [100.0] * 3, [100.0] * 3, [100.0] * 3, symbols=SYMBOLS))
    np.testing.assert_allclose(found[0].probability, [0.25, 0.3, np.nan])
    assert np.isnan(found[1].probability).all()


def test_without_barrier_models_nothing_waits() -> None:
    """A zoo of return models gives no forecast of barriers."""
    paths, found = fed(models=MODELS[:1])
    assert (paths.forecasts, found) == (0, [])


def test_what_waits_is_bounded() -> None:
    """Forecasts whose bars never come do not pile up."""
    paths = BarrierPaths()
    for number in range(3 * KEPT_MAX):
        paths.take_features(volatility(number, [10.0] * 3, symbols=SYMBOLS))
        paths.take_predictions(answers(number, MODELS_ROWS, symbols=SYMBOLS))
        paths.take_features(volatility(number, [10.0] * 3, symbols=SYMBOLS))
    assert len(paths._waiting) == KEPT_MAX
    assert len(paths._sigmas) == KEPT_MAX
