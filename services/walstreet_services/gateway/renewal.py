"""Owns the subscribing anew of market data: when ticks stay away, and after every link that is said to be restored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from walstreet.domain.feeds import GATEWAY, TICKS, line
from walstreet.domain.observations import FeedObserved, Observation
from walstreet.domain.silence import Renewal, SilenceWatch
from walstreet.ports import Broker

POLL_S = 0.1
"""How often a free-running gateway looks at session time."""
REMEDY = "everything is subscribed anew until ticks come; look at the gateway's own log-in and data farms"


class RenewalDesk:
    """Subscribes anew when it is due, and tells the log of a silence and of its end."""

    def __init__(
        self,
        watch: SilenceWatch,
        *,
        renew: Callable[[Broker, Renewal], Awaitable[None]],
        deliver: Callable[[Observation], None],
        errors: tuple[type[Exception], ...],
    ) -> None:
        """Renew through ``renew``, whose ``errors`` mean *not now*."""
        self._watch = watch
        self._renew = renew
        self._deliver = deliver
        self._not_now: tuple[type[Exception], ...] = (*errors, OSError, TimeoutError)
        self._data_type = "unknown"
        self._told = False
        """Whether a silence stands on the log."""
        self._log = structlog.get_logger().bind(service="gateway")

    def note(self, observation: Observation, now_ns: int) -> FeedObserved | None:
        """Take what arrives, and return the end of a silence, to be delivered before it."""
        if isinstance(observation, FeedObserved) and observation.farm != TICKS:
            self._data_type = observation.data_type
        if not self._watch.note(observation, now_ns) or not self._told:
            return None
        self._told = False
        return self._fact(TICKS, now_ns, healthy=True, detail="ticks arrive again")

    async def look(self, broker: Broker, now_ns: int) -> None:
        """Subscribe anew if it is due; a failure is tried again after the next wait."""
        why = self._watch.due(now_ns) if broker.connected else None
        if why is None:
            return
        if why is Renewal.SILENT and not self._told:
            self._told = True
            self._deliver(self._fact(TICKS, now_ns, healthy=False, detail="no tick of any symbol arrives"))
        self._watch.asked(now_ns)
        self._log.error("market_data_renewed", reason=why.value, remedy=REMEDY)
        try:
            await self._renew(broker, why)
        except self._not_now as error:
            self._log.warning("market_data_not_renewed", reason=why.value, error=str(error))

    def begin(self, symbols: Sequence[str], now_ns: int) -> None:
        """Take back what was told of single subscriptions: they are made anew, and a refusal is told anew."""
        for farm in (*map(line, symbols), GATEWAY):
            self._deliver(self._fact(farm, now_ns, healthy=True, detail="subscribed anew"))

    async def follow(self, broker: Broker, now_ns: Callable[[], int]) -> None:
        """Free-running: look until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.look(broker, now_ns())

    def _fact(self, farm: str, ts_ns: int, *, healthy: bool, detail: str) -> FeedObserved:
        return FeedObserved(ts_ns=ts_ns, farm=farm, healthy=healthy, data_type=self._data_type, code=0, detail=detail)
