"""Owns the decision pipeline of one cycle as a pure function of arrays.

Order: unusable symbols → freshness of predictions → cost → arbitration → sizing → limits → what mode and session
allow → limits → band → limits → quantities. Limits run again after every step that changes weights, and nothing
after sizing scales a weight up. A conformal gate belongs between cost and arbitration, hard barrier gates between
arbitration and sizing, a soft gate and correlation risk before the second limits, netting before the quantities.

Symbols that cannot be traded this cycle are *fixed*: they keep their weight (the larger one of today's and of what
is at work) and use up room under the limits. A held symbol whose signal is gone is kept until the horizon of its
last signal has passed, because leaving early pays the cost of the exit without the return it was meant to earn;
then its target is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet import kernels
from walstreet.domain import conformal
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import Arbitration, arbitrate
from walstreet.domain.band import apply_band, band_width
from walstreet.domain.barrier import (
    EntryGate,
    RebasedBarriers,
    apply_soft_gate,
    entry_gate,
    rebase_forecast,
    without_entries,
)
from walstreet.domain.barrier_exits import NO_CAP, ExitPlan, apply_exits, update_all
from walstreet.domain.barrier_inputs import barrier_forecast
from walstreet.domain.conformal import ConformalReason
from walstreet.domain.cost import CostInputs, round_trip_cost_bps
from walstreet.domain.cycle_inputs import CycleInputs
from walstreet.domain.decision_record import VerdictBoard
from walstreet.domain.limits import Binding, apply_limits
from walstreet.domain.size import wanted_weights
from walstreet.domain.units import SESSION_MINUTES, BoolArray, FloatArray, IntArray, price_usd, shares
from walstreet_events import NANOS_PER_SECOND, QUANTITY_SCALE, Mode, Verdict

RISK_VERDICTS: dict[Binding, Verdict] = {
    Binding.NAME: Verdict.RISK_NAME,
    Binding.SECTOR: Verdict.RISK_SECTOR,
    Binding.NET: Verdict.RISK_NET,
    Binding.GROSS: Verdict.RISK_GROSS,
}
SENT = (Verdict.ACCEPTED, Verdict.SCALE_OUT_50PCT, Verdict.TIGHTEN_SL)
"""Verdicts of symbols for which an order goes out: as wanted, or because a barrier is near or a stop was hit."""
NO_EDGE = (Verdict.NO_ALPHA, Verdict.BELOW_THETA, Verdict.CONF_BLOCK, Verdict.CONF_UNCALIBRATED)
"""Verdicts of a symbol that no forecast wants; a position in it is held until its signal has run out."""
WEIGHT_TOLERANCE = 1e-9
"""Weights closer than this are the same."""
SHARES_ABS_MAX = 1e9
"""More shares than this come from a broken price or equity; the symbol fails closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleResult:
    """What one cycle decided, (N,) each."""

    verdicts: tuple[Verdict, ...]
    columns: dict[str, FloatArray]
    quantity_micro: IntArray
    """Signed order quantity, 0 where nothing is sent."""
    order_horizon_minutes: IntArray
    """Horizon that the order serves and whose time in force it gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate:
    """What the conformal gate said, (H, N) each."""

    passed: BoolArray
    reason: NDArray[np.int8]
    lower_bps: FloatArray
    """Ends of the interval that was compared with the cost; NaN without one."""
    upper_bps: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Barriers:
    """What the barrier gates say of this cycle."""

    rebased: RebasedBarriers
    entry: EntryGate
    plan: ExitPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """The horizons chosen before and behind the gate."""

    ungated: Arbitration
    gated: Arbitration
    gate: _Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the steps from sizing on share."""

    inputs: CycleInputs
    parameters: ArbiterParameters
    board: VerdictBoard
    choice: Arbitration
    movable: BoolArray
    """Tradable this cycle, whatever the models say."""
    wanted: BoolArray
    """With an edge that clears the reserve."""
    current: FloatArray
    """Weight held; NaN where the position cannot be valued."""
    barriers: _Barriers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Book:
    """Weights along the pipeline."""

    sized: FloatArray
    target: FloatArray
    limited: FloatArray
    exited: FloatArray
    gated: FloatArray
    allowed: FloatArray
    banded: FloatArray
    final: FloatArray
    band: float
    binding: IntArray


