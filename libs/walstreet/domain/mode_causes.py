"""Owns the mode controller's inputs that need arithmetic: latency, exceptions, losses, gross, and a stale account.

Every cause is a pure function of what journaled facts left in a memory, and of the time that is given, so that replay
agrees. Latency, exceptions and a stale quantity hold the mode at DEGRADED or OBSERVE; losses and an oversized book mean
EMERGENCY, which ``mode`` latches. A cause stands for as long as its facts do: a daily loss until equity is back or the
next session begins, so an operator's ``resume`` cannot trade through it.

What is unknown is not a loss: before the first equity no loss, drawdown or gross can be computed, and an account that
never reported is *stale*, which is OBSERVE.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.mode import Cause
from walstreet.domain.units import FloatArray, IntArray, shares
from walstreet_events import (
    NANOS_PER_SECOND,
    PRICE_SCALE,
    Decision,
    EventId,
    Mode,
    ModeRequest,
    Service,
    derive_id,
    tag_of,
)

TOPIC_LATENCY = "latency"
"""Topic of the mode request that carries a late decision."""
TOPIC_EXCEPTION = "exception"
"""Topic of the mode request that reports one unhandled exception."""
TOPIC_CHAIN = "chain"
"""Topic of the mode request that reports a broken hash chain."""
EXCEPTIONS_MAX = 100
"""Times kept; ``ModeCauseParameters.exceptions_count`` may not exceed it."""
MARK_USD_MAX = 1e9
"""A higher price is a fault."""

LATENCY = "decision_latency"
EXCEPTIONS = "exceptions"
DAILY_LOSS = "daily_loss"
DRAWDOWN = "drawdown"
GROSS = "gross_above_limit"
STALE_ACCOUNT = "stale_account"
CHAIN_BROKEN = "chain_broken"

SEVERITIES: dict[str, Mode] = {
    LATENCY: Mode.DEGRADED,
    EXCEPTIONS: Mode.DEGRADED,
    STALE_ACCOUNT: Mode.OBSERVE,
    CHAIN_BROKEN: Mode.OBSERVE,
    DAILY_LOSS: Mode.EMERGENCY,
    DRAWDOWN: Mode.EMERGENCY,
    GROSS: Mode.EMERGENCY,
}
"""The best mode that each cause allows."""


class ModeCauseParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where on a fact holds the mode down."""

    latency_ms_max: float = 700.0
    """Bar's end to decision; the newest decision counts."""
    exceptions_count: int = 5
    exceptions_window_s: float = 300.0
    daily_loss_share: float = 0.02
    """Of the equity at the session's start."""
    daily_loss_usd: float = 2_000.0
    """Whichever of the two is reached first."""
    drawdown_share: float = 0.10
    """Below the high-water mark."""
    high_water_usd: float = 0.0
    """High-water mark of the account before this log began; 0 for none."""
    gross_excess_share: float = 0.20
    """Above ``limits.gross_max``."""
    account_age_s_max: float = 300.0
    """Since the account was last reported or confirmed; the reconciler asks every minute, brokers report changes."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("mode_causes", "latency_ms_max", self.latency_ms_max, 1.0, 60_000.0)
        require_between("mode_causes", "exceptions_count", self.exceptions_count, 1, EXCEPTIONS_MAX)
        require_between("mode_causes", "exceptions_window_s", self.exceptions_window_s, 1.0, 86_400.0)
        require_between("mode_causes", "daily_loss_share", self.daily_loss_share, 1e-4, 1.0)
        require_between("mode_causes", "daily_loss_usd", self.daily_loss_usd, 1.0, 1e9)
        require_between("mode_causes", "drawdown_share", self.drawdown_share, 1e-4, 1.0)
        require_between("mode_causes", "high_water_usd", self.high_water_usd, 0.0, 1e12)
        require_between("mode_causes", "gross_excess_share", self.gross_excess_share, 0.0, 10.0)
        require_between("mode_causes", "account_age_s_max", self.account_age_s_max, 1.0, 86_400.0)


@dataclass(slots=True, kw_only=True)
class LossMemory:
    """Equity as the broker reported it, in 1e-9 USD."""

    session_date: str = ""
    session_start_nano: int | None = None
    """Last equity known when the session began, else the first one in it."""
    high_water_nano: int | None = None
    equity_nano: int | None = None
    """Last known; None before the first finite report."""
    reported: bool = False
    """Whether the newest report named an equity; without one the account is stale, and its last loss still stands."""
    account_ts_ns: int | None = None
    """When the account was last reported or confirmed."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return (
            self.session_date,
            self.session_start_nano,
            self.high_water_nano,
            self.equity_nano,
            self.reported,
            self.account_ts_ns,
        )


