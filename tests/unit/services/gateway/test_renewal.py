"""The gateway subscribes anew, tells a silence once and its end once, and survives a broker that does not answer."""

from __future__ import annotations

from walstreet.domain.feeds import TICKS
from walstreet.domain.observations import FeedObserved, LinkObserved, QuoteObserved
from walstreet.domain.silence import Renewal, SilenceParameters, SilenceWatch
from walstreet_events import NANOS_PER_SECOND as S
from walstreet_services.gateway.renewal import RenewalDesk

OPEN, CLOSE = 1_000 * S, 2_000 * S


class Line:
    """A broker of which only the socket matters."""

    connected = True


def desk(*, failing=False):
    """Return a desk, what it renewed, and what it told."""
    renewed, told = [], []

    async def renew(_broker, why):
        """Remember, or fail as a query does."""
        renewed.append(why)
        if failing:
            raise TimeoutError("no answer")

    watch = SilenceWatch(SilenceParameters(), open_ns=OPEN, close_ns=CLOSE)
    made = RenewalDesk(watch, renew=renew, deliver=told.append, errors=())
    made.note(
        LinkObserved(ts_ns=0, connected=True, data_lost=True, client_id=11, next_order_id=0, code=0, detail=""), OPEN
    )
    made.note(FeedObserved(ts_ns=0, farm="market_data", healthy=True, data_type="live", code=0, detail=""), OPEN)
    return made, renewed, told


def quote():
    """Return a quote."""
    return QuoteObserved(symbol="A", ts_ns=0, bid_nano=1, ask_nano=2, bid_size_micro=1, ask_size_micro=1)


async def test_a_silence_is_told_once_and_so_is_its_end():
    """The kind of data that arrived last stays in force, because silence says nothing of it."""
    made, renewed, told = desk()
    for now_s in range(1_001, 1_100):
        await made.look(Line(), now_s * S)
    assert renewed == [Renewal.SILENT, Renewal.SILENT]
    assert [(item.farm, item.healthy, item.data_type) for item in told] == [(TICKS, False, "live")]
    ended = made.note(quote(), 1_100 * S)
    assert ended is not None
    assert (ended.farm, ended.healthy, ended.data_type) == (TICKS, True, "live")
    assert made.note(quote(), 1_101 * S) is None


async def test_a_renewal_that_fails_is_tried_again():
    """During an outage questions run into their timeout; the desk goes on looking."""
    made, renewed, _ = desk(failing=True)
    for now_s in range(1_001, 1_050):
        await made.look(Line(), now_s * S)
    assert len(renewed) == 2


async def test_nothing_is_asked_of_a_lost_socket():
    """The connection's maker subscribes once it is there again."""
    made, renewed, told = desk()
    line = Line()
    line.connected = False
    await made.look(line, 1_500 * S)
    assert (renewed, told) == ([], [])
