"""Owns the tests of re-basing, the soft gate and the hard entry gates."""

import math

import numpy as np
import pytest

from walstreet.domain.barrier import (
    BarrierForecast,
    BarrierParameters,
    RebasedBarriers,
    apply_soft_gate,
    entry_gate,
    rebase_forecast,
    rebased,
    soft_gate,
    without_entries,
)

DEFAULTS = BarrierParameters()


def barriers(peak_long=0.5, valley_long=0.5, peak_short=0.5, valley_short=0.5) -> RebasedBarriers:
    """Return known p* of symbols, scalars being one symbol."""
    arrays = [
        np.atleast_1d(np.array(value, dtype=float)) for value in (peak_long, valley_long, peak_short, valley_short)
    ]
    count = max(len(array) for array in arrays)
    filled = [np.broadcast_to(array, (count,)).copy() for array in arrays]
    no = np.zeros(count, dtype=np.bool_)
    return RebasedBarriers(
        peak_long=filled[0], valley_long=filled[1], peak_short=filled[2], valley_short=filled[3],
        borrowed_long=no, borrowed_short=no, neutral_long=no, neutral_short=no,
    )  # fmt: skip


def test_the_base_rate_maps_to_one_half():
    """Base rates .2, .5 and .6 of themselves are .5 exactly."""
    rates = np.array([0.2, 0.5, 0.6])
    assert rebased(rates, rates).tolist() == [0.5, 0.5, 0.5]


def test_rebasing_by_hand():
    """With p = .6 and b = .4 the odds are 1.5 and 2/3, so that p* = 1.5/(1.5+.6667) = .36/.52 = .6923."""
    assert rebased(np.array([0.6]), np.array([0.4]))[0] == pytest.approx(0.36 / 0.52)
    assert rebased(np.array([0.0, 1.0]), np.array([0.4, 0.4])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("probability", "base"),
    [(math.nan, 0.4), (0.4, math.nan), (-0.01, 0.4), (1.01, 0.4), (0.4, 0.0), (0.4, 1.0), (math.inf, 0.4)],
)
def test_what_is_no_probability_is_absent(probability: float, base: float):
    """Values outside [0, 1] and base rates of labels that never or always happen give NaN."""
    assert np.isnan(rebased(np.array([probability]), np.array([base]))[0])


def test_an_absent_short_side_borrows_the_long_sides_rebased_probability():
    """The price event is the same, so p*_peak and p*_valley of the long labels stand in, flagged."""
    forecast = BarrierForecast(
        p_peak_long=np.array([0.6, np.nan]),
        p_valley_long=np.array([0.3, 0.3]),
        base_peak_long=np.array([0.6, 0.6]),
        base_valley_long=np.array([0.4, 0.4]),
    )
    result = rebase_forecast(forecast, DEFAULTS)
    assert result.peak_long.tolist() == [0.5, 0.5]
    assert result.valley_short.tolist() == pytest.approx([0.18 / 0.46] * 2)
    assert result.borrowed_short.tolist() == [True, True]
    assert result.neutral_short.tolist() == [False, True]
    assert result.neutral_long.tolist() == [False, True]
    assert not result.borrowed_long.any()


def test_an_absent_long_side_borrows_from_the_short_labels():
    """The rule is the same in both directions."""
    absent = np.array([np.nan])
    forecast = BarrierForecast(
        p_peak_long=absent, p_valley_long=absent, base_peak_long=absent, base_valley_long=absent,
        p_peak_short=np.array([0.6]), p_valley_short=np.array([0.5]),
        base_peak_short=np.array([0.4]), base_valley_short=np.array([0.5]),
    )  # fmt: skip
    result = rebase_forecast(forecast, DEFAULTS)
    assert result.peak_long[0] == pytest.approx(0.36 / 0.52)
    assert result.borrowed_long.tolist() == [True]
    assert result.neutral_long.tolist() == [False]


def test_borrowing_can_be_switched_off():
    """With ``absent: neutral`` an absent side is .5 and flagged neutral."""
    known = np.array([0.9])
    forecast = BarrierForecast(
        p_peak_long=known, p_valley_long=known, base_peak_long=np.array([0.5]), base_valley_long=np.array([0.5])
    )
    result = rebase_forecast(forecast, BarrierParameters(absent="neutral"))
    assert result.valley_short.tolist() == [0.5]
    assert result.neutral_short.tolist() == [True]
    assert result.borrowed_short.tolist() == [False]


def test_the_soft_gate_is_one_at_base_rates():
    """p* = (.5, .5) leaves every weight alone, exactly."""
    assert soft_gate(np.array([0.05, -0.05, 0.0]), barriers([0.5] * 3), DEFAULTS).tolist() == [1.0, 1.0, 1.0]


def test_the_soft_gate_by_hand():
    """Peak .7, valley .4: .3*sqrt(.7) = .25100 over .5*sqrt(.75) = .43301 is .57966; shorts ignore long labels."""
    gate = soft_gate(np.array([0.05, -0.05]), barriers([0.7] * 2, [0.4] * 2), DEFAULTS)
    assert gate[0] == pytest.approx(0.3 * math.sqrt(0.7) / (0.5 * math.sqrt(0.75)))
    assert gate[0] == pytest.approx(0.57966, abs=1e-5)
    assert gate[1] == 1.0