@dataclass(slots=True, kw_only=True)
class FaultMemory:
    """Latency of the newest decision, times of the newest exceptions, and whether the TAPE's chain is broken."""

    latency_ms: float | None = None
    exceptions_ns: list[int] = field(default_factory=list)
    """Ascending, the newest ``EXCEPTIONS_MAX``."""
    chain_broken: bool = False

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return self.latency_ms, tuple(self.exceptions_ns), self.chain_broken


# --------------------------------------------------------------------------------------------------- remembering


def note_session(memory: LossMemory, session_date: str) -> None:
    """Begin a session: its losses count from the last equity known. The same session again changes nothing."""
    if session_date == memory.session_date:
        return
    memory.session_date = session_date
    memory.session_start_nano = memory.equity_nano


def note_equity(memory: LossMemory, equity_nano: int | None, ts_ns: int) -> None:
    """Take a report of the account; None says that the broker gave no finite number, which confirms nothing."""
    memory.reported = equity_nano is not None
    if equity_nano is None:
        return
    memory.equity_nano = equity_nano
    note_account(memory, ts_ns)
    high = memory.high_water_nano
    memory.high_water_nano = equity_nano if high is None else max(high, equity_nano)
    if memory.session_start_nano is None:
        memory.session_start_nano = equity_nano


def note_account(memory: LossMemory, ts_ns: int) -> None:
    """Take a confirmation that the account's values still hold, such as a reconciliation snapshot."""
    known = memory.account_ts_ns
    memory.account_ts_ns = ts_ns if known is None else max(ts_ns, known)


def note_latency(memory: FaultMemory, latency_ms: float) -> None:
    """Take the newest decision's latency; what is negative or not finite comes from a fault and counts as late."""
    sound = np.isfinite(latency_ms) and latency_ms >= 0.0
    memory.latency_ms = float(latency_ms) if sound else float("inf")


def note_exception(memory: FaultMemory, ts_ns: int) -> None:
    """Take one unhandled exception of any service."""
    memory.exceptions_ns.append(ts_ns)
    memory.exceptions_ns.sort()
    del memory.exceptions_ns[:-EXCEPTIONS_MAX]


def latency_request(decision: Decision, latency_ms: float) -> ModeRequest:
    """Return the fact that a decision took ``latency_ms`` from its bar's end; journaled, so that replay agrees."""
    return ModeRequest(
        id=derive_id(decision.id, f"{tag_of(ModeRequest)}:{TOPIC_LATENCY}", 0),
        cause=decision.id,
        ts_ns=decision.ts_ns,
        service=Service.ARBITER.value,
        mode=SEVERITIES[LATENCY],
        reason=f"{latency_ms:.3f}",
        topic=TOPIC_LATENCY,
    )


def latency_of(request: ModeRequest) -> float:
    """Return the latency that such a request carries, in milliseconds; infinite if it names none."""
    try:
        return float(request.reason)
    except ValueError:
        return float("inf")


def exception_request(cause: EventId, service: Service, reason: str, ts_ns: int) -> ModeRequest:
    """Return the fact that ``service`` could not handle something."""
    return ModeRequest(
        id=derive_id(cause, f"{tag_of(ModeRequest)}:{TOPIC_EXCEPTION}:{service.value}", 0),
        cause=cause,
        ts_ns=ts_ns,
        service=service.value,
        mode=SEVERITIES[EXCEPTIONS],
        reason=reason,
        topic=TOPIC_EXCEPTION,
    )


def note_chain(memory: FaultMemory, *, broken: bool) -> None:
    """Take the state of the TAPE's hash chain."""
    memory.chain_broken = broken


# -------------------------------------------------------------------------------------------------------- causes


def _cause(reason: str) -> Cause:
    return SEVERITIES[reason], reason


def latency_cause(memory: FaultMemory, parameters: ModeCauseParameters) -> Cause | None:
    """Return DEGRADED while the newest decision was late."""
    late = memory.latency_ms is not None and memory.latency_ms > parameters.latency_ms_max
    return _cause(LATENCY) if late else None