def run_cycle(inputs: CycleInputs, parameters: ArbiterParameters) -> CycleResult:
    """Decide one cycle: a verdict, every number behind it, and an order quantity per symbol."""
    board = VerdictBoard(len(inputs.symbols))
    _stop_unusable(board, inputs)
    movable = ~board.stopped
    alpha = np.where(inputs.prediction_fresh[:, None], inputs.alpha.blended_bps, np.nan)
    cost = _cost(inputs, parameters)
    ungated = arbitrate(alpha, cost, inputs.sigma_horizon_bps, inputs.spread_bps, parameters.arbitration)
    gate = _conformal(inputs, alpha, cost, parameters)
    # A blocked horizon counts as one without an edge, also where it would have backed up its neighbours.
    open_alpha = np.where(gate.passed | np.isnan(alpha), alpha, 0.0)
    choice = arbitrate(open_alpha, cost, inputs.sigma_horizon_bps, inputs.spread_bps, parameters.arbitration)
    _stop_without_edge(board, inputs, alpha, _Choices(ungated=ungated, gated=choice, gate=gate))
    barriers = _barriers(board, inputs, choice, parameters)
    run = _Run(
        inputs=inputs,
        parameters=parameters,
        board=board,
        choice=choice,
        movable=movable,
        wanted=~board.stopped,
        current=_weights_of(inputs, inputs.position_micro),
        barriers=barriers,
    )
    book = _weights(run)
    horizon = _order_horizon(run)
    quantity = _judge(run, book, _quantities(run, book), horizon)
    return CycleResult(
        verdicts=board.verdicts(),
        columns=_columns(run, cost, book, quantity, gate),
        quantity_micro=quantity,
        order_horizon_minutes=horizon,
    )


def _stop_unusable(board: VerdictBoard, inputs: CycleInputs) -> None:
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


def _cost(inputs: CycleInputs, parameters: ArbiterParameters) -> FloatArray:
    count = len(inputs.symbols)
    return round_trip_cost_bps(
        CostInputs(
            spread_bps=inputs.spread_bps,
            sigma_5m_bps=inputs.sigma_5m_bps,
            sigma_day_bps=inputs.sigma_day_bps,
            price_usd=price_usd(inputs.mid_nano),
            daily_volume_shares=inputs.daily_volume_shares,
            shares_outstanding=inputs.shares_outstanding,
            order_usd=np.full(count, parameters.cost.order_weight * inputs.equity_usd),
            session_multiplier=inputs.window.cost_multiplier if inputs.window else float("nan"),
        ),
        inputs.horizons_minutes,
        parameters.cost,
    )


def _barriers(
    board: VerdictBoard, inputs: CycleInputs, choice: Arbitration, parameters: ArbiterParameters
) -> _Barriers:
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
    return _Barriers(rebased=rebased, entry=entry, plan=plan)


def _none_known(values: FloatArray) -> BoolArray:
    """Return (N,) where every row of an (H, N) array is missing."""
    return np.asarray(np.isnan(values).all(axis=0), dtype=np.bool_)


def _conformal(inputs: CycleInputs, alpha: FloatArray, cost: FloatArray, parameters: ArbiterParameters) -> _Gate:
    """Ask the conformal gate of every horizon and symbol; switched off, everything passes."""
    if not parameters.gates.conformal:
        shape = alpha.shape
        return _Gate(
            passed=np.ones(shape, dtype=np.bool_),
            reason=np.full(shape, ConformalReason.PASS, dtype=np.int8),
            lower_bps=np.full(shape, np.nan),
            upper_bps=np.full(shape, np.nan),
        )
    sigma = inputs.sigma_horizon_bps
    with np.errstate(invalid="ignore", divide="ignore"):
        result = conformal.gate(
            inputs.conformal,
            horizons_minutes=inputs.horizons_minutes,
            scores=alpha / sigma,
            cost_sigma=cost / sigma,
            parameters=parameters.learning.conformal,
        )
    return _Gate(
        passed=result.conf_long | result.conf_short,
        reason=result.reason,
        lower_bps=result.lower_sigma * sigma,
        upper_bps=result.upper_sigma * sigma,
    )


def _stop_without_edge(board: VerdictBoard, inputs: CycleInputs, alpha: FloatArray, choices: _Choices) -> None:
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


