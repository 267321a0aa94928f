"""Owns the tests of the gateway's daily bars: written once in a session, by the core and by the desk that asks."""

from __future__ import annotations

from collections.abc import Sequence

from walstreet.domain.gateway import GatewayCore
from walstreet.domain.gateway_parameters import GatewayParameters, SessionPlan
from walstreet.domain.observations import DailyBarsObserved, HistoryBar
from walstreet.domain.units import DAY_NS, MINUTE_NS
from walstreet.runtime.settings import SessionSettings
from walstreet_events import PRICE_SCALE, DailyBars
from walstreet_services.gateway.daily import DailyDesk

OPEN_NS = 1_764_599_400_000_000_000
CLOSE_NS = OPEN_NS + 390 * MINUTE_NS
DECISION_NS = CLOSE_NS - 5 * MINUTE_NS
SYMBOLS = ("A", "B")
PLAN = SessionPlan(session_date="2025-12-01", open_ns=OPEN_NS, close_ns=CLOSE_NS, symbols=SYMBOLS, market="live")
PARAMETERS = GatewayParameters(daily_lead_s=300, daily_days=5)
SESSION = SessionSettings(date="2025-12-01", open_ns=OPEN_NS, close_ns=CLOSE_NS, symbols=SYMBOLS)


class RefusedError(Exception):
    """What the broker of these tests raises."""


class HistoryBroker:
    """Answers histories; refuses some symbols, or loses its connection."""

    def __init__(self, *, refuses: Sequence[str] = (), loses: bool = False) -> None:
        self.connected = True
        self.asked: list[tuple[str, int, str]] = []
        self._refuses, self._loses = refuses, loses

    async def history(
        self, symbol: str, *, end_ns: int, days: int, bar_seconds: int, what: str = "TRADES"
    ) -> tuple[HistoryBar, ...]:
        """Return one bar: yesterday's day, or the first minute of today."""
        self.asked.append((symbol, bar_seconds, what))
        if self._loses:
            self.connected = False
        if self._loses or symbol in self._refuses:
            raise RefusedError(f"no {symbol} of {days} days until {end_ns}")
        start_ns = OPEN_NS - DAY_NS if bar_seconds == 86_400 else OPEN_NS
        price = 10 * PRICE_SCALE
        return (
            HistoryBar(
                start_ns=start_ns,
                open_nano=price,
                high_nano=price,
                low_nano=price,
                close_nano=price,
                volume_micro=1,
                vwap_nano=price,
                trade_count=1,
            ),
        )


def desk() -> DailyDesk:
    """Return a desk for the session."""
    return DailyDesk(session=SESSION, parameters=PARAMETERS, errors=(RefusedError,))


async def test_the_desk_asks_once_when_its_time_has_come() -> None:
    """Not before, not after the close, and not again after an answer: adjusted days, then today's minutes."""
    asking, broker = desk(), HistoryBroker()
    assert [asking.due(ts) for ts in (DECISION_NS - 1, DECISION_NS, CLOSE_NS)] == [False, True, False]
    answer = await asking.ask(broker, DECISION_NS)  # type: ignore[arg-type] -- the part of the port that is asked
    assert answer is not None
    assert set(answer.daily) == set(answer.minutes) == set(SYMBOLS)
    assert broker.asked[:2] == [("A", 86_400, "ADJUSTED_LAST"), ("A", 60, "TRADES")]
    assert not asking.due(DECISION_NS + MINUTE_NS)


async def test_a_refused_symbol_is_left_out() -> None:
    """One symbol without data does not keep the others from being decided on."""
    answer = await desk().ask(HistoryBroker(refuses=("B",)), DECISION_NS)  # type: ignore[arg-type] -- as above
    assert answer is not None
    assert set(answer.daily) == {"A"}


async def test_a_lost_connection_is_asked_again() -> None:
    """Without a connection there is no answer, and the question is due again a little later."""
    asking = desk()
    assert await asking.ask(HistoryBroker(loses=True), DECISION_NS) is None  # type: ignore[arg-type] -- as above
    later_ns = DECISION_NS + PARAMETERS.daily_retry_s * 1_000_000_000
    assert [asking.due(ts) for ts in (later_ns - 1, later_ns)] == [False, True]


def test_no_lead_never_asks() -> None:
    """The intraday stack asks for no daily bars."""
    idle = DailyDesk(session=SESSION, parameters=GatewayParameters(), errors=())
    assert not idle.due(DECISION_NS)


async def test_the_core_writes_the_block_once_also_over_a_restart() -> None:
    """A second answer in the session, in the same life or the next, adds nothing to the log."""
    answer: DailyBarsObserved | None = await desk().ask(HistoryBroker(), DECISION_NS)  # type: ignore[arg-type]
    assert answer is not None
    core = GatewayCore(PARAMETERS, PLAN)
    state = core.initial()
    events = list(core.observe(state, answer))
    (block,) = [event for event in events if isinstance(event, DailyBars)]
    assert block.dates == ("2025-11-30", "2025-12-01")
    life = core.initial()
    for event in events:
        state = core.evolve(state, event)
        life = core.evolve(life, event)
    assert not any(isinstance(event, DailyBars) for event in core.observe(state, answer))
    assert not any(isinstance(event, DailyBars) for event in core.observe(life, answer))
