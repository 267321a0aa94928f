"""Owns the first half of a cycle: usable symbols, costs, the conformal gate, the choice of a horizon, barriers."""

from __future__ import annotations

import numpy as np

from walstreet.domain import conformal, meta_arbiter
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import Arbitration, with_choice
from walstreet.domain.barrier import (
    entry_gate,
    rebase_forecast,
)
from walstreet.domain.barrier_exits import update_all
from walstreet.domain.barrier_inputs import barrier_forecast
from walstreet.domain.conformal import ConformalReason
from walstreet.domain.conformal_alpha import alpha_z, outcome_interval
from walstreet.domain.cost import CostInputs, round_trip_cost_bps
from walstreet.domain.cost_learning import corrected_cost_bps, cost_floor_bps, modelled_slippage_bps
from walstreet.domain.cycle_inputs import CycleInputs
from walstreet.domain.cycle_types import Barriers, Choices, Cost, Gate
from walstreet.domain.decision_record import VerdictBoard
from walstreet.domain.select_horizon import Selection, select_horizons
from walstreet.domain.units import BoolArray, FloatArray, price_usd
from walstreet_events import Mode, Verdict


def stop_unusable(board: VerdictBoard, inputs: CycleInputs) -> None:
    """Give a verdict to every symbol that cannot be traded whatever the models say."""
    if inputs.mode is Mode.EMERGENCY:
        board.stop_all(Verdict.MODE_EMERGENCY)
    if not inputs.reconciled:
        board.stop_all(Verdict.NOT_RECONCILED)
    if inputs.window is None or not inputs.equity_usd > 0.0:
        board.stop_all(Verdict.NO_REF)
    elif not inputs.window.trading:
        board.stop_all(Verdict.NO_ENTRY_WINDOW)
    board.stop(inputs.at_work, Verdict.PENDING_ORDER)
    board.stop(~inputs.reference_known, Verdict.NO_REF)
    board.stop(~inputs.quote_fresh, Verdict.STALE_QUOTE)
    if not inputs.bar_fresh:
        board.stop_all(Verdict.STALE_BAR)


def cycle_cost(inputs: CycleInputs, parameters: ArbiterParameters) -> Cost:
    """Return the cost of a round trip per horizon, corrected by what fills have taught."""
    count = len(inputs.symbols)
    facts = CostInputs(
        spread_bps=inputs.spread_bps,
        sigma_5m_bps=inputs.sigma_5m_bps,
        sigma_day_bps=inputs.sigma_day_bps,
        price_usd=price_usd(inputs.mid_nano),
        daily_volume_shares=inputs.daily_volume_shares,
        shares_outstanding=inputs.shares_outstanding,
        order_usd=np.full(count, parameters.cost.order_weight * inputs.equity_usd),
        session_multiplier=inputs.window.cost_multiplier if inputs.window else float("nan"),
    )
    modelled = round_trip_cost_bps(facts, inputs.horizons_minutes, parameters.cost)
    floor = cost_floor_bps(facts.spread_bps, facts.price_usd, parameters.cost)
    return Cost(
        round_trip_bps=corrected_cost_bps(modelled, inputs.book.cost_correction_bps, floor),
        slippage_bps=modelled_slippage_bps(facts, parameters.cost),
    )


def judge_barriers(
    board: VerdictBoard, inputs: CycleInputs, choice: Arbitration, parameters: ArbiterParameters
) -> Barriers:
    """Judge entries and exits by the barrier probabilities; an entry into a blocked side gets its verdict."""
    chosen = inputs.horizons_minutes[np.maximum(choice.best, 0)]
    models = inputs.barrier_models if parameters.gates.barrier else ()
    forecast = barrier_forecast(inputs.predictions, inputs.symbols, models, chosen)
    rebased = rebase_forecast(forecast, parameters.barrier)
    entry = entry_gate(choice.z, inputs.last_return_bps, rebased, parameters.barrier)
    board.stop(entry.peak_risk & (inputs.position_micro <= 0), Verdict.PEAK_RISK)
    board.stop(entry.valley_risk & (inputs.position_micro >= 0), Verdict.VALLEY_RISK)
    plan = update_all(
        inputs.exits,
        symbols=inputs.symbols,
        position_micro=inputs.position_micro,
        price_nano=inputs.mid_nano,
        sigma_5m_bps=inputs.sigma_5m_bps,
        barriers=rebased,
        parameters=parameters.barrier,
    )
    return Barriers(rebased=rebased, entry=entry, plan=plan)


