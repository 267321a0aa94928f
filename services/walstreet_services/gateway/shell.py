"""Owns the gateway's imperative side: subscriptions, warm-up history, session time, and raw ticks to MD."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from walstreet.domain.gateway import to_tick
from walstreet.domain.observations import (
    BrokerBarObserved,
    HistoryBar,
    HistoryObserved,
    InstrumentsObserved,
    Observation,
    QuoteObserved,
    TimeObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet.domain.silence import Renewal, SilenceWatch
from walstreet.ports import Broker, Clock, Observer, TickSink
from walstreet.runtime.clocks import ToldClock
from walstreet.runtime.outside import BrokerLink
from walstreet.runtime.settings import Settings
from walstreet_events import AnyEvent
from walstreet_services.gateway.daily import DailyDesk
from walstreet_services.gateway.renewal import RenewalDesk

DAILY_BARS = 20
"""Sessions over which the average daily volume is taken."""
DAY_SECONDS = 86_400
UNTIMED_MAX = 100_000
"""Ticks that wait to be told when they were, with a simulator that runs freely; beyond it they keep their arrival."""


class FlushableSink(TickSink, Protocol):
    """A tick sink that can be waited for."""

    async def flush(self) -> None:
        """Hand everything queued to the socket."""

    async def run(self) -> None:
        """Send until cancelled."""


class GatewayShell:
    """Background and effects of the gateway."""

    def __init__(
        self,
        *,
        settings: Settings,
        make_broker: Callable[[Observer, Clock], Broker],
        errors: tuple[type[Exception], ...],
        ticks: FlushableSink,
        wall: Clock,
    ) -> None:
        """Wire; ``attach`` gives the loop's ``observe``."""
        self._settings = settings
        self._mode = settings.runtime.clock
        self._clock = ToldClock(settings.session.open_ns - settings.gateway.pre_open_s * 1_000_000_000)
        self._wall = wall
        self._ticks = ticks
        self._tick_seq: dict[type, int] = {}
        self._untimed: list[QuoteObserved | TradeObserved | VolumeObserved] = []
        self._observe: Callable[[Observation], None] = _unattached
        self._daily = DailyDesk(session=settings.session, parameters=settings.gateway, errors=errors)
        session = settings.session
        self._renewal = RenewalDesk(
            SilenceWatch(settings.gateway.silence, open_ns=session.open_ns, close_ns=session.close_ns),
            renew=self._renew,
            deliver=self._deliver,
            errors=errors,
        )
        self._subscribing = asyncio.Lock()
        broker_clock = wall if self._mode == "wall" else self._clock
        self.link = BrokerLink(
            make=lambda observer: make_broker(observer, broker_clock),
            clock=self._clock,
            lockstep=self._mode == "turns",
            deliver=self._deliver,
            after_connect=self._subscribe,
            errors=errors,
            client_id=settings.broker.gateway_client_id,
            reconnect=settings.broker.reconnect,
            probe_s=settings.broker.probe_s,
        )

    def attach(self, observe: Callable[[Observation], None]) -> None:
        """Deliver observations to ``observe`` from now on."""
        self._observe = observe

    # -------------------------------------------------------------------------------------- background

    async def start(self) -> None:
        """Connect, ask for reference data and warm-up history, subscribe."""
        await self.link.start()

    async def run(self) -> None:
        """Keep the connection, the ticks and session time going until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._mode == "turns":
                # The barrier reconnects; a second task doing the same would race with it.
                await asyncio.Event().wait()
            group.create_task(self.link.keep(), name="link")
            group.create_task(self._ticks.run(), name="ticks")
            group.create_task(self._renewal.follow(self.link.broker, self._clock.now_ns), name="renewal")
            group.create_task(self._daily.follow(self.link.broker, self._clock.now_ns, self._observe), name="daily")
            group.create_task(self.link.follow_time(self._wall if self._mode == "wall" else None), name="time")
            group.create_task(self.link.probe(), name="probe")

    async def stop(self) -> None:
        """Disconnect."""
        await self.link.stop()

    # ----------------------------------------------------------------------------------------- effects

    async def react(self, event: AnyEvent) -> None:
        """Do nothing: the gateway's facts have no effect outside the log."""

    async def barrier(self, now_ns: int) -> None:
        """Observe everything up to ``now_ns``, then the time itself; once a turn is enough."""
        if self._clock.now_ns() == now_ns:
            return
        for observation in await self.link.barrier(now_ns):
            self._deliver(observation)
        await self._ticks.flush()
        self._observe(TimeObserved(ts_ns=now_ns))
        await self._renewal.look(self.link.broker, now_ns)
        if self._daily.due(now_ns):
            answer = await self._daily.ask(self.link.broker, now_ns)
            if answer is not None:
                self._observe(answer)

    async def recover(self, replayed: int) -> None:
        """Return at once: missed minutes are repaired from the broker's history after the connection."""

    # ----------------------------------------------------------------------------------------- helpers

    def _deliver(self, observation: Observation) -> None:
        heard = self._renewal.note(observation, self._clock.now_ns())
        if heard is not None:
            self._forward(heard)
        if self._mode != "broker":
            self._forward(observation)
            return
        # The simulator may run so fast that its steps are seconds apart, and its ticks carry no time. Its five-second
        # bars end a step, and its time comes behind everything that happened before: both tell when it was.
        match observation:
            case QuoteObserved() | TradeObserved() | VolumeObserved() if len(self._untimed) < UNTIMED_MAX:
                self._untimed.append(observation)
                return
            case BrokerBarObserved():
                self._forward_untimed(observation.bar.start_ns + observation.bar_ns)
            case TimeObserved():
                self._forward_untimed(observation.ts_ns)
            case _:
                self._forward_untimed(self._clock.now_ns())
        self._forward(observation)

    def _forward_untimed(self, ts_ns: int) -> None:
        for observation in self._untimed:
            self._forward(msgspec.structs.replace(observation, ts_ns=max(observation.ts_ns, ts_ns)))
        self._untimed.clear()

    def _forward(self, observation: Observation) -> None:
        # Quotes and trades are numbered apart, so that a reader of one kind sees its own gaps.
        number = self._tick_seq.get(type(observation), 0) + 1
        tick = to_tick(observation, number)
        if tick is not None:
            self._tick_seq[type(observation)] = number
            self._ticks.publish(tick)
        self._observe(observation)

    async def _renew(self, broker: Broker, why: Renewal) -> None:
        """Subscribe anew, and after a lost link ask for what was missed, too."""
        async with self._subscribing:
            # Quotes first: history may be refused or dead for hours, and must not keep them away.
            await self._stream(broker)
            if why is Renewal.RESTORED:
                await self._ask_reference(broker)

    async def _subscribe(self, broker: Broker) -> None:
        """Ask for everything the session needs; repeated after every connection."""
        async with self._subscribing:
            await self._ask_reference(broker)
            await self._stream(broker)

    async def _stream(self, broker: Broker) -> None:
        self._renewal.begin(self._settings.session.symbols, self._clock.now_ns())
        await broker.stream(self._settings.session.symbols)

    async def _ask_reference(self, broker: Broker) -> None:
        """Ask for instruments and history."""
        session = self._settings.session
        symbols = session.symbols
        instruments = await broker.instruments(symbols)
        now_ns = max(self._clock.now_ns(), await broker.server_time_ns())
        prior_close: dict[str, int] = {}
        prior_low: dict[str, int] = {}
        close_before: dict[str, int] = {}
        volume: dict[str, int] = {}
        history: dict[str, tuple[HistoryBar, ...]] = {}
        for symbol in symbols:
            daily = await broker.history(symbol, end_ns=now_ns, days=DAILY_BARS, bar_seconds=DAY_SECONDS)
            before = [bar for bar in daily if bar.start_ns + 1 < session.open_ns][-DAILY_BARS:]
            prior_close[symbol] = before[-1].close_nano if before else 0
            prior_low[symbol] = before[-1].low_nano if before else 0
            close_before[symbol] = before[-2].close_nano if len(before) > 1 else 0
            volume[symbol] = _mean_volume(before)
            history[symbol] = await broker.history(
                symbol, end_ns=now_ns, days=session.warmup_days, bar_seconds=self._settings.gateway.bar_s
            )
        self._observe(
            InstrumentsObserved(
                ts_ns=now_ns,
                instruments=instruments,
                prior_close_nano=prior_close,
                average_daily_volume_micro=volume,
                prior_low_nano=prior_low,
                close_before_nano=close_before,
            )
        )
        self._observe(HistoryObserved(ts_ns=now_ns, bar_ns=self._settings.gateway.bar_ns, bars=history))


def _mean_volume(bars: Sequence[HistoryBar]) -> int:
    """Return the mean session volume in micro shares, 0 when unknown; a session without volume is unknown."""
    known = [bar.volume_micro for bar in bars if bar.volume_micro > 0]
    return sum(known) // len(known) if known else 0


def _unattached(observation: Observation) -> None:
    raise AssertionError(f"observation before the loop was attached: {type(observation).__name__}")
