"""Owns the columns of a cycle's record, in the words of ``decision_record``."""

from __future__ import annotations

import numpy as np

from walstreet.domain.barrier_exits import NO_CAP
from walstreet.domain.book_memory import sent_part
from walstreet.domain.cycle_types import Book, Cost, Gate, Orders, Run
from walstreet.domain.units import FloatArray, IntArray, price_usd, shares


def book_columns(run: Run, cost: Cost, book: Book, gate: Gate) -> dict[str, FloatArray]:
    """Return the columns of prices, forecasts, gates and weights."""
    inputs, choice, selection = run.inputs, run.choice, run.selection
    count, plan = len(inputs.symbols), run.barriers.plan
    fresh = np.broadcast_to(inputs.prediction_fresh[:, None], cost.round_trip_bps.shape).astype(np.float64)
    chosen = np.where(choice.best >= 0, inputs.horizons_minutes[np.maximum(choice.best, 0)], np.nan)
    return {
        "spread_bps": inputs.spread_bps,
        "mid_usd": price_usd(inputs.mid_nano),
        "sigma_5m_bps": inputs.sigma_5m_bps,
        "sigma_day_bps": inputs.sigma_day_bps,
        "fresh_quote": inputs.quote_fresh.astype(np.float64),
        "fresh_prediction": fresh,
        "alpha_raw_bps": inputs.alpha.raw_bps,
        "alpha_blended_bps": inputs.alpha.blended_bps,
        "blend_weight_present": inputs.alpha.weight_present,
        "sigma_horizon_bps": inputs.sigma_horizon_bps,
        "cost_bps": cost.round_trip_bps,
        "cost_correction_bps": inputs.book.cost_correction_bps,
        "slippage_modelled_bps": cost.slippage_bps,
        "conf_lower_bps": gate.lower_bps,
        "conf_upper_bps": gate.upper_bps,
        "conf_pass": gate.passed.astype(np.float64),
        "outcome_lower_bps": gate.outcome_lower_bps,
        "outcome_upper_bps": gate.outcome_upper_bps,
        "alpha_z": gate.alpha_z,
        "net_bps": choice.net_bps,
        "reserve_bps": choice.reserve_bps,
        "session_fraction": np.full(count, inputs.session_fraction),
        "imbalance": inputs.imbalance,
        "last_return_bps": inputs.last_return_bps,
        "horizon_candidate": _nothing(choice.net_bps) if selection is None else selection.candidates.astype(np.float64),
        "horizon_probability": np.full(count, np.nan) if selection is None else selection.probability,
        "chosen_horizon_minutes": chosen,
        "alpha_final_bps": choice.alpha_final_bps,
        "z": choice.z,
        "wanted": run.wanted.astype(np.float64),
        "weight_wanted": book.target,
        "weight_limited": book.limited,
        "volatility_book_bps": np.full(count, book.last.volatility_bps),
        "cluster": book.last.clusters.astype(np.float64),
        "barrier_peak_long": run.barriers.rebased.peak_long,
        "barrier_valley_long": run.barriers.rebased.valley_long,
        "exit_cap_shares": np.where(plan.cap_micro == NO_CAP, np.nan, shares(plan.cap_micro)),
        "stop_usd": price_usd(plan.stop_nano),
        "stop_hit": plan.stop_hit.astype(np.float64),
        "weight_gated": book.gated,
        "weight_allowed": book.allowed,
        "weight_current": run.current,
        "band": np.full(count, book.band),
        "weight_banded": book.banded,
        "weight_final": book.final,
    }


def _nothing(like: FloatArray) -> FloatArray:
    return np.full(like.shape, np.nan)


def order_columns(run: Run, orders: Orders, quantity: IntArray) -> dict[str, FloatArray]:
    """Return the columns of netting, trigger and quantities."""
    inputs, netted = run.inputs, orders.netted
    price = np.nan_to_num(price_usd(inputs.mid_nano))
    sent = sent_part(netted, np.where(quantity == 0, 0.0, shares(quantity) * price))
    return {
        "netting_wanted_usd": netted.net_usd,
        "netting_churn": netted.churn,
        "netting_reason": netted.reason.astype(np.float64),
        "regime_switch": inputs.book.regime_switch.astype(np.float64),
        "turbulent": inputs.book.turbulent.astype(np.float64),
        "sweep": np.full(len(inputs.symbols), float(inputs.book.sweep)),
        "rebalance_reason": orders.trigger.reason.astype(np.float64),
        "netting_sent_usd": sent.allowed_usd,
        "netting_opening_usd": sent.opening_usd,
        "netting_gross_usd": sent.gross_usd,
        "quantity_shares": shares(quantity),
    }
