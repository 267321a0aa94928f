"""Owns the step from the rotation's targets to orders that a cash account may send, with one verdict for every symbol.

Pure, and shared by the arbiter and by `bot trade --dry-run`. The order of the rules: the whole (mode, time, equity, age
of the bars, one rebalance a day, drift band), then each symbol (halt, foreign order, order at work, mode), then the
batch: sells first, at most so many orders a day, purchases together within settled cash (scaled down alike), whole
lots, and at last ``compliance.check_batch`` over what is left, which may only take away.

A held name whose bar or history is missing is neither sold nor bought: what is not known is no reason to trade.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from walstreet.domain.compliance import CashFacts, check_batch, purchase_cost_nano
from walstreet.domain.daily_bars import indicator_table, select_columns
from walstreet.domain.day_trades import DayTrades
from walstreet.domain.guard_verdict import GuardedOrder, nano_of_usd, notional_nano
from walstreet.domain.rotation import RotationDecision, decide_rotation, must_trade, rotation_signals
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_select import RotationReason
from walstreet.domain.settlement import SettlementBook, violations_since
from walstreet.domain.units import FloatArray
from walstreet_events import NANOS_PER_SECOND, QUANTITY_SCALE, DailyBars, Mode, Side

UNKNOWN_REASONS = (RotationReason.NO_BAR, RotationReason.WARMING_UP)
"""Of a held name: nothing is known that speaks for selling it."""


class PlanStatus(StrEnum):
    """Stable codes of the whole rebalance."""

    REBALANCE = "rebalance"
    """Some weight is outside the band; the symbols' verdicts say what is ordered."""
    IN_BAND = "in_band"
    REBALANCE_DONE = "rebalance_done"
    """The session has had its rebalance."""
    MODE_EMERGENCY = "mode_emergency"
    TOO_LATE = "too_late"
    STALE_BARS = "stale_bars"
    NO_EQUITY = "no_equity"
    NO_POSITIONS = "no_positions"
    """The account's positions are not known yet."""


class PlanVerdict(StrEnum):
    """Stable codes of one symbol; a refusal of compliance stands with its own code."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    """The target is what is held, to the lot."""
    IN_BAND = "in_band"
    NOT_DECIDED = "not_decided"
    """The status of the whole says why."""
    NOT_KNOWN = "not_known"
    """Held, and its bar or history is missing: left as it is."""
    NO_REF = "no_ref"
    HALTED = "halted"
    EXTERNAL_ORDER = "external_order"
    PENDING_ORDER = "pending_order"
    SHORT_POSITION = "short_position"
    MODE_OBSERVE = "mode_observe"
    MODE_DEGRADED = "mode_degraded"
    """No new names in DEGRADED."""
    NOT_RECONCILED = "not_reconciled"
    ORDERS_TODAY = "orders_today"
    SETTLED_CASH = "settled_cash"
    """Settled cash does not pay for one lot; it waits for a later day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """What the plan must know of the account and the session; None always means *not known*."""

    session_date: str
    close_ns: int
    now_ns: int
    mode: Mode
    reconciled: bool
    equity_nano: int | None
    positions_micro: Mapping[str, int] | None
    lots_micro: Mapping[str, int]
    """Smallest tradable quantity of every instrument that is known."""
    working_micro: Mapping[str, int]
    """Symbols with an order at work and what may still trade of it, signed."""
    halted: Mapping[str, bool]
    external: Container[str]
    broker_settled_nano: int | None
    book: SettlementBook | None
    day_trades: DayTrades | None
    orders_today: int | None
    rebalance: str
    """Id of this rebalance."""
    rebalance_today: str | None
    """Id of the session's rebalance; empty before it."""
    year_ago: str


@dataclass(slots=True, kw_only=True)
class RotationPlan:
    """One rebalance, order by order; arrays are (N,) in the order of the universe."""

    symbols: tuple[str, ...]
    status: PlanStatus
    decision: RotationDecision
    price_nano: list[int]
    held_micro: list[int]
    weight_held: list[float]
    wanted_micro: list[int]
    """Target quantity before lots, cash and rules."""
    order_micro: list[int]
    """Signed quantity that is ordered."""
    verdicts: list[str]
    sequence: list[int]
    """Columns with an order, in the order in which they must be sent."""
    free_nano: int
    committed_nano: int
    details: dict[int, str] = field(default_factory=dict)
    """What compliance said of a column that it refused."""

    @property
    def target(self) -> FloatArray:
        """Return the target weights."""
        return self.decision.target


