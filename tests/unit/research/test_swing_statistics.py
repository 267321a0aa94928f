"""Metrics and tests of significance against numbers worked out by hand or by SciPy."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from walstreet.research import statistics as st
from walstreet.research.swing_types import SwingResult

NET = np.array([0.10, -0.05, 0.02, -0.10, 0.08])
"""Equity 1.1, 1.045, 1.0659, .95931, 1.0360548; the peak 1.1 falls to .95931."""


def result_of(net: np.ndarray) -> SwingResult:
    """Return a simulation with these returns that traded .5 on the first two days."""
    days = len(net)
    turnover = np.array([0.5, 0.5] + [0.0] * (days - 2))
    return SwingResult(
        first_day=0,
        gross=net.copy(),
        turnover=turnover,
        cost=0.001 * turnover,
        net=net,
        equity=np.cumprod(1.0 + net),
        traded=turnover > 0.0,
        target=np.zeros((days, 1)),
        held=np.zeros((days, 1)),
    )


def test_growth_drawdown_and_calmar_by_hand() -> None:
    """1.0360548 in 5 days; fall 1 - .95931 / 1.1."""
    assert st.equity_curve(NET)[-1] == pytest.approx(1.0360548, abs=1e-12)
    assert st.cagr(NET) == pytest.approx(1.0360548 ** (252 / 5) - 1, rel=1e-12)
    assert st.max_drawdown(NET) == pytest.approx(1 - 0.95931 / 1.1, abs=1e-12)
    assert st.calmar(NET) == pytest.approx(st.cagr(NET) / st.max_drawdown(NET), rel=1e-15)


def test_the_start_is_a_peak() -> None:
    """A loss on the first day is a drawdown."""
    assert st.max_drawdown(np.array([-0.2, 0.1])) == pytest.approx(0.2, abs=1e-15)


def test_calmar_without_a_drawdown_is_zero() -> None:
    """And not infinite, so that an idle strategy wins no grid."""
    assert st.calmar(np.array([0.01, 0.0, 0.02])) == 0.0
    assert st.calmar(np.zeros(3)) == 0.0


def test_sharpe_uses_the_sample_deviation_and_252_days() -> None:
    """Mean .01, deviation by NumPy with ddof 1; 0 for constant returns."""
    assert st.sharpe(NET) == pytest.approx(0.01 / NET.std(ddof=1) * math.sqrt(252), rel=1e-12)
    assert st.sharpe(np.full(5, 0.01)) == 0.0
    assert st.sharpe(np.array([0.01])) == 0.0


def test_profit_factor_is_gains_over_losses() -> None:
    """.20 over .15; infinite without a loss, 0 without a gain."""
    assert st.profit_factor(NET) == pytest.approx(0.2 / 0.15, rel=1e-14)
    assert st.profit_factor(np.array([0.1, 0.0])) == math.inf
    assert st.profit_factor(np.zeros(2)) == 0.0


def test_a_total_loss_is_minus_one_a_year() -> None:
    """No power of a number that is not positive."""
    assert st.cagr(np.array([-1.0, 0.5])) == -1.0


def test_metrics_have_the_documented_names() -> None:
    """CAGR, Sharpe, Calmar, MaxDD, PF and Turnover in JSON; two rebalances in 5 of 21 days."""
    found = st.metrics(result_of(NET))
    tree = json.loads(msgspec.json.encode(found))
    assert {"CAGR", "Sharpe", "Calmar", "MaxDD", "PF", "Turnover"} <= set(tree)
    assert tree["Turnover"] == 1.0
    assert found.turnover_per_year == pytest.approx(252 / 5)
    assert (found.rebalances, found.rebalances_per_month) == (2, pytest.approx(2 * 21 / 5))
    assert found.cost == pytest.approx(0.001)
    assert found.equity == pytest.approx(1.0360548)
    assert json.loads(msgspec.json.encode(st.metrics(result_of(np.array([0.1, 0.1])))))["PF"] is None


@pytest.mark.parametrize("objective", ["Calmar", "CAGR", "Sharpe"])
def test_objectives_are_the_metrics_of_that_name(objective: str) -> None:
    """What a walk-forward maximises is what the report shows."""
    tree = json.loads(msgspec.json.encode(st.metrics(result_of(NET))))
    assert st.objective_value(NET, objective) == tree[objective]


def test_the_permutation_p_value_counts_the_real_one() -> None:
    """Two of four at or above: 3/5; none: 1/5, never 0; all: 1."""
    assert st.permutation_p_value(1.0, np.array([0.5, 1.0, 2.0, 0.9])) == pytest.approx(3 / 5)
    assert st.permutation_p_value(9.0, np.array([0.5, 1.0, 2.0, 0.9])) == pytest.approx(1 / 5)
    assert st.permutation_p_value(0.0, np.zeros(4)) == 1.0


def test_benjamini_hochberg_by_hand_and_by_scipy() -> None:
    """.01, .04, .03, .5 of four: .04, .0533, .0533, .5."""
    p_values = np.array([0.01, 0.04, 0.03, 0.5])
    adjusted = st.adjusted_p_values(p_values)
    assert adjusted == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5], rel=1e-14)
    draw = np.random.default_rng(1).uniform(size=50)
    assert st.adjusted_p_values(draw) == pytest.approx(stats.false_discovery_control(draw), rel=1e-12)
    assert st.discoveries(p_values, 0.05).tolist() == [True, False, False, False]
    assert st.simes_p_value(p_values) == adjusted.min()
    assert len(st.adjusted_p_values(np.zeros(0))) == 0
    assert st.simes_p_value(np.zeros(0)) == 1.0


def test_probabilistic_sharpe_matches_its_formula_with_scipys_moments() -> None:
    """Bailey and López de Prado 2012, with SciPy's skewness and kurtosis."""
    net = np.random.default_rng(2).standard_t(5, size=500) * 0.01 + 0.0008
    ratio = net.mean() / net.std(ddof=1)
    skew, kurtosis = stats.skew(net), stats.kurtosis(net, fisher=False)
    spread = math.sqrt((1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2) / 499)
    assert st.probabilistic_sharpe(net) == pytest.approx(stats.norm.cdf(ratio / spread), rel=1e-10)
    assert st.probabilistic_sharpe(net, 0.05) == pytest.approx(stats.norm.cdf((ratio - 0.05) / spread), rel=1e-10)
    assert st.probabilistic_sharpe(np.zeros(10)) == 0.5


