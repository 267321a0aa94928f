"""Owns what all guards share: the order under judgement, the verdict with its numbers, and the way past for reduction.

A guard is a function of explicit facts that finds a reason to refuse, or none. ``Guard`` turns the finding into a
verdict: whatever goes wrong inside is a refusal too, and an order that can only bring |position| towards zero passes a
guard that would trap it in the position; the verdict then still says what the guard found. Whether an order only
reduces is computed here from the position and the orders at work, never taken from a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from walstreet.domain.units import BPS
from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE, Side

SHARE_SCALE = 1_000_000
"""Fractions are compared as whole millionths, so that a value exactly at its limit is at its limit everywhere."""


class Outcome(StrEnum):
    """What became of one guard."""

    PASSED = "passed"
    BYPASSED = "bypassed"
    """The guard found a reason, and the order passes because it only reduces the position."""
    INACTIVE = "inactive"
    """The guard's data source is not configured; said at start and on the dashboard."""
    REFUSED = "refused"


class CommonReason(StrEnum):
    """Stable codes that any guard may give."""

    GUARD_ERROR = "guard_error"
    """The guard itself failed, which is no permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number and what it was compared with; None where it is not known."""

    name: str
    """With its unit last, such as ``spread_bps``."""
    value: float | None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a guard's own function says, before the way past for orders that only reduce."""

    reason: StrEnum | None = None
    measures: tuple[Measure, ...] = ()
    bypass: bool | None = None
    """Whether orders that only reduce pass in spite of this reason; None for what the guard says in general."""
    inactive: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardVerdict:
    """One guard's answer for one order."""

    guard: str
    outcome: Outcome
    reason: StrEnum | None
    """Set where refused, and where bypassed: what would have refused."""
    measures: tuple[Measure, ...]
    note: str = ""

    @property
    def allowed(self) -> bool:
        """Return whether this guard lets the order go."""
        return self.outcome is not Outcome.REFUSED

    @property
    def code(self) -> str:
        """Return the stable reason code, empty where nothing was found."""
        return self.reason.value if self.reason else ""

    @property
    def detail(self) -> str:
        """Return the numbers compared as one line for logs and refusals."""
        numbers = ", ".join(
            f"{item.name} {_text(item.value)}" + (f" (limit {_text(item.limit)})" if item.limit is not None else "")
            for item in self.measures
        )
        return "; ".join(part for part in (self.note, numbers) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedOrder:
    """An order under judgement with what decides whether it only reduces."""

    symbol: str
    side: Side
    quantity_micro: int
    limit_nano: int | None
    """None for a market order."""
    position_micro: int | None
    """Signed; None when not known, and then nothing counts as reducing."""
    working_buy_micro: int | None = 0
    """Unfilled quantity of all orders at work, those with an unknown outcome included; None when not known."""
    working_sell_micro: int | None = 0

    @property
    def closable_micro(self) -> int | None:
        """Return how much of this side still brings |position| towards zero once everything at work has filled."""
        working = self.working_buy_micro if self.side is Side.BUY else self.working_sell_micro
        if self.position_micro is None or working is None:
            return None
        held = -self.position_micro if self.side is Side.BUY else self.position_micro
        return max(0, held - working)

    @property
    def reducing(self) -> bool:
        """Return whether the order can only bring |position| towards zero, whatever else fills."""
        closable = self.closable_micro
        return closable is not None and 0 < self.quantity_micro <= closable


class OrderBound(Protocol):
    """Facts that belong to one order."""

    @property
    def order(self) -> GuardedOrder:
        """Return the order under judgement."""
        ...


F = TypeVar("F", bound=OrderBound)
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Guard(Generic[F, P]):
    """A named guard; calling it never raises."""

    name: str
    bypass: bool
    """Whether orders that only reduce pass it, unless a finding says otherwise."""
    find: Callable[[F, P], Finding]

    def __call__(self, facts: F, parameters: P) -> GuardVerdict:
        """Return the verdict for the order in ``facts``."""
        try:
            finding = self.find(facts, parameters)
        except Exception as error:  # noqa: BLE001 - a guard that fails for whatever reason must refuse, not end the cycle
            # It says nothing about the order, so it must not trap one either.
            finding = Finding(reason=CommonReason.GUARD_ERROR, bypass=True, note=f"{type(error).__name__}: {error}")
        bypass = self.bypass if finding.bypass is None else finding.bypass
        outcome = Outcome.PASSED
        if finding.reason is not None:
            outcome = Outcome.BYPASSED if bypass and facts.order.reducing else Outcome.REFUSED
        elif finding.inactive:
            outcome = Outcome.INACTIVE
        return GuardVerdict(
            guard=self.name, outcome=outcome, reason=finding.reason, measures=finding.measures, note=finding.note
        )


def guard(name: str, *, bypass: bool) -> Callable[[Callable[[F, P], Finding]], Guard[F, P]]:
    """Make a guard called ``name`` of a function that finds reasons."""

    def wrap(find: Callable[[F, P], Finding]) -> Guard[F, P]:
        return Guard(name, bypass, find)

    return wrap


def first_refusal(verdicts: Sequence[GuardVerdict]) -> GuardVerdict | None:
    """Return the verdict that stops the order: the first refusal in the order of the guards, or None."""
    return next((verdict for verdict in verdicts if not verdict.allowed), None)


# --------------------------------------------------------------------------------------------------- arithmetic


def bps(part: int, whole: int) -> float:
    """Return ``part`` in basis points of a positive ``whole``, for display."""
    return part / whole * BPS


def exceeds_bps(part: int, whole: int, limit_bps: float) -> bool:
    """Return whether ``part`` is more than ``limit_bps`` of ``whole``; exact in millionths of a basis point."""
    return part * int(BPS) * SHARE_SCALE > round(limit_bps * SHARE_SCALE) * whole


def share_of(amount: int, share: float) -> int:
    """Return ``share`` of ``amount``, rounded down, the share taken in whole millionths."""
    return amount * round(share * SHARE_SCALE) // SHARE_SCALE


def usd(amount_nano: int) -> float:
    """Return an amount in USD, for display."""
    return amount_nano / PRICE_SCALE


def nano_of_usd(amount_usd: float) -> int:
    """Return a parameter in USD as 1e-9 USD."""
    return round(amount_usd * PRICE_SCALE)


def notional_nano(quantity_micro: int, price_nano: int) -> int:
    """Return the notional in 1e-9 USD, rounded up: a limit must not be passed by a fraction."""
    return -(-abs(quantity_micro) * price_nano // QUANTITY_SCALE)


def seconds(duration_ns: int) -> float:
    """Return a duration in seconds, for display."""
    return duration_ns / NANOS_PER_SECOND


def nanos(duration_s: float) -> int:
    """Return a parameter in seconds as nanoseconds."""
    return round(duration_s * NANOS_PER_SECOND)


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.10g}"