def exception_cause(memory: FaultMemory, now_ns: int, parameters: ModeCauseParameters) -> Cause | None:
    """Return DEGRADED while ``exceptions_count`` exceptions lie within the trailing window, its start included."""
    start_ns = now_ns - round(parameters.exceptions_window_s * NANOS_PER_SECOND)
    recent = sum(1 for ts_ns in memory.exceptions_ns if ts_ns >= start_ns)
    return _cause(EXCEPTIONS) if recent >= parameters.exceptions_count else None


def daily_loss_cause(memory: LossMemory, parameters: ModeCauseParameters) -> Cause | None:
    """Return EMERGENCY once the session has lost 2 % of its first equity or $2,000, whichever comes first."""
    if memory.equity_nano is None or memory.session_start_nano is None:
        return None
    allowed_usd = min(
        parameters.daily_loss_usd, parameters.daily_loss_share * max(memory.session_start_nano, 0) / PRICE_SCALE
    )
    loss_nano = memory.session_start_nano - memory.equity_nano
    return _cause(DAILY_LOSS) if loss_nano > 0 and loss_nano >= round(allowed_usd * PRICE_SCALE) else None


def drawdown_cause(memory: LossMemory, parameters: ModeCauseParameters) -> Cause | None:
    """Return EMERGENCY once equity is 10 % below its high-water mark; below a mark of 0 or less any fall counts."""
    if memory.equity_nano is None or memory.high_water_nano is None:
        return None
    high_nano = memory.high_water_nano
    if parameters.high_water_usd > 0.0:
        high_nano = max(high_nano, round(parameters.high_water_usd * PRICE_SCALE))
    fall_nano = high_nano - memory.equity_nano
    reached = fall_nano > 0 and fall_nano >= round(parameters.drawdown_share * max(high_nano, 0))
    return _cause(DRAWDOWN) if reached else None


def gross_usd(position_micro: IntArray, mark_usd: FloatArray) -> float:
    """Return the notional of all (N,) positions that have a sound mark: a lower bound where one has none."""
    with np.errstate(invalid="ignore"):
        held = (position_micro != 0) & (mark_usd > 0.0) & (mark_usd <= MARK_USD_MAX)
    return kernels.ordered_sum(np.ascontiguousarray(np.abs(shares(position_micro[held])) * mark_usd[held]))


def gross_cause(
    memory: LossMemory, gross_now_usd: float, *, gross_max: float, parameters: ModeCauseParameters
) -> Cause | None:
    """Return EMERGENCY while the book exceeds ``gross_max`` of equity by more than 20 %.

    Any position on an equity that is known and not above 0 exceeds every limit.
    """
    if memory.equity_nano is None:
        return None
    equity_usd = max(memory.equity_nano, 0) / PRICE_SCALE
    allowed_usd = gross_max * (1.0 + parameters.gross_excess_share) * equity_usd
    return _cause(GROSS) if gross_now_usd > allowed_usd else None


def account_cause(memory: LossMemory, now_ns: int, parameters: ModeCauseParameters) -> Cause | None:
    """Return OBSERVE while the account is unknown or was confirmed too long ago, or in the future."""
    if memory.account_ts_ns is None or not memory.reported:
        return _cause(STALE_ACCOUNT)
    age_ns = now_ns - memory.account_ts_ns
    fresh = 0 <= age_ns <= parameters.account_age_s_max * NANOS_PER_SECOND
    return None if fresh else _cause(STALE_ACCOUNT)


def chain_cause(memory: FaultMemory) -> Cause | None:
    """Return OBSERVE while the TAPE's hash chain is broken."""
    return _cause(CHAIN_BROKEN) if memory.chain_broken else None


def fact_causes(
    losses: LossMemory,
    faults: FaultMemory,
    *,
    now_ns: int,
    gross_now_usd: float,
    gross_max: float,
    parameters: ModeCauseParameters,
) -> list[Cause]:
    """Return every standing cause of this module, in a fixed order.

    Args:
        losses: Equity facts.
        faults: Latency, exceptions and chain.
        now_ns: Event time, never before the newest fact.
        gross_now_usd: From ``gross_usd``.
        gross_max: ``limits.gross_max``.
        parameters: The marks.
    """
    found = (
        latency_cause(faults, parameters),
        exception_cause(faults, now_ns, parameters),
        account_cause(losses, now_ns, parameters),
        chain_cause(faults),
        daily_loss_cause(losses, parameters),
        drawdown_cause(losses, parameters),
        gross_cause(losses, gross_now_usd, gross_max=gross_max, parameters=parameters),
    )
    return [cause for cause in found if cause is not None]