def test_the_papers_example_of_the_deflated_sharpe_ratio() -> None:
    """Bailey and López de Prado 2014: 100 trials of variance 1/2 (annual), so a daily best of about .1132 by luck."""
    trials = np.array([-1.0, 1.0] * 50)
    trials = trials / trials.std(ddof=1) * math.sqrt(0.5 / 250)
    assert st.expected_best_sharpe(trials) == pytest.approx(0.1132, abs=5e-5)
    assert st.expected_best_sharpe(np.array([0.1])) == 0.0


def test_deflation_lowers_the_probability() -> None:
    """The more the trials differ, the higher the bar."""
    draw = np.random.default_rng(3)
    net = draw.normal(0.0005, 0.01, size=750)
    found = st.sharpe_test(net, draw.normal(0.0, 0.03, size=81))
    assert found.trials == 81
    assert found.threshold > 0.0
    assert found.deflated < found.probabilistic


def test_bootstrap_intervals_cover_are_reproducible_and_ordered() -> None:
    """The mean of noise lies within its interval; the same seed gives the same interval, another one another."""
    net = np.random.default_rng(4).normal(0.0, 0.01, size=300)
    options = {"block_days": 10, "runs": 200, "level": 0.9}
    first = st.bootstrap_interval(net, st.sharpe, seed=1, **options)
    assert first.low < st.sharpe(net) < first.high
    assert st.bootstrap_interval(net, st.sharpe, seed=1, **options) == first
    assert st.bootstrap_interval(net, st.sharpe, seed=2, **options) != first
    whole = st.bootstrap_interval(net, st.sharpe, seed=1, block_days=300, runs=5, level=0.9)
    assert (whole.low, whole.high) == (st.sharpe(net), st.sharpe(net))


def test_blocks_keep_days_together() -> None:
    """Of alternating returns, blocks of even length keep the alternation and single days do not."""
    net = np.array([0.01, -0.01] * 50)

    def same_sign(values: np.ndarray) -> float:
        return float((values[1:] * values[:-1] > 0).mean())

    blocks = st.bootstrap_interval(net, same_sign, block_days=20, runs=50, level=0.9, seed=1)
    days = st.bootstrap_interval(net, same_sign, block_days=1, runs=50, level=0.9, seed=1)
    assert blocks.high < 0.06
    assert days.low > 0.3


@pytest.mark.parametrize(("field", "value"), [("block_days", 0), ("block_days", 6), ("runs", 0), ("level", 1.0)])
def test_bootstrap_arguments_out_of_range_are_refused(field: str, value: float) -> None:
    """A block longer than the data, no run, no level."""
    options = {"block_days": 2, "runs": 10, "level": 0.9, "seed": 1, field: value}
    with pytest.raises(ValueError, match=field):
        st.bootstrap_interval(NET, st.sharpe, **options)
