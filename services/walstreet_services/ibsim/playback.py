"""Owns the playing of the market: which steps are due, in what order their effects happen, and the waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from walstreet_services.ibsim.gateway import DELAY_NS
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from walstreet_services.ibsim.clock import SessionClock
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.model import Market

IDLE_SECONDS = 0.25
"""How often a running clock lets time alone act once the steps are over."""
WAIT_SECONDS_MAX = 1.0


class Playback:
    """Plays steps up to an instant; nothing else moves the market."""

    def __init__(self, gateway: Gateway, *, steps_limit: int | None = None) -> None:
        self._gateway = gateway
        self._market: Market = gateway.market
        self._clock: SessionClock = gateway.clock
        count = self._market.steps_count
        self.steps_count = count if steps_limit is None else min(count, steps_limit)
        self._next = 0
        self._hold()

    @property
    def now_ns(self) -> int:
        """Return session time."""
        return self._clock.now_ns()

    @property
    def finished(self) -> bool:
        """Return whether every step has been played."""
        return self._next >= self.steps_count

    def step_end_ns(self, index: int) -> int:
        """Return the end of a step, at which it is played."""
        return self._market.session.open_ns + (index + 1) * self._market.step_ns

    def instants(self, *, tail_seconds: int) -> range:
        """Return the instants of lockstep on the grid of steps: the lead before the open, the session, the tail."""
        step_ns = self._market.step_ns
        last_ns = self.step_end_ns(self.steps_count - 1) + tail_seconds * NS_PER_SECOND
        return range(self.now_ns + step_ns, last_ns + 1, step_ns)

    def skip_until(self, ts_ns: int) -> None:
        """Play the session up to ``ts_ns`` before anybody is connected, and leave the clock there."""
        while self._next < self.steps_count and self.step_end_ns(self._next) <= ts_ns:
            self._play_next()
        self._gateway.on_clock()

    async def play_until(self, ts_ns: int) -> int:
        """Play every step that ends at or before ``ts_ns`` and set the clock; return how many were played.

        All messages that the steps cause have been written to the sockets when this returns, and clients that
        lag have been waited for.
        """
        played = 0
        while self._next < self.steps_count and self.step_end_ns(self._next) <= ts_ns:
            self._play_next()
            played += 1
            self._gateway.flush()
            for connection in self._gateway.connections():
                await connection.drain()
            # Requests that have arrived meanwhile are handled between two steps, never within one.
            await asyncio.sleep(0)
        if self._clock.granted:
            self._clock.advance(ts_ns)
        self._gateway.on_clock()
        self._gateway.flush()
        return played

    def _play_next(self) -> None:
        self._gateway.before_step(self._next, self.step_end_ns(self._next))
        step = self._market.step(self._next)
        late_index = self._next - DELAY_NS // self._market.step_ns
        late = None
        if self._gateway.delayed is not None and late_index >= 0:
            late = self._market.step(late_index)
        self._next += 1
        self._hold()
        self._clock.advance(step.ts_ns)
        self._gateway.on_step(step, late)

    def _hold(self) -> None:
        """Keep the clock behind the next step, which its clients have not been told of."""
        self._clock.hold_before(None if self.finished else self.step_end_ns(self._next))

    async def run(self, started: asyncio.Event) -> None:
        """Follow a running clock for ever, or play a granted one as fast as the clients read."""
        await started.wait()
        if self._clock.granted:
            while not self.finished:
                await self.play_until(self.step_end_ns(self._next))
            await self.play_until(self._market.session.close_ns)
            return
        self._clock.start()
        while True:
            await self.play_until(self._clock.due_ns())
            wait = IDLE_SECONDS
            if not self.finished:
                wait = self._clock.wall_seconds_until(self.step_end_ns(self._next))
            await asyncio.sleep(min(wait, WAIT_SECONDS_MAX))
