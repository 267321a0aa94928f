"""Owns the faults of the market: halts, limit bands, price shocks, what can be borrowed, splits and dividends."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from walstreet_services.ibsim import streams
from walstreet_services.ibsim.fault_model import Borrow, Dividend, Halt, LimitBands, PriceShock, Split
from walstreet_services.ibsim.faulty_market import Adjustment, FaultyMarket, Halted
from walstreet_services.ibsim.units import MICRO_PER_SHARE, NS_PER_SECOND, nano_from_float, notional_nano

if TYPE_CHECKING:
    from walstreet_services.ibsim.fault_base import Fault
    from walstreet_services.ibsim.fault_engine import Active, FaultEngine, Step
    from walstreet_services.ibsim.fault_orders import FaultOrders
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.tape import Change

BPS = 10_000
REFERENCE_NS = 300 * NS_PER_SECOND
"""The reference price of the bands is the mean of the trades of the last five minutes."""
NOT_HALTED, GENERAL, VOLATILITY = "0.0", "1.0", "2.0"
NAN = "nan"


def code_of(fault: Halt) -> str:
    """Return tick 49 of a halt."""
    return GENERAL if fault.reason == "general" else VOLATILITY


@dataclass(slots=True)
class _BandState:
    """What the bands remember of one instrument."""

    trades: deque[tuple[int, int]] = field(default_factory=deque)
    limit_since_ns: int | None = None
    pause: Halted | None = None


class FaultPrices:
    """Changes what the market shows."""

    def __init__(self, gateway: Gateway, engine: FaultEngine, market: FaultyMarket, orders: FaultOrders) -> None:
        self._gateway = gateway
        self._engine = engine
        self._market = market
        self._orders = orders
        self._halted: dict[int, list[Halted]] = {}
        self._codes: dict[int, str] = {}
        self._bands: dict[tuple[int, int], _BandState] = {}
        self.starts: dict[type[Fault], Step] = {
            Halt: self._start_halt,
            PriceShock: self._shock,
            Borrow: self._tell_borrow,
            Split: self._split,
            Dividend: self._dividend,
        }
        self.stops: dict[type[Fault], Step] = {
            Halt: self._stop_halt,
            Borrow: self._stop_borrow,
            LimitBands: self._stop_bands,
        }

    # Questions

    def halted_text(self, index: int) -> str:
        """Return tick 49 of an instrument."""
        return self._codes.get(index, NOT_HALTED)

    def shortable(self, index: int) -> list[Change] | None:
        """Return ticks 46 and 89 as a fault has them, None without one."""
        for active, fault in reversed(self._engine.of(Borrow)):
            if index in active.indices:
                level = NAN if fault.level is None else str(fault.level)
                shares = NAN if fault.shares is None else str(fault.shares)
                return [(b"45\x006\x00", f"46\0{level}\0".encode()), (b"2\x006\x00", f"89\0{shares}\0".encode())]
        return None

    # Halts

    def _start_halt(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Halt)
        self._halted[active.number] = []
        for index in active.indices:
            halted = Halted(from_ns=now_ns, gone=fault.quotes == "gone")
            self._halted[active.number].append(halted)
            self._market.halt(index, halted)
            self._tell_halt(index, code_of(fault), announce=fault.announce)

    def _stop_halt(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Halt)
        for halted in self._halted.pop(active.number):
            halted.until_ns = now_ns
        for index in active.indices:
            still = [code_of(other) for item, other in self._engine.of(Halt) if index in item.indices]
            self._tell_halt(index, still[-1] if still else NOT_HALTED, announce=fault.announce)

    def _tell_halt(self, index: int, code: str, *, announce: bool) -> None:
        if announce:
            self._codes[index] = code
            self._tell(index, [(b"45\x006\x00", f"49\0{code}\0".encode())], shortable=False)

    def _tell(self, index: int, changes: list[Change], *, shortable: bool) -> None:
        for session in self._gateway.sessions():
            for stream in session.quotes.values():
                if stream.index == index and (stream.shortable or not shortable):
                    session.send(streams.quote_frames(stream.head, changes))

    def before_step(self, number: int, ts_ns: int) -> None:
        """Set the bands of the step that is going to be played, and start or end pauses."""
        for active, fault in self._engine.of(LimitBands):
            for index in active.indices:
                state = self._bands.setdefault((active.number, index), _BandState())
                self._band(fault, index, state, number, ts_ns)

    def _band(self, fault: LimitBands, index: int, state: _BandState, number: int, ts_ns: int) -> None:
        if state.pause is not None:
            if ts_ns <= state.pause.until_ns:
                return
            state.pause = None
            state.trades.clear()
            self._tell_halt(index, NOT_HALTED, announce=True)
        step = self._market.step(number)
        while state.trades and state.trades[0][0] <= ts_ns - REFERENCE_NS:
            state.trades.popleft()
        if state.trades:
            reference = sum(price for _, price in state.trades) // len(state.trades)
            low, high = reference * (BPS - fault.band_bps) // BPS, reference * (BPS + fault.band_bps) // BPS
            tick = self._market.instruments[index].min_tick_nano
            low, high = -(-low // tick) * tick, high // tick * tick
            self._market.band(index, ts_ns, low, high)
            bid, ask = int(step.bid_nano[index]), int(step.ask_nano[index])
            at_limit = bool(bid and ask) and (bid >= high or ask <= low)
            state.limit_since_ns = (state.limit_since_ns or ts_ns) if at_limit else None
            limited_ns = 0 if state.limit_since_ns is None else ts_ns - state.limit_since_ns
            if state.limit_since_ns is not None and limited_ns >= fault.limit_state_seconds * NS_PER_SECOND:
                state.limit_since_ns = None
                state.pause = Halted(from_ns=ts_ns, until_ns=ts_ns + round(fault.pause_seconds * NS_PER_SECOND))
                self._market.halt(index, state.pause)
                self._tell_halt(index, VOLATILITY, announce=True)
                self._engine.note("limit_pause", ts_ns, symbol=self._market.instruments[index].symbol)
        played = self._market.step(number)
        if int(played.trade_size_micro[index]):
            state.trades.append((ts_ns, int(played.trade_nano[index])))

    def _stop_bands(self, active: Active, now_ns: int) -> None:
        for index in active.indices:
            state = self._bands.pop((active.number, index), None)
            if state is not None and state.pause is not None and state.pause.until_ns > now_ns:
                state.pause.until_ns = now_ns
                self._tell_halt(index, NOT_HALTED, announce=True)

    # Prices and shares

    def _shock(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, PriceShock)
        change = Adjustment(from_ns=now_ns, numerator=BPS + fault.change_bps, denominator=BPS)
        self._market.adjust(active.indices[0], change)

    def _tell_borrow(self, active: Active, _now_ns: int) -> None:
        for index in active.indices:
            self._tell(index, self._gateway.shortable(index), shortable=True)

    def _stop_borrow(self, active: Active, now_ns: int) -> None:
        self._tell_borrow(active, now_ns)
        for index in active.indices:
            self._orders.release_located(index, now_ns)

    def _split(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Split)
        (index,) = active.indices
        gateway = self._gateway
        instrument = self._market.instruments[index]
        change = Adjustment(from_ns=now_ns, numerator=fault.old_shares, denominator=fault.new_shares, split=True)
        for order in gateway.faulty_desk.live():
            if order.instrument_index == index:
                gateway.faulty_desk.end(order, now_ns, "Order Canceled - reason:Corporate action")
        image = gateway.live.images[index]
        mark_nano = change.price(image.mark_nano, instrument.min_tick_nano, 0)
        self._market.adjust(index, change)
        for state in [item for (_, place), item in self._bands.items() if place == index]:
            state.trades.clear()
        for tape in (gateway.live, gateway.delayed):
            if tape is not None:
                tape.rescale(index, lambda nano: change.price(nano, instrument.min_tick_nano, 0), change.size)
        position = gateway.account.positions.get(index)
        cash_nano = 0
        if position is not None and position.quantity_micro:
            sign = 1 if position.quantity_micro > 0 else -1
            exact = abs(position.quantity_micro) * fault.new_shares // fault.old_shares
            whole = exact // MICRO_PER_SHARE * MICRO_PER_SHARE
            # Fractions are paid out at the new price, as brokers do.
            cash_nano = notional_nano(mark_nano, sign * (exact - whole))
            position.quantity_micro = sign * whole
            position.cost_nano -= cash_nano
            gateway.account.cash_nano += cash_nano
            gateway.traded(index)
        self._engine.note(
            "split",
            now_ns,
            symbol=fault.symbol,
            new_shares=fault.new_shares,
            old_shares=fault.old_shares,
            cash_nano=cash_nano,
        )

    def _dividend(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Dividend)
        (index,) = active.indices
        each_nano = nano_from_float(fault.usd_per_share)
        position = self._gateway.account.positions.get(index)
        paid_nano = notional_nano(each_nano, position.quantity_micro) if position else 0
        self._gateway.account.cash_nano += paid_nano
        if fault.price_drops:
            change = Adjustment(from_ns=now_ns, numerator=1, denominator=1, plus_nano=-each_nano)
            self._market.adjust(index, change)
        if position is not None:
            self._gateway.traded(index)
        self._engine.note("dividend", now_ns, symbol=fault.symbol, paid_nano=paid_nano)
