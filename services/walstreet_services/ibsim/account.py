"""Owns the account: cash, positions, average cost, commission and margin.

Average cost includes commission, as the broker computes it. Margins follow Regulation T and the usual house
rates as parameters of ``MarginModel``; the commission is the broker's fixed schedule (USD per share with a
minimum and a maximum per order), as parameters of ``CommissionModel``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from walstreet_services.ibsim.units import MICRO_PER_SHARE, NANO_PER_DOLLAR, money_text, notional_nano

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.model import Side

BPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionModel:
    """The fixed schedule: per share, at least the minimum, at most a part of the order's value."""

    per_share_nano: int = 5_000_000
    minimum_nano: int = NANO_PER_DOLLAR
    value_bps_max: int = 100

    def order_total(self, quantity_micro: int, value_nano: int) -> int:
        """Return the fee of everything that an order has done so far, in 1e-9 USD."""
        by_shares = max(notional_nano(self.per_share_nano, quantity_micro), self.minimum_nano)
        return min(by_shares, abs(value_nano) * self.value_bps_max // BPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginModel:
    """Margin rates in basis points of position value."""

    initial_long_bps: int = 5000
    initial_short_bps: int = 5000
    maintenance_long_bps: int = 2500
    maintenance_short_bps: int = 3000

    def initial(self, value_nano: int) -> int:
        """Return the initial margin of one position of signed value."""
        return abs(value_nano) * (self.initial_long_bps if value_nano >= 0 else self.initial_short_bps) // BPS

    def maintenance(self, value_nano: int) -> int:
        """Return the maintenance margin of one position of signed value."""
        rate = self.maintenance_long_bps if value_nano >= 0 else self.maintenance_short_bps
        return abs(value_nano) * rate // BPS


@dataclass(slots=True)
class Position:
    """One holding; ``cost_nano`` is signed like the quantity and includes commission."""

    quantity_micro: int = 0
    cost_nano: int = 0
    realized_nano: int = 0

    @property
    def average_cost_nano(self) -> int:
        """Return the cost per share in 1e-9 USD, zero without a holding."""
        return round(self.cost_nano * MICRO_PER_SHARE / self.quantity_micro) if self.quantity_micro else 0


@dataclass(slots=True, kw_only=True)
class Account:
    """The one account of the simulated gateway; ``mark`` gives the present price of an instrument."""

    name: str
    cash_nano: int
    mark: Callable[[int], int]
    commission: CommissionModel = field(default_factory=CommissionModel)
    margin: MarginModel = field(default_factory=MarginModel)
    positions: dict[int, Position] = field(default_factory=dict)
    realized_nano: int = 0
    start_equity_nano: int = 0
    unsettled_nano: int = 0
    """Proceeds of the session's sales of what was held; they settle on the next trading day."""

    def __post_init__(self) -> None:
        """Remember the equity at the start of the day, from which daily profit is counted."""
        self.start_equity_nano = self.equity()

    def apply(
        self, index: int, side: Side, *, quantity_micro: int, price_nano: int, commission_nano: int
    ) -> int | None:
        """Book one execution and return its realised result, None when it only opened.

        A crossing of zero closes first and opens the rest; the commission is shared by quantity.
        """
        position = self.positions.setdefault(index, Position())
        signed = quantity_micro if side == "BUY" else -quantity_micro
        value = notional_nano(price_nano, signed)
        self.cash_nano -= value + commission_nano
        held = position.quantity_micro
        closing = min(quantity_micro, abs(held)) if held * signed < 0 else 0
        if closing == 0:
            position.quantity_micro += signed
            position.cost_nano += value + commission_nano
            return None
        closing_signed = closing if signed > 0 else -closing
        self.unsettled_nano += notional_nano(price_nano, closing) if signed < 0 else 0
        closing_commission = commission_nano * closing // quantity_micro
        cost_released = position.cost_nano * closing // abs(held)
        realized = -notional_nano(price_nano, closing_signed) - cost_released - closing_commission
        position.quantity_micro += signed
        opening = signed - closing_signed
        if opening:
            position.cost_nano = notional_nano(price_nano, opening) + commission_nano - closing_commission
        else:
            position.cost_nano = position.cost_nano - cost_released if position.quantity_micro else 0
        position.realized_nano += realized
        self.realized_nano += realized
        return realized

    def correct(self, index: int, *, quantity_micro: int, value_nano: int, realized_nano: int | None) -> int | None:
        """Book the difference that a correction makes, signed like the execution, and return its realised result.

        An execution that opened changes the holding's cost; one that closed changes the result.
        """
        position = self.positions.setdefault(index, Position())
        self.cash_nano -= value_nano
        position.quantity_micro += quantity_micro
        if realized_nano is None:
            position.cost_nano += value_nano
            return None
        # What comes back into the holding comes back at its average cost, which the result then has not earned.
        back_nano = 0
        held_micro = position.quantity_micro - quantity_micro
        if quantity_micro and held_micro:
            back_nano = position.cost_nano * quantity_micro // held_micro
        elif quantity_micro:
            back_nano = notional_nano(self.mark(index), quantity_micro)
        position.cost_nano += back_nano
        change_nano = back_nano - value_nano
        position.realized_nano += change_nano
        self.realized_nano += change_nano
        return realized_nano + change_nano

    def value(self, index: int) -> int:
        """Return the signed market value of one holding."""
        position = self.positions.get(index)
        return notional_nano(self.mark(index), position.quantity_micro) if position else 0

    def unrealized(self, index: int) -> int:
        """Return the open result of one holding."""
        position = self.positions.get(index)
        return self.value(index) - position.cost_nano if position else 0

    def held(self) -> list[int]:
        """Return the instruments with a holding, in ascending order."""
        return [index for index in sorted(self.positions) if self.positions[index].quantity_micro]

    def equity(self) -> int:
        """Return cash plus the signed value of all holdings."""
        return self.cash_nano + sum(self.value(index) for index in self.positions)

    def initial_margin(self) -> int:
        """Return the initial margin of all holdings."""
        return sum(self.margin.initial(self.value(index)) for index in self.positions)

    def maintenance_margin(self) -> int:
        """Return the maintenance margin of all holdings."""
        return sum(self.margin.maintenance(self.value(index)) for index in self.positions)

    def unrealized_total(self) -> int:
        """Return the open result of all holdings."""
        return sum(self.unrealized(index) for index in self.positions)

    def daily(self) -> int:
        """Return the day's result."""
        return self.equity() - self.start_equity_nano

    def values(self) -> list[tuple[str, str, str]]:
        """Return the account values as tag, value and currency."""
        worth = [self.value(index) for index in self.positions]
        stock = sum(worth)
        equity = self.cash_nano + stock
        initial, maintenance = self.initial_margin(), self.maintenance_margin()
        available, excess = equity - initial, equity - maintenance
        leverage = self.margin.initial_long_bps
        cushion = excess / equity if equity > 0 else 0.0
        amounts = {
            "NetLiquidation": equity,
            "TotalCashValue": self.cash_nano,
            "SettledCash": self.cash_nano - self.unsettled_nano,
            "AccruedCash": 0,
            "AvailableFunds": available,
            "BuyingPower": max(available, 0) * BPS // leverage,
            "EquityWithLoanValue": equity,
            "ExcessLiquidity": excess,
            "FullAvailableFunds": available,
            "FullExcessLiquidity": excess,
            "FullInitMarginReq": initial,
            "FullMaintMarginReq": maintenance,
            "GrossPositionValue": sum(abs(value) for value in worth),
            "InitMarginReq": initial,
            "MaintMarginReq": maintenance,
            "PreviousDayEquityWithLoanValue": self.start_equity_nano,
            "StockMarketValue": stock,
            "CashBalance": self.cash_nano,
            "TotalCashBalance": self.cash_nano,
            "NetLiquidationByCurrency": equity,
            "UnrealizedPnL": self.unrealized_total(),
            "RealizedPnL": self.realized_nano,
        }
        rows = [
            ("AccountCode", self.name, ""),
            ("AccountReady", "true", ""),
            ("AccountType", "INDIVIDUAL", ""),
            ("Currency", "USD", "USD"),
            ("Cushion", f"{cushion:.6f}", ""),
            ("ExchangeRate", "1.00", "USD"),
        ]
        return rows + [(tag, money_text(value), "USD") for tag, value in amounts.items()]
