"""Owns the start gate of a free-running session: the simulator's clock stands until the warm-up has gone through.

Hundreds of warm-up minutes take seconds of wall time, and at many times real time these are many session minutes.
"""

from __future__ import annotations

from walstreet.runtime.loop_ports import Message
from walstreet_events import BarBlock, FeatureBlock, OrderLink, PredictionBlock, SessionPhase, tag_of
from walstreet_events import headers as names
from walstreet_events.subjects import SUBJECT_TABLE, TURN_ORDER

_SUBJECTS = {tag_of(row.event): row.template for row in SUBJECT_TABLE if "{" not in row.template}


class Readiness:
    """Follows the TAPE until every service runs and has nothing of the warm-up before it."""

    def __init__(self) -> None:
        """Start before the first message."""
        self._started: set[str] = set()
        self._last: dict[str, int] = {}
        self._through: dict[str, int] = {}

    def observe(self, message: Message) -> None:
        """Take note of one message of the TAPE."""
        self._started.add(message.producer)
        self._last[message.subject] = message.seq
        self._through[message.subject] = message.number(names.THROUGH)

    @property
    def reached(self) -> bool:
        """Return whether the session may begin."""
        bar, features, predictions = (_SUBJECTS[tag_of(kind)] for kind in (BarBlock, FeatureBlock, PredictionBlock))
        running = {service.value for service in TURN_ORDER} <= self._started
        # The gateway's first phase stands behind its warm-up bars; the order link comes when execution is connected.
        told = {_SUBJECTS[tag_of(SessionPhase)], _SUBJECTS[tag_of(OrderLink)]} <= self._last.keys()
        return (
            running
            and told
            and self._through.get(features, 0) >= self._last.get(bar, 0)
            and self._through.get(predictions, 0) >= self._last.get(features, 0)
        )