def plan_rotation(bars: DailyBars, view: AccountView, parameters: RotationLiveParameters) -> RotationPlan:
    """Return the rebalance of ``bars``' session."""
    symbols = parameters.universe or bars.symbols
    signals = rotation_signals(indicator_table(bars, symbols), parameters.selection)
    positions = view.positions_micro or {}
    held = [positions.get(symbol, 0) for symbol in symbols]
    columns = [column for column, quantity in enumerate(held) if quantity > 0]
    decision = decide_rotation(signals, len(bars.dates) - 1, columns)
    prices: list[int] = select_columns(bars, symbols)["close"][-1].tolist()
    capital_nano = round((view.equity_nano or 0) * parameters.capital_share)
    weights = [
        quantity * price / QUANTITY_SCALE / capital_nano if capital_nano > 0 else 0.0
        for quantity, price in zip(held, prices, strict=True)
    ]
    committed = _committed_nano(view, dict(zip(symbols, prices, strict=True)))
    known = [] if view.book is None or view.broker_settled_nano is None else [view.book.settled_nano]
    free = min([*known, view.broker_settled_nano or 0]) - (committed or 0) if known else 0
    plan = RotationPlan(
        symbols=symbols,
        status=_status(bars, view, parameters),
        decision=decision,
        price_nano=prices,
        held_micro=held,
        weight_held=weights,
        wanted_micro=_wanted(decision.target, prices, capital_nano),
        order_micro=[0] * len(symbols),
        verdicts=[PlanVerdict.NOT_DECIDED.value] * len(symbols),
        sequence=[],
        free_nano=free,
        committed_nano=committed or 0,
    )
    if plan.status is PlanStatus.REBALANCE:
        _Desk(plan=plan, view=view, parameters=parameters, committed_nano=committed).fill()
    return plan


def _status(bars: DailyBars, view: AccountView, parameters: RotationLiveParameters) -> PlanStatus:
    """Return why nothing is decided, or REBALANCE where the weights decide."""
    oldest_ns = view.now_ns - round(parameters.bars_age_s_max * NANOS_PER_SECOND)
    of_session = bars.session_date == view.session_date
    fresh = of_session and bars.ts_ns >= oldest_ns and bars.provisional_end_ns >= oldest_ns
    checks = (
        (view.rebalance_today not in {"", view.rebalance}, PlanStatus.REBALANCE_DONE),
        (view.mode is Mode.EMERGENCY, PlanStatus.MODE_EMERGENCY),
        (view.now_ns > view.close_ns - parameters.close_margin_s * NANOS_PER_SECOND, PlanStatus.TOO_LATE),
        (not fresh, PlanStatus.STALE_BARS),
        (view.equity_nano is None or view.equity_nano <= 0, PlanStatus.NO_EQUITY),
        (view.positions_micro is None, PlanStatus.NO_POSITIONS),
    )
    return next((status for stops, status in checks if stops), PlanStatus.REBALANCE)


