"""Owns when the gateway asks for daily bars: once in a session, minutes before its close, again until answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from walstreet.domain.gateway_parameters import GatewayParameters
from walstreet.domain.observations import DailyBarsObserved
from walstreet.ports import Broker
from walstreet.runtime.daily_bars import ask_daily_bars
from walstreet.runtime.settings import SessionSettings
from walstreet_events import NANOS_PER_SECOND

POLL_S = 0.05
"""How often a free-running gateway looks at session time."""


class DailyDesk:
    """Asks for the session's daily bars when their time has come."""

    def __init__(
        self, *, session: SessionSettings, parameters: GatewayParameters, errors: tuple[type[Exception], ...]
    ) -> None:
        """Prepare the question of one session; ``gateway.daily_lead_s`` of 0 never asks."""
        self._session = session
        self._parameters = parameters
        self._errors = errors
        lead_ns = parameters.daily_lead_s * NANOS_PER_SECOND
        self._due_ns = session.close_ns - lead_ns if lead_ns else None

    def due(self, now_ns: int) -> bool:
        """Return whether the broker must be asked at session time ``now_ns``."""
        return self._due_ns is not None and self._due_ns <= now_ns < self._session.close_ns

    async def ask(self, broker: Broker, now_ns: int) -> DailyBarsObserved | None:
        """Return the answer; a lost connection gives none, and then it is due again a little later."""
        answer = await ask_daily_bars(
            broker,
            self._session.symbols,
            now_ns=now_ns,
            days=self._parameters.daily_days,
            adjusted=self._parameters.daily_adjusted,
            errors=self._errors,
        )
        self._due_ns = now_ns + self._parameters.daily_retry_s * NANOS_PER_SECOND if answer is None else None
        return answer

    async def follow(
        self, broker: Broker, now_ns: Callable[[], int], deliver: Callable[[DailyBarsObserved], None]
    ) -> None:
        """Free-running: ask as soon as session time has come, until there is an answer."""
        while self._due_ns is not None:
            await asyncio.sleep(POLL_S)
            if self.due(now_ns()) and broker.connected:
                answer = await self.ask(broker, now_ns())
                if answer is not None:
                    deliver(answer)