def _weights_of(inputs: CycleInputs, micro: IntArray) -> FloatArray:
    """Return (N,) weights of a position; NaN where it cannot be valued, 0 for none."""
    with np.errstate(invalid="ignore"):
        weights = shares(micro) * inputs.mark_usd / inputs.equity_usd
    return np.where(micro == 0, 0.0, weights)


def _weights(run: _Run) -> _Book:
    inputs, parameters, movable = run.inputs, run.parameters, run.movable
    current = np.where(np.isfinite(run.current), run.current, 0.0)
    base = _base_weights(run, current)
    used = kernels.ordered_sum(np.ascontiguousarray(np.abs(base)))
    sized = _size_multiplier(inputs, parameters) * wanted_weights(
        np.where(run.wanted, run.choice.z, np.nan),
        inputs.sigma_day_bps,
        gross_budget=max(0.0, parameters.size.gross_target - used),
        parameters=parameters.size,
    )
    target = np.where(run.wanted, sized, base)
    target = np.where(movable, without_entries(target, current, run.barriers.entry), target)
    limited, binding = apply_limits(target, inputs.sectors, movable, parameters.limits)
    exited = apply_exits(limited, run.current, inputs.position_micro, movable, run.barriers.plan)
    gated = apply_soft_gate(exited, run.wanted, run.barriers.rebased, parameters.barrier)
    allowed = _allowed(run, gated, current)
    relimited, _ = apply_limits(allowed, inputs.sectors, movable, parameters.limits)
    multiplier = inputs.window.band_multiplier if inputs.window else 1.0
    band = band_width(relimited[movable], multiplier=multiplier, parameters=parameters.band)
    banded = np.where(movable, apply_band(relimited, current, band), relimited)
    final, _ = apply_limits(banded, inputs.sectors, movable, parameters.limits)
    return _Book(
        sized=sized,
        target=target,
        limited=limited,
        exited=exited,
        gated=gated,
        allowed=allowed,
        banded=banded,
        final=final,
        band=band,
        binding=binding,
    )


def _base_weights(run: _Run, current: FloatArray) -> FloatArray:
    """Return the weights of what is not wanted: fixed, kept for its horizon, or on its way out."""
    inputs, board = run.inputs, run.board
    prospective = _weights_of(inputs, inputs.prospective_micro)
    larger = np.where(np.abs(prospective) > np.abs(current), prospective, current)
    held = run.movable & ~run.wanted & (inputs.position_micro != 0)
    kept = held & (inputs.now_ns < inputs.hold_until_ns)
    board.reopen(held & ~kept)
    board.replace(kept & board.has(*NO_EDGE), Verdict.HOLD)
    return np.where(run.movable, np.where(kept, current, 0.0), larger)


def _size_multiplier(inputs: CycleInputs, parameters: ArbiterParameters) -> float:
    session = inputs.window.size_multiplier if inputs.window else 0.0
    return session * (parameters.mode.degraded_size_multiplier if inputs.mode is Mode.DEGRADED else 1.0)


def _allowed(run: _Run, limited: FloatArray, current: FloatArray) -> FloatArray:
    """Return what mode and session let through; a symbol that they keep from any trade gets their verdict."""
    inputs, board, movable = run.inputs, run.board, run.movable
    toward_zero = np.clip(limited, np.minimum(current, 0.0), np.maximum(current, 0.0))
    entries = inputs.window is not None and inputs.window.entries_allowed
    allowed = limited
    # Without a price for one position the room under the limits is unknown, so nothing may grow.
    for active, verdict in (
        (inputs.mode is Mode.OBSERVE, Verdict.MODE_OBSERVE),
        (not entries, Verdict.NO_ENTRY_WINDOW),
        (not np.isfinite(run.current).all(), Verdict.NO_REF),
    ):
        if active:
            allowed = np.where(movable, toward_zero, limited)
            board.stop(movable & (limited != allowed) & (allowed == current), verdict)
    if inputs.mode is Mode.DEGRADED:
        new_name = movable & (limited * current <= 0.0)
        allowed = np.where(new_name, 0.0, allowed)
        board.stop(new_name & (limited != 0.0) & (current == 0.0), Verdict.MODE_OBSERVE)
    if inputs.window is not None and inputs.window.flatten_intraday:
        long_horizon = run.wanted & (inputs.horizons_minutes[np.maximum(run.choice.best, 0)] >= SESSION_MINUTES)
        leaving = movable & ~(long_horizon | inputs.signal_overnight)
        board.reopen(leaving & (inputs.position_micro != 0))
        allowed = np.where(leaving, 0.0, allowed)
        board.stop(leaving & (inputs.position_micro == 0), Verdict.NO_ENTRY_WINDOW)
    return allowed