def _none_known(values: FloatArray) -> BoolArray:
    """Return (N,) where every row of an (H, N) array is missing."""
    return np.asarray(np.isnan(values).all(axis=0), dtype=np.bool_)


def choose_horizons(
    inputs: CycleInputs, winner: Arbitration, parameters: ArbiterParameters
) -> tuple[Arbitration, Selection | None]:
    """Return the horizons in force, and what a learning choice said of them."""
    method = parameters.arbitration.method
    if method not in {"meta", "exp3ix"}:
        return winner, None
    sigma = inputs.sigma_horizon_bps
    features = meta_arbiter.state_features(
        spread_bps=inputs.spread_bps,
        sigma_5m_bps=inputs.sigma_5m_bps,
        session_fraction=inputs.session_fraction,
        imbalance=inputs.imbalance,
        drift_bps=inputs.last_return_bps,
        direction=meta_arbiter.edge_direction(winner.net_bps, sigma),
    )
    selection = select_horizons(
        "meta" if method == "meta" else "exp3ix",
        winner.net_bps,
        sigma,
        winner.reserve_bps,
        symbols=inputs.symbols,
        decision_id=inputs.decision_id,
        features=features,
        meta=inputs.choices.meta,
        bandit=inputs.choices.bandit,
    )
    return with_choice(winner, sigma, selection.best, selection.fallback), selection


def ask_conformal(inputs: CycleInputs, alpha: FloatArray, cost: FloatArray, parameters: ArbiterParameters) -> Gate:
    """Ask the conformal gate of every horizon and symbol; switched off, everything passes and is asked all the same."""
    sigma = inputs.sigma_horizon_bps
    learned = parameters.learning.conformal
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = alpha / sigma
        result = conformal.gate(
            inputs.conformal,
            horizons_minutes=inputs.horizons_minutes,
            scores=scores,
            cost_sigma=cost / sigma,
            parameters=learned,
        )
    on = parameters.gates.conformal
    below, above = outcome_interval(inputs.conformal, inputs.horizons_minutes, scores)
    return Gate(
        passed=(result.conf_long | result.conf_short) if on else np.ones(alpha.shape, dtype=np.bool_),
        reason=result.reason if on else np.full(alpha.shape, ConformalReason.PASS, dtype=np.int8),
        lower_bps=result.lower_sigma * sigma,
        upper_bps=result.upper_sigma * sigma,
        alpha_z=alpha_z(inputs.conformal, inputs.horizons_minutes, scores, learned),
        outcome_lower_bps=below * sigma,
        outcome_upper_bps=above * sigma,
    )


def stop_without_edge(board: VerdictBoard, inputs: CycleInputs, alpha: FloatArray, choices: Choices) -> None:
    """Give a verdict to every symbol about which the models have nothing worth its cost to say."""
    known = np.isfinite(inputs.sigma_horizon_bps).all(axis=0) & (inputs.sigma_day_bps > 0.0)
    board.stop(~known, Verdict.NO_REF)
    board.stop(_none_known(inputs.alpha.blended_bps), Verdict.NO_PRED)
    board.stop(_none_known(alpha), Verdict.STALE_PRED)
    ungated, choice = choices.ungated, choices.gated
    board.stop(_none_known(choice.net_bps), Verdict.NO_REF)
    board.stop(ungated.best < 0, Verdict.NO_ALPHA)
    reason = np.take_along_axis(choices.gate.reason, np.maximum(ungated.best, 0)[None, :], axis=0)[0]
    board.stop((choice.best < 0) & (reason == ConformalReason.UNCALIBRATED), Verdict.CONF_UNCALIBRATED)
    board.stop(choice.best < 0, Verdict.CONF_BLOCK)
    board.stop(~choice.clears_reserve, Verdict.BELOW_THETA)
