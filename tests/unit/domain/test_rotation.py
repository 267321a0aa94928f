"""One day's decision: gates, exits, held names, reasons, the regime overlay, and research equal to live."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from walstreet.domain.rotation import (
    IndicatorTable,
    RotationSignals,
    decide_rotation,
    must_trade,
    rotation_signals,
    rotation_targets,
)
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_select import RotationReason

SMALL: dict[str, Any] = {
    "ema_fast": 2,
    "ema_slow": 3,
    "atr_window": 2,
    "corr_window": 2,
    "vol_window": 2,
    "corr_cap": 1.0,
}


def signals_of(*series: list[float], **changes: Any) -> RotationSignals:
    """Return signals of symbols whose bars have a range of 2 around the close."""
    close = np.ascontiguousarray(np.array(series, dtype=np.float64).T)
    table = IndicatorTable(high=close + 1.0, low=close - 1.0, close=close)
    return rotation_signals(table, RotationParameters(**{**SMALL, **changes}))


RISING = [100.0, 102.0, 104.0, 108.0]


def test_score_is_the_distance_from_the_fast_average_in_ranges() -> None:
    """EMA(2): 100, 304/3, 928/9; ranges 2, 3, 3: ATR(2) 2.5 then 2.75; score (104/103.11 - 1) / (2.75/104)."""
    signals = signals_of(RISING)
    assert signals.score[2, 0] == pytest.approx((104.0 / (928.0 / 9.0) - 1.0) / (2.75 / 104.0), rel=1e-14)
    assert signals.ready[:, 0].tolist() == [False, False, True, True]


def test_a_price_without_range_does_not_divide_by_zero() -> None:
    """The divisor is at least 1e-6."""
    close = np.array([100.0, 100.0, 100.0, 100.0])[:, None]
    table = IndicatorTable(high=close, low=close, close=close)
    assert rotation_signals(table, RotationParameters(**SMALL)).score[3, 0] == 0.0


def test_a_rising_name_is_bought_at_its_cap() -> None:
    """One name takes the cap of .5 and the rest stays cash."""
    assert rotation_targets(signals_of(RISING), 3, []) == [(0, 0.5)]


def test_reasons_name_the_first_rule_that_fails() -> None:
    """A falling name fails the gate, a late one warms up, an absent one has no bar, a dipping one closes below."""
    nan = float("nan")
    signals = signals_of(
        RISING,
        [108.0, 104.0, 102.0, 100.0],
        [nan, nan, 100.0, 101.0],
        [100.0, 101.0, 102.0, nan],
        [100.0, 110.0, 120.0, 115.0],
        top_n=1,
    )
    decision = decide_rotation(signals, 3, [])
    assert decision.reasons == (
        RotationReason.CHOSEN,
        RotationReason.TREND_GATE,
        RotationReason.WARMING_UP,
        RotationReason.NO_BAR,
        RotationReason.BELOW_EMA,
    )
    assert decision.target.tolist() == [0.5, 0.0, 0.0, 0.0, 0.0]
    assert decision.chosen == (0,)


def test_the_exit_below_the_average_spares_held_names_with_a_bonus_down_to_the_floor() -> None:
    """A close below the EMA: out as a new name, in as a held one, out below the floor, out without a bonus."""
    below = [100.0, 110.0, 120.0, 115.0]
    signals = signals_of(below)
    assert signals.below_ema[3, 0]
    assert -0.5 < signals.score[3, 0] < 0.0
    assert decide_rotation(signals, 3, []).reasons == (RotationReason.BELOW_EMA,)
    assert rotation_targets(signals, 3, [0]) == [(0, 0.5)]
    strict = signals_of(below, hold_floor=-0.001)
    assert decide_rotation(strict, 3, [0]).reasons == (RotationReason.BELOW_FLOOR,)
    literal = signals_of(below, hold_bonus=0.0)
    assert rotation_targets(literal, 3, [0]) == []
    assert decide_rotation(literal, 3, [0]).reasons == (RotationReason.BELOW_EMA,)


def test_the_bonus_keeps_a_held_name_in_the_top() -> None:
    """Of two rising names the slower is kept while it is held, and not bought while it is not."""
    signals = signals_of(RISING, [100.0, 101.0, 102.0, 103.0], top_n=1)
    gap = float(signals.score[3, 0] - signals.score[3, 1])
    assert 0.0 < gap < 1.0
    assert rotation_targets(signals, 3, []) == [(0, 0.5)]
    assert rotation_targets(signals, 3, [1]) == [(1, 0.5)]


def test_the_minimum_score_is_for_new_names() -> None:
    """A high minimum refuses entry and lets a held name stay."""
    signals = signals_of(RISING, min_score=5.0)
    assert decide_rotation(signals, 3, []).reasons == (RotationReason.BELOW_SCORE,)
    assert rotation_targets(signals, 3, [0]) == [(0, 0.5)]


def test_macd_gates_only_where_it_is_enabled() -> None:
    """Below 0 it refuses a name that passes everything else."""
    series = [130.0, 100.0, 101.0, 106.0]
    options = {"ema_slow": 2, "ema_fast": 1, "macd_fast": 1, "macd_slow": 4, "macd_signal": 1}
    assert rotation_targets(signals_of(series, **options), 3, []) == [(0, 0.5)]
    gated = signals_of(series, macd_enabled=True, **options)
    assert decide_rotation(gated, 3, []).reasons == (RotationReason.MACD_GATE,)


def test_the_regime_overlay_dampens_all_targets_and_keeps_its_state_over_a_gap() -> None:
    """Column 1 falls below its average of two bars on day 2 and has no bar on day 3."""
    regime = [100.0, 100.0, 90.0, float("nan")]
    signals = signals_of(RISING, regime, regime_column=1, regime_window=2, regime_factor=0.25)
    assert signals.exposure.tolist() == [1.0, 1.0, 0.25, 0.25]
    assert rotation_targets(signals, 3, []) == [(0, 0.125)]


def test_decision_and_targets_agree_and_show_the_chosen_correlations() -> None:
    """Research asks for targets, live for the decision; both are the same numbers."""
    draw = np.random.default_rng(11)
    close = 100.0 * np.cumprod(1.0 + draw.normal(0.001, 0.01, size=(80, 6)), axis=0)
    table = IndicatorTable(high=close * 1.01, low=close * 0.99, close=close)
    parameters = RotationParameters(**{**SMALL, "corr_window": 20, "vol_window": 10, "corr_cap": 0.3, "top_n": 3})
    signals = rotation_signals(table, parameters)
    several = 0
    for day in range(25, 80):
        held = [int(draw.integers(6))]
        decision = decide_rotation(signals, day, held)
        assert [(c, w) for c, w in enumerate(decision.target.tolist()) if w > 0.0] == rotation_targets(
            signals, day, held
        )
        off = decision.correlation[~np.eye(len(decision.chosen), dtype=bool)]
        assert (np.abs(off) <= 0.3).all()
        several += len(decision.chosen) > 1
    assert several > 10


def test_live_on_the_bars_so_far_is_research_on_all_bars() -> None:
    """The targets of day t are the same bytes whether later bars exist or not."""
    draw = np.random.default_rng(5)
    close = 100.0 * np.cumprod(1.0 + draw.normal(0.001, 0.01, size=(70, 5)), axis=0)
    high, low = close * 1.01, close * 0.99
    parameters = RotationParameters(**{**SMALL, "corr_window": 15, "corr_cap": 0.5, "regime_column": 0})
    whole = rotation_signals(IndicatorTable(high=high, low=low, close=close), parameters)
    for day in range(20, 70):
        part = IndicatorTable(high=high[: day + 1], low=low[: day + 1], close=close[: day + 1])
        live = decide_rotation(rotation_signals(part, parameters), day, [2])
        assert live.target.tobytes() == decide_rotation(whole, day, [2]).target.tobytes()


def test_the_band_is_exceeded_by_one_name_alone() -> None:
    """`>` and not `>=`: a difference of the band itself does not trade, one name beyond it does."""
    assert not must_trade([0.5, 0.25], [0.25, 0.25], 0.25)
    assert must_trade([0.5, 0.25], [0.25, 0.25], 0.2)
    assert not must_trade([], [], 0.0)
