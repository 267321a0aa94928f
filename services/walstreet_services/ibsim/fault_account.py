"""Owns the faults of the account: margin calls and forced liquidation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from walstreet_services.ibsim.fault_model import Liquidation, MarginCall
from walstreet_services.ibsim.model import Side
from walstreet_services.ibsim.order_reports import EVERYBODY, NOBODY
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from walstreet_services.ibsim.fault_base import Fault
    from walstreet_services.ibsim.fault_engine import Active, FaultEngine, Step
    from walstreet_services.ibsim.gateway import Gateway


class FaultAccount:
    """Raises margins and closes holdings by force."""

    def __init__(self, gateway: Gateway, engine: FaultEngine) -> None:
        self._gateway = gateway
        self._engine = engine
        self._short_since_ns: int | None = None
        self.starts: dict[type[Fault], Step] = {MarginCall: self._set_rates, Liquidation: self._liquidate}
        self.stops: dict[type[Fault], Step] = {MarginCall: self._set_rates}

    def before_step(self, ts_ns: int) -> None:
        """Look at the account's excess, and liquidate one holding when a deficit has lasted."""
        for _, fault in self._engine.of(MarginCall)[:1]:
            account = self._gateway.account
            if account.equity() - account.maintenance_margin() >= 0:
                self._short_since_ns = None
                return
            if self._short_since_ns is None:
                self._short_since_ns = ts_ns
                self._engine.note("margin_call", ts_ns, excess_nano=account.equity() - account.maintenance_margin())
                self._gateway.refresh_account()
            if fault.liquidate and ts_ns - self._short_since_ns >= fault.grace_seconds * NS_PER_SECOND:
                waiting = [o.instrument_index for o in self._gateway.faulty_desk.live() if o.client_id == 0]
                held = [index for index in account.held() if index not in waiting]
                if held:
                    largest = max(held, key=lambda index: (abs(account.value(index)), -index))
                    self._close(largest, announce=fault.announce, now_ns=ts_ns, origin="margin_call")

    def _set_rates(self, _active: Active, _now_ns: int) -> None:
        """Let the oldest fault in force decide the rates, or without one the gateway's own."""
        rates = self._gateway.options.margin
        for _, fault in self._engine.of(MarginCall)[:1]:
            rates = replace(
                rates,
                initial_long_bps=fault.initial_bps,
                initial_short_bps=fault.initial_bps,
                maintenance_long_bps=fault.maintenance_bps,
                maintenance_short_bps=fault.maintenance_bps,
            )
        self._gateway.account.margin = rates
        self._short_since_ns = None
        self._gateway.refresh_account()

    def _liquidate(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Liquidation)
        for index in self._gateway.account.held():
            if not fault.symbols or index in active.indices:
                self._close(index, announce=fault.announce, now_ns=now_ns, origin="liquidation")

    def _close(self, index: int, *, announce: bool, now_ns: int, origin: str) -> None:
        quantity = self._gateway.account.positions[index].quantity_micro
        self._gateway.faulty_desk.add_foreign(
            client_id=0,
            order_id=0,
            instrument=self._gateway.market.instruments[index],
            instrument_index=index,
            side=Side.SELL if quantity > 0 else Side.BUY,
            quantity_micro=abs(quantity),
            limit_nano=None,
            addressee=EVERYBODY if announce else NOBODY,
            now_ns=now_ns,
            origin=origin,
        )
