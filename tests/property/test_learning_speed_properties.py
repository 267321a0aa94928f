"""Owns the proof that what was made faster in learning kept every bit: the plain formulas stand here as oracles."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet import kernels
from walstreet.domain import conformal_learn, drift
from walstreet.domain.conformal_mean import conformal_rank
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import empty_horizon, exchange_sorted
from walstreet.domain.drift_memory import Matured, MaturedModels, drift_health
from walstreet.domain.drift_parameters import DriftParameters
from walstreet.domain.page_hinkley import BlockStandardiser, PageHinkley
from walstreet.domain.rank_ic import paired_rank_ic
from walstreet.domain.standardise import StandardiseParameters, StandardiserState, observe_scores
from walstreet.domain.units import FloatArray

NAN = float("nan")
EXAMPLES = settings(max_examples=1000, deadline=None)
SMALL = DriftParameters(window_times=30, times_min=6, evaluate_every=3, trades_min=3, page_hinkley_blocks_min=2)


def cross_section(rng: np.random.Generator, models: int, symbols: int) -> MaturedModels:
    """Return forecasts and outcomes with ties, missing and broken values."""
    scores = np.round(rng.normal(size=(models, symbols)), int(rng.integers(1, 9)))
    scores[rng.random(scores.shape) < 0.1] = rng.choice([NAN, 1e9, 0.0, -0.0])
    sigma = rng.uniform(5.0, 30.0, symbols)
    sigma[rng.random(symbols) < 0.05] = rng.choice([0.0, NAN, -1.0, 1e9])
    returns = np.round(rng.normal(scale=20.0, size=symbols), 1)
    returns[rng.random(symbols) < 0.05] = rng.choice([NAN, 1e9])
    cost = rng.uniform(0.0, 6.0, symbols)
    cost[rng.random(symbols) < 0.1] = NAN
    slopes = rng.choice([1.0, 0.3, 0.0, -1.0], size=models, p=[0.7, 0.1, 0.1, 0.1])
    return MaturedModels(
        ts_ns=int(rng.integers(1, 10**9)),
        scores=scores,
        slopes=slopes,
        return_bps=returns,
        sigma_bps=sigma,
        cost_bps=cost,
    )


def plain_row(matured: MaturedModels, model: int, parameters: DriftParameters) -> tuple[list[float], float] | None:
    """Return the five sums of one model and its mean error, symbol by symbol as they are defined; None without them."""
    score, slope = matured.scores[model], float(matured.slopes[model])
    with np.errstate(all="ignore"):
        outcome = matured.return_bps / matured.sigma_bps
        known = (matured.sigma_bps > 0.0) & (matured.sigma_bps <= 1e6) & (np.abs(score) <= 1e6) & np.isfinite(outcome)
    realised = np.clip(outcome[known], -parameters.outcome_abs_max, parameters.outcome_abs_max)
    information = paired_rank_ic(score[known], realised)
    if math.isnan(information):
        return None
    if not slope > 0.0:
        return [information, 0.0, 0.0, 0.0, 0.0], NAN
    forecast, sigma, cost = slope * score[known], matured.sigma_bps[known], matured.cost_bps[known]
    traded = np.abs(forecast) * sigma > cost
    edge = np.ascontiguousarray((np.sign(forecast) * realised * sigma - cost)[traded])
    errors = forecast * (forecast - 2.0 * realised) if parameters.error == "excess" else np.abs(realised - forecast)
    sums = [
        information,
        kernels.ordered_dot(forecast, realised),
        kernels.ordered_dot(forecast, forecast),
        kernels.ordered_sum(edge) if edge.size else 0.0,
        float(edge.size),
    ]
    return sums, kernels.ordered_sum(errors) / len(errors)


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), models=st.integers(1, 4), symbols=st.integers(0, 24), absolute=st.booleans())
def test_health_learns_what_the_plain_formulas_give(seed: int, models: int, symbols: int, absolute: bool) -> None:
    """Over several times, all models at once, one by one and by the formulas end in the same bits."""
    rng = np.random.default_rng(seed)
    parameters = msgspec.structs.replace(SMALL, error="absolute") if absolute else SMALL
    together = [drift_health(f"m{model}", 5, parameters) for model in range(models)]
    alone = [drift_health(f"m{model}", 5, parameters) for model in range(models)]
    rows: list[list[list[float]]] = [[] for _ in range(models)]
    watched = [(BlockStandardiser(), PageHinkley()) for _ in range(models)]
    for _ in range(4):
        matured = cross_section(rng, models, symbols)
        moves = drift.observe_models(together, matured, parameters)
        singles = [
            drift.observe(
                health,
                Matured(
                    ts_ns=matured.ts_ns,
                    score=matured.scores[model],
                    slope=float(matured.slopes[model]),
                    return_bps=matured.return_bps,
                    sigma_bps=matured.sigma_bps,
                    cost_bps=matured.cost_bps,
                ),
                parameters,
            )[1]
            for model, health in enumerate(alone)
        ]
        assert moves == [move for move in singles if move is not None]
        for model, (standardiser, test) in enumerate(watched):
            found = plain_row(matured, model, parameters)
            if found is None:
                continue
            rows[model].append(found[0])
            if not math.isnan(found[1]):
                value = standardiser.update(found[1], block=5, blocks_min=2, abs_max=parameters.page_hinkley_abs_max)
                if value is not None:
                    test.update(value, delta=parameters.page_hinkley_delta)
    assert [health.canonical() for health in together] == [health.canonical() for health in alone]
    for model, health in enumerate(together):
        assert health.window.ordered().tobytes() == np.array(rows[model]).reshape(-1, 5).tobytes()
        assert health.skipped == 4 - len(rows[model])
        assert (health.standardiser, health.page_hinkley) == watched[model]


@EXAMPLES
@given(
    residuals=st.lists(st.sampled_from([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=40),
    lower=st.floats(-0.2, 1.2),
    upper=st.floats(-0.2, 1.2),
)
def test_intervals_keep_their_ranks(residuals: list[float], lower: float, upper: float) -> None:
    """The ends are the residuals of conformal rank, counted from either side, open or empty beyond the last."""
    ordered = np.sort(np.array(residuals))
    count = len(ordered)
    down, up = conformal_rank(count, lower), conformal_rank(count, upper)
    low = -math.inf if down > count else (float(ordered[-down]) if down >= 1 else math.inf)
    high = math.inf if up > count else (float(ordered[up - 1]) if up >= 1 else -math.inf)
    horizon = empty_horizon(5, capacity=20, misses=(0.1, 0.2))
    horizon.ordered = ordered
    horizon.levels = [[lower, upper], [upper, lower]]
    assert conformal_learn._intervals(horizon)[0] == (low, high)


@EXAMPLES
@given(
    residuals=st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=40),
    ends=st.tuples(*(st.sampled_from([-math.inf, -1.0, 0.0, 1.0, math.inf]) for _ in range(4))),
    literal=st.booleans(),
)
def test_levels_move_as_the_formula_says(
    residuals: list[float], ends: tuple[float, float, float, float], literal: bool
) -> None:
    """Misses on either side of either interval are counted, and the levels take the step of Gibbs and Candes."""
    parameters = ConformalParameters(adaptation="outcome" if literal else "overlap")
    horizon = empty_horizon(15, capacity=20, misses=(0.1, 0.2))
    intervals = ((ends[0], ends[1]), (ends[2], ends[3]))
    horizon.in_force.append((0, intervals))
    conformal_learn._judge(horizon, 1, np.array(residuals), parameters)
    rate = parameters.adaptation_rate / (1 if literal else parameters.overlap(15))
    ascending, count = sorted(residuals), len(residuals)
    for place, (lower, upper) in enumerate(intervals):
        wanted = (0.1, 0.2)[place]
        missed = [bisect_left(ascending, lower), count - bisect_right(ascending, upper)]
        assert horizon.missed[place] == missed
        assert horizon.levels[place] == [wanted + rate * (count * wanted - each) for each in missed]


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), models=st.integers(1, 3), symbols=st.integers(1, 4))
def test_medians_of_past_scores_are_those_of_sorting(seed: int, models: int, symbols: int) -> None:
    """After every decision each refreshed row holds the median and the spread that a full sort gives."""
    rng = np.random.default_rng(seed)
    parameters = StandardiseParameters(
        window_days=1, decisions_per_day=12, age_days_max=1.0, samples_min=3, refresh_decisions_max=1
    )
    state = StandardiserState()
    past: list[FloatArray] = []
    for decision in range(15):
        raw = np.round(rng.normal(size=(models, symbols)), int(rng.integers(0, 3)))
        raw[rng.random(raw.shape) < 0.2] = NAN
        past.append(raw.reshape(-1) + 0.0)
        observe_scores(
            state,
            raw,
            models=[f"m{model}" for model in range(models)],
            symbols=[f"s{symbol}" for symbol in range(symbols)],
            ts_ns=(decision + 1) * 60_000_000_000,
            parameters=parameters,
        )
        window = np.stack(past[-12:], axis=1)
        for row, values in enumerate(window):
            known = np.sort(values[~np.isnan(values)])
            if len(known) < 3:
                assert math.isnan(state.centre[row])
                continue
            half = (len(known) - 1) // 2
            median = 0.5 * known[half] + 0.5 * known[len(known) // 2]
            away = np.sort(np.abs(known - median))
            assert state.centre[row] == median
            assert state.scale[row] == 1.4826 * (0.5 * away[half] + 0.5 * away[len(known) // 2])


@EXAMPLES
@given(
    kept=st.lists(st.sampled_from([-1.5, -1.0, 0.0, 0.5, 2.0, 3.0]), max_size=30),
    coming=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 4.0]), max_size=8),
    leaving=st.integers(0, 30),
)
def test_exchanging_is_sorting_anew(kept: list[float], coming: list[float], leaving: int) -> None:
    """What left is gone once for each time it left, what came is there, and the order is that of a sort."""
    gone, rest = kept[:leaving], kept[leaving:]
    found = exchange_sorted(np.sort(np.array(kept)), np.array(gone), np.array(coming))
    assert found.tobytes() == np.sort(np.array(rest + coming)).tobytes()