def _order_horizon(run: _Run) -> IntArray:
    inputs = run.inputs
    chosen = inputs.horizons_minutes[np.maximum(run.choice.best, 0)]
    fallback = np.where(inputs.signal_horizon_minutes > 0, inputs.signal_horizon_minutes, inputs.horizons_minutes[0])
    return np.where(run.wanted, chosen, fallback)


def _quantities(run: _Run, book: _Book) -> IntArray:
    """Return (N,) signed whole-share order quantities in micro; targets are rounded toward zero."""
    inputs = run.inputs
    with np.errstate(invalid="ignore", divide="ignore"):
        target_shares = np.trunc(book.final * inputs.equity_usd / price_usd(inputs.mid_nano))
    sound = run.movable & (np.abs(target_shares) <= SHARES_ABS_MAX)
    target_micro = np.where(sound, target_shares, 0.0).astype(np.int64) * QUANTITY_SCALE
    difference = target_micro - inputs.position_micro
    whole = np.sign(difference) * (np.abs(difference) // QUANTITY_SCALE * QUANTITY_SCALE)
    return np.where(sound & (book.final != run.current), whole, 0)


def _judge(run: _Run, book: _Book, quantity: IntArray, horizon: IntArray) -> IntArray:
    """Give the remaining verdicts and return the quantities that are really sent."""
    inputs, order, board = run.inputs, run.parameters.order, run.board
    unmoved = book.final == run.current
    # The limit stopped the symbol if it left nothing to trade where the unlimited target would have traded.
    stopped_by_limit = (np.abs(book.limited - run.current) <= WEIGHT_TOLERANCE) & (
        np.abs(book.target - run.current) > book.band
    )
    for limit, verdict in RISK_VERDICTS.items():
        board.stop(unmoved & (book.binding == limit) & stopped_by_limit, verdict)
    board.stop(unmoved & run.wanted & (book.sized == 0.0), Verdict.RISK_GROSS)
    board.stop(unmoved, Verdict.IN_BAND)
    notional_usd = np.abs(shares(quantity)) * np.nan_to_num(price_usd(inputs.mid_nano))
    small = (quantity == 0) | ((notional_usd < order.notional_usd_min) & (book.final != 0.0))
    board.stop(small, Verdict.BELOW_MIN)
    tif_s = np.array([order.tif_of(minutes) for minutes in horizon.tolist()], dtype=np.int64)
    late = inputs.now_ns >= inputs.ts_ns + tif_s * NANOS_PER_SECOND
    board.stop(late, Verdict.STALE_PRED)
    # Limits may take something from a position that an earlier step had decided to leave alone.
    sendable = run.movable & ~small & ~late
    board.reopen(sendable & board.stopped)
    plan = run.barriers.plan
    board.stop(sendable & plan.stop_hit, Verdict.TIGHTEN_SL)
    board.stop(sendable & (book.exited != book.limited), Verdict.SCALE_OUT_50PCT)
    board.stop(sendable, Verdict.ACCEPTED)
    sent: IntArray = np.where(board.has(*SENT), quantity, 0)
    return sent


def _columns(run: _Run, cost: FloatArray, book: _Book, quantity: IntArray, gate: _Gate) -> dict[str, FloatArray]:
    inputs, choice = run.inputs, run.choice
    count, plan = len(inputs.symbols), run.barriers.plan
    fresh = np.broadcast_to(inputs.prediction_fresh[:, None], cost.shape).astype(np.float64)
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
        "cost_bps": cost,
        "conf_lower_bps": gate.lower_bps,
        "conf_upper_bps": gate.upper_bps,
        "conf_pass": gate.passed.astype(np.float64),
        "net_bps": choice.net_bps,
        "reserve_bps": choice.reserve_bps,
        "chosen_horizon_minutes": chosen,
        "alpha_final_bps": choice.alpha_final_bps,
        "z": choice.z,
        "wanted": run.wanted.astype(np.float64),
        "weight_wanted": book.target,
        "weight_limited": book.limited,
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
        "quantity_shares": shares(quantity),
    }
