"""Owns the properties of the rebalancing triggers and of the regime detector that must hold for every input."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.rebalance import RebalanceInputs, RebalanceParameters, RebalanceReason, rebalance
from walstreet.domain.regime import RegimeMemory, RegimeParameters, observe
from walstreet.domain.session_rules import SessionParameters, session_window
from walstreet.domain.units import MINUTE_NS

EXAMPLES = settings(max_examples=1000, deadline=None)
seeds = st.integers(0, 2**63)
TINY = 5e-324
band = st.one_of(st.floats(0.0, 0.02), st.just(math.nan))
minutes = st.floats(-5.0, 400.0)
parameters = st.sampled_from([RebalanceParameters(), RebalanceParameters(mode="always")])


def mixed(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float, *specials: float) -> np.ndarray:
    """Return uniform values, three in ten of which are ``specials``: drawing whole arrays keeps the tests fast."""
    values = rng.uniform(low, high, shape)
    return np.where(rng.random(shape) < 0.3, rng.choice(np.array(specials), shape), values)


def rows_of(seed: int) -> np.ndarray:
    """Return (N, 6) rows of target, planned, current, spread, alpha_z and switch."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    return np.hstack(
        (
            mixed(rng, (count, 3), -0.06, 0.06, 0.0, 0.0, TINY, -TINY, 0.03, -0.03, math.nan),
            mixed(rng, (count, 1), 0.0, 20.0, 1.0, 5.0, math.nan),
            mixed(rng, (count, 1), -6.0, 6.0, 2.0, -2.0, 4.0, math.nan),
            (rng.random((count, 1)) < 0.3).astype(np.float64),
        )
    )


def judge(values, band_width: float, minutes_after_open: float, options: RebalanceParameters, *, sign=1.0, sweep=False):
    """Return the outcome of rows (target, planned, current, spread, alpha_z, switch)."""
    column = np.ascontiguousarray(values.T)
    window = session_window(
        now_ns=int(minutes_after_open * MINUTE_NS), open_ns=0, close_ns=390 * MINUTE_NS, parameters=SessionParameters()
    )
    outcome = rebalance(
        RebalanceInputs(
            target=sign * column[0],
            planned=sign * column[1],
            current=sign * column[2],
            band=band_width,
            spread_bps=column[3],
            alpha_z=sign * column[4],
            regime_switch=column[5] > 0.0,
        ),
        window=window,
        sweep=sweep,
        parameters=options,
    )
    return outcome, window, column


@EXAMPLES
@given(seeds, band, minutes, parameters, st.booleans())
def test_the_triggers_are_mirror_symmetric(seed: int, band_width, at, options, sweep):
    """Opposite weights and alphas give opposite weights for the same reasons."""
    straight, _, _ = judge(rows_of(seed), band_width, at, options, sweep=sweep)
    mirror, _, _ = judge(rows_of(seed), band_width, at, options, sign=-1.0, sweep=sweep)
    assert np.array_equal(mirror.weights, -straight.weights, equal_nan=True)
    assert np.array_equal(mirror.reason, straight.reason)
    assert np.array_equal(mirror.may_trade, straight.may_trade)


@EXAMPLES
@given(seeds, band, minutes, parameters, st.booleans())
def test_reductions_always_pass_and_entries_only_in_their_window(seed: int, band_width, at, options, sweep):
    """Known weights towards 0 pass whatever the rest; without entries no |weight| grows and no sign appears."""
    outcome, window, (_, planned, current, *_) = judge(rows_of(seed), band_width, at, options, sweep=sweep)
    known = np.isfinite(planned) & np.isfinite(current)
    reducing = known & (np.abs(planned) < np.abs(current)) & (np.sign(planned) * np.sign(current) >= 0.0)
    assert outcome.may_trade[reducing].all()
    assert np.array_equal(outcome.weights[reducing], planned[reducing])
    if not (window.trading and window.entries_allowed):
        assert np.all(np.abs(outcome.weights[known]) <= np.abs(current[known]))
        assert np.all(outcome.weights[known] * current[known] >= 0.0)


@EXAMPLES
@given(seeds, band, minutes, parameters, st.booleans())
def test_the_outcome_is_planned_flat_or_unchanged(seed: int, band_width, at, options, sweep):
    """No other weight appears, exposure exceeds neither the plan nor the present, and flags agree with weights."""
    outcome, _, (_, planned, current, *_) = judge(rows_of(seed), band_width, at, options, sweep=sweep)
    weights = outcome.weights
    assert np.all((weights == planned) | (weights == 0.0) | (weights == current) | np.isnan(current))
    known = np.isfinite(planned) & np.isfinite(current)
    assert np.all(np.abs(weights[known]) <= np.maximum(np.abs(planned[known]), np.abs(current[known])))
    assert np.array_equal(outcome.may_trade, (weights != current) & ~np.isnan(current))
    assert np.all(outcome.reason[~known] == RebalanceReason.MISSING)