def _wanted(target: FloatArray, prices: Sequence[int], capital_nano: int) -> list[int]:
    """Return the quantities that the weights are worth, rounded down to a millionth of a share."""
    return [
        int(weight * capital_nano * QUANTITY_SCALE // price) if price > 0 and weight > 0.0 else 0
        for weight, price in zip(target.tolist(), prices, strict=True)
    ]


def _committed_nano(view: AccountView, prices: Mapping[str, int]) -> int | None:
    """Return what purchases at work may still cost; None where one of them has no price here."""
    total = 0
    for symbol, quantity in view.working_micro.items():
        if quantity <= 0:
            continue
        price = prices.get(symbol, 0)
        if price <= 0:
            return None
        total += notional_nano(quantity, price)
    return total


# -------------------------------------------------------------------------------------------------- orders


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Fills in one plan's orders and verdicts."""

    plan: RotationPlan
    view: AccountView
    parameters: RotationLiveParameters
    committed_nano: int | None

    def fill(self) -> None:
        """Order what the targets want, or set IN_BAND where no weight is far enough from its target."""
        plan, reasons = self.plan, self.plan.decision.reasons
        unknown = [have != 0 and why in UNKNOWN_REASONS for have, why in zip(plan.held_micro, reasons, strict=True)]
        drifted = np.where(unknown, plan.target, plan.weight_held)
        outside = must_trade(plan.target.tolist(), drifted.tolist(), self.parameters.selection.band)
        if not outside:
            plan.status = PlanStatus.IN_BAND
        for column, missing in enumerate(unknown):
            verdict = PlanVerdict.NOT_KNOWN if missing else PlanVerdict.IN_BAND
            plan.verdicts[column] = (self._wish(column) if outside and not missing else verdict).value
        sells = self._largest_first([c for c, quantity in enumerate(plan.order_micro) if quantity < 0])
        buys = self._largest_first([c for c, quantity in enumerate(plan.order_micro) if quantity > 0])
        slots = self.parameters.compliance.orders_per_day_max - (self.view.orders_today or 0)
        for column in [*sells, *buys][max(0, slots) :]:
            self._drop(column, PlanVerdict.ORDERS_TODAY.value)
        self._fit_cash([c for c in buys if plan.order_micro[c]])
        sequence = [c for c in [*sells, *buys] if plan.order_micro[c]]
        batch = [self._facts(column, plan.order_micro[column]) for column in sequence]
        for item in check_batch(batch, self.parameters.compliance):
            column = sequence[item.index]
            if item.refusal is None:
                plan.sequence.append(column)
            else:
                self._drop(column, item.refusal.code)
                plan.details[column] = item.refusal.detail

    def _wish(self, column: int) -> PlanVerdict:
        """Set what the symbol would trade and return what stands against it by itself."""
        plan, view = self.plan, self.view
        symbol, held, wanted = plan.symbols[column], plan.held_micro[column], plan.wanted_micro[column]
        if held < 0:
            return PlanVerdict.SHORT_POSITION
        if not wanted and not held:
            return PlanVerdict.UNCHANGED
        lot = view.lots_micro.get(symbol, 0)
        if lot <= 0:
            return PlanVerdict.NO_REF
        # What is held beyond whole lots cannot be traded; it stays, and the record shows it.
        change = wanted // lot * lot - held // lot * lot
        rules = (
            (change == 0, PlanVerdict.UNCHANGED),
            (view.halted.get(symbol, False), PlanVerdict.HALTED),
            (symbol in view.external, PlanVerdict.EXTERNAL_ORDER),
            (symbol in view.working_micro, PlanVerdict.PENDING_ORDER),
            (change > 0 and view.mode is Mode.OBSERVE, PlanVerdict.MODE_OBSERVE),
            (change > 0 and view.mode is Mode.DEGRADED and held == 0, PlanVerdict.MODE_DEGRADED),
            (change > 0 and not view.reconciled, PlanVerdict.NOT_RECONCILED),
        )
        stopped = next((verdict for stops, verdict in rules if stops), None)
        if stopped is not None:
            return stopped
        plan.order_micro[column] = change
        return PlanVerdict.ACCEPTED

    def _largest_first(self, columns: Sequence[int]) -> list[int]:
        """Return columns by notional, equal ones in universe order: where slots are short, the largest matter most."""
        plan = self.plan
        return sorted(columns, key=lambda c: -notional_nano(plan.order_micro[c], plan.price_nano[c]))

    def _drop(self, column: int, verdict: str) -> None:
        self.plan.order_micro[column] = 0
        self.plan.verdicts[column] = verdict

    def _fit_cash(self, buys: Sequence[int]) -> None:
        """Scale purchases down alike until what they may cost together fits into free settled cash.

        Whole lots round down, so that the sum can only be smaller; what is missing is bought on a later day, when the
        proceeds of today's sales have settled.
        """
        plan = self.plan
        costs = {column: self._cost_nano(column, plan.order_micro[column]) for column in buys}
        total = sum(costs.values())
        # The proceeds of a sale settle later, its fee is taken today.
        sales = sum(quantity < 0 for quantity in plan.order_micro)
        budget = max(0, plan.free_nano - sales * nano_of_usd(self.parameters.compliance.fee_reserve_usd))
        if total <= budget or not buys:
            return
        for column in buys:
            lot = self.view.lots_micro[plan.symbols[column]]
            share = budget * costs[column] // total
            quantity = plan.order_micro[column] * share // max(costs[column], 1) // lot * lot
            # The fee's reserve does not shrink with the quantity, so some lots more may have to go.
            while quantity > 0 and self._cost_nano(column, quantity) > share:
                quantity -= max(lot, quantity // 1_000 // lot * lot)
            if quantity > 0:
                plan.order_micro[column] = quantity
            else:
                self._drop(column, PlanVerdict.SETTLED_CASH.value)

    def _cost_nano(self, column: int, quantity_micro: int) -> int:
        cost = purchase_cost_nano(self._facts(column, quantity_micro), self.parameters.compliance)
        assert cost is not None, "a name without a price has no target"
        return cost

    def _facts(self, column: int, quantity_micro: int) -> CashFacts:
        plan, view = self.plan, self.view
        return CashFacts(
            order=GuardedOrder(
                symbol=plan.symbols[column],
                side=Side.BUY if quantity_micro > 0 else Side.SELL,
                quantity_micro=abs(quantity_micro),
                limit_nano=None,
                position_micro=plan.held_micro[column],
            ),
            reference_nano=plan.price_nano[column],
            settled_cash_nano=view.broker_settled_nano,
            committed_nano=self.committed_nano,
            book=view.book,
            year_ago=view.year_ago,
            orders_today=view.orders_today,
            rebalance=view.rebalance,
            rebalance_today=view.rebalance_today,
            day_trades=view.day_trades,
            equity_nano=view.equity_nano,
        )


def violations(view: AccountView) -> int:
    """Return the good-faith violations that count."""
    return 0 if view.book is None else violations_since(view.book, view.year_ago)