def test_the_soft_gates_floor_is_normalised_too():
    """A certain peak gives .2/.43301 = .46188, and a favourable forecast never scales up."""
    gate = soft_gate(np.array([0.05, 0.05]), barriers([1.0, 0.0], [0.0, 1.0]), DEFAULTS)
    assert gate.tolist() == pytest.approx([0.2 / (0.5 * math.sqrt(0.75)), 1.0])


def test_the_soft_gate_of_a_short_is_the_mirror_image():
    """Valley .7 and peak .4 of the short labels gate a short as peak .7 and valley .4 gate a long."""
    short = soft_gate(np.array([-0.05]), barriers(peak_short=0.4, valley_short=0.7), DEFAULTS)
    long = soft_gate(np.array([0.05]), barriers(peak_long=0.7, valley_long=0.4), DEFAULTS)
    assert short.tolist() == long.tolist()


def test_exponents_of_zero_switch_the_soft_gate_off():
    """Exponents gamma = delta = 0 give 1 for every probability."""
    off = BarrierParameters(gamma=0.0, delta=0.0)
    assert soft_gate(np.array([0.05]), barriers(1.0, 0.0), off).tolist() == [1.0]


def test_kept_weights_are_not_gated_again():
    """Only weights sized this cycle shrink; a missing weight stays missing."""
    weights = np.array([0.04, 0.04, np.nan])
    gated = apply_soft_gate(weights, np.array([True, False, True]), barriers([1.0] * 3, [0.0] * 3), DEFAULTS)
    assert gated[:2].tolist() == pytest.approx([0.04 * 0.2 / (0.5 * math.sqrt(0.75)), 0.04])
    assert np.isnan(gated[2])


def test_entries_are_blocked_above_the_threshold_only():
    """.60 passes and .61 does not; longs look at the long peak, shorts at the short valley."""
    direction = np.array([1.0, 1.0, -1.0, -1.0, 0.0, np.nan])
    gate = entry_gate(
        direction, np.zeros(6), barriers([0.60, 0.61, 0.9, 0.0, 0.9, 0.9], 0.5, 0.5, [0.9, 0.0, 0.60, 0.61, 0.9, 0.9]),
        DEFAULTS,
    )  # fmt: skip
    assert gate.peak_risk.tolist() == [False, True, False, False, False, False]
    assert gate.valley_risk.tolist() == [False, False, False, True, False, False]


def test_preferences_are_labels_that_need_the_last_bar_to_agree():
    """A bounce needs p_valley* > .55 and a rising bar, a fade p_peak* > .55 and a falling one; NaN is neither."""
    direction = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    returns = np.array([3.0, 0.0, np.nan, -3.0, 3.0])
    gate = entry_gate(direction, returns, barriers(0.5, [0.56] * 5, [0.56] * 5, 0.5), DEFAULTS)
    assert gate.valley_bounce_pref.tolist() == [True, False, False, False, False]
    assert gate.peak_fade_pref.tolist() == [False, False, False, True, False]


def test_a_preference_is_no_permission():
    """A long at a likely peak stays blocked although it is labelled a bounce."""
    gate = entry_gate(np.array([1.0]), np.array([5.0]), barriers(0.7, 0.7), DEFAULTS)
    assert gate.valley_bounce_pref.tolist() == [True]
    assert gate.peak_risk.tolist() == [True]


def test_a_blocked_side_neither_opens_nor_grows():
    """Blocked longs: no opening, no growth, reductions pass, a flip from short ends flat, shorts are free."""
    gate = entry_gate(np.ones(6), np.zeros(6), barriers([0.9] * 6), DEFAULTS)
    targets = np.array([0.05, 0.05, 0.01, 0.05, -0.05, 0.05])
    current = np.array([0.0, 0.03, 0.03, -0.02, -0.02, np.nan])
    assert without_entries(targets, current, gate).tolist() == [0.0, 0.03, 0.01, 0.0, -0.05, 0.0]
    mirror = entry_gate(np.ones(6), np.zeros(6), barriers(valley_short=[0.9] * 6), DEFAULTS)
    assert without_entries(-targets, -current, mirror).tolist() == [0.0, -0.03, -0.01, 0.0, 0.05, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entry_block": 0.4}, r"barrier\.entry_block is 0.4; allowed is 0.5 to 1.0"),
        ({"tighten_stop": 0.6}, r"barrier\.tighten_stop is 0.6"),
        ({"entry_block": 0.7}, r"barrier\.entry_block is 0.7 but barrier\.scale_out is 0.65"),
        ({"gamma": math.nan}, r"barrier\.gamma is nan"),
    ],
)
def test_thresholds_that_a_neutral_probability_would_reach_are_refused(changes: dict[str, float], message: str):
    """The ranges guarantee that .5 triggers nothing and that no entry is halved by what let it in."""
    with pytest.raises(ValueError, match=message):
        BarrierParameters(**changes)