@EXAMPLES
@given(seeds, band, minutes)
def test_events_only_ever_add_permissions(seed: int, band_width, at):
    """What passes without an event passes with one, with the sweep and in ``mode: always``, in the same amount."""
    options = RebalanceParameters()
    quiet = np.where(np.arange(6) < 3, rows_of(seed), [0.0, 0.0, 0.0, math.nan, math.nan, 0.0])
    least, _, _ = judge(quiet, band_width, at, options)
    wider = (
        judge(rows_of(seed), band_width, at, options),
        judge(rows_of(seed), band_width, at, options, sweep=True),
        judge(quiet, band_width, at, RebalanceParameters(mode="always")),
    )
    for outcome, _, _ in wider:
        assert np.all(outcome.may_trade >= least.may_trade)


@EXAMPLES
@given(seeds, band, minutes, parameters)
def test_the_triggers_do_not_depend_on_the_order_of_symbols(seed: int, band_width, at, options):
    """Permuted symbols give the permuted outcome."""
    values = rows_of(seed)
    order = np.random.default_rng(seed).permutation(len(values))
    straight, _, _ = judge(values, band_width, at, options)
    permuted, _, _ = judge(values[order], band_width, at, options)
    assert np.array_equal(straight.weights[order], permuted.weights, equal_nan=True)
    assert np.array_equal(straight.reason[order], permuted.reason)


QUICK = RegimeParameters(fast_half_life_bars=2.0, slow_half_life_bars=8.0, bars_min=3)


def bars_of(seed: int, symbols: int) -> list[list[float]]:
    """Return bars of volatilities that jump now and then, some of them missing."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 25))
    level = np.where(rng.random((count, symbols)) < 0.3, 60.0, 15.0) * rng.uniform(0.7, 1.4, (count, symbols))
    broken = rng.choice(np.array([math.nan, 0.0, math.inf, -1.0]), (count, symbols))
    return np.where(rng.random((count, symbols)) < 0.1, broken, level).tolist()


@EXAMPLES
@given(seeds)
def test_regimes_change_only_through_a_level_and_missing_bars_change_nothing(seed: int):
    """A switch is a change of regime at the right side of its level; a missing bar leaves the record; order is free."""
    memory = other = RegimeMemory()
    before = np.zeros(2, dtype=np.bool_)
    for values in bars_of(seed, 2):
        known = np.array([math.isfinite(value) and value > 0.0 for value in values])
        outcome = observe(memory, symbols=("A", "B"), sigma_5m_bps=np.array(values), parameters=QUICK)
        swapped = observe(other, symbols=("B", "A"), sigma_5m_bps=np.array(values[::-1]), parameters=QUICK)
        assert np.array_equal(outcome.ratio, swapped.ratio[::-1], equal_nan=True)
        assert outcome.memory.canonical() == swapped.memory.canonical()
        assert np.array_equal(outcome.switched, outcome.turbulent != before)
        assert not outcome.switched[~known].any()
        assert np.all(outcome.ratio[outcome.switched & outcome.turbulent] > QUICK.enter_ratio)
        assert np.all(outcome.ratio[outcome.switched & ~outcome.turbulent] < QUICK.leave_ratio)
        for index, symbol in enumerate("AB"):
            if not known[index]:
                assert outcome.memory.records.get(symbol) == memory.records.get(symbol)
        memory, other, before = outcome.memory, swapped.memory, outcome.turbulent


@EXAMPLES
@given(seeds, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_regimes_do_not_depend_on_the_unit_of_volatility(seed: int, scale: float):
    """Scaling the whole history by a power of two changes no ratio and no regime."""
    one = two = RegimeMemory()
    for (value,) in bars_of(seed, 1):
        straight = observe(one, symbols=("A",), sigma_5m_bps=np.array([value]), parameters=QUICK)
        scaled = observe(two, symbols=("A",), sigma_5m_bps=np.array([value * scale]), parameters=QUICK)
        assert np.array_equal(straight.ratio, scaled.ratio, equal_nan=True)
        assert np.array_equal(straight.turbulent, scaled.turbulent)
        one, two = straight.memory, scaled.memory
