"""Tests of what raw messages become, with the installed library's own decoder and no network."""

from __future__ import annotations

import asyncio
import importlib.util
import struct
from typing import Any

import pytest

from walstreet.adapters.ibkr import ConnectOptions, LibraryMissingError
from walstreet.adapters.ibkr.library import load, new_client
from walstreet.adapters.ibkr.requests import REQUEST_ID_FIRST
from walstreet.adapters.ibkr.wire import Wire
from walstreet.domain.observations import (
    AccountObserved,
    CommissionObserved,
    ExecutionObserved,
    FeedObserved,
    HaltObserved,
    LinkObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
    QuoteObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet_events import NANOS_PER_SECOND

LIBRARIES = [name for name in ("ib_insync", "ib_async") if importlib.util.find_spec(name)]
LINE = REQUEST_ID_FIRST
UNSET = "1.7976931348623157E308"
NOW_NS = 1_795_185_001 * NANOS_PER_SECOND


class _Clock:
    """A clock that stands still."""

    def now_ns(self) -> int:
        return NOW_NS


class Harness:
    """A wire whose library client takes bytes from the test."""

    def __init__(self, library: str) -> None:
        """Stand where a connection is after its synchronisation."""
        self.seen: list[Observation] = []
        options = ConnectOptions(library=library)  # type: ignore[arg-type]
        self.wire = Wire(options, _Clock(), self.seen.append)
        self.client: Any = new_client(load(options.library), self.wire, self.wire.handlers())
        self.client._apiReady = True
        self.wire.ready = True
        self.wire.account = self.wire.book.account = "DU1"
        self.wire.ticks.open(LINE, "SPY")

    def send(self, *messages: tuple[object, ...], cut: int = 0) -> list[Observation]:
        """Hand messages over as bytes, in chunks of ``cut`` when positive; return what was observed."""
        self.seen.clear()
        data = b"".join(_frame(*fields) for fields in messages)
        size = cut or len(data)
        for start in range(0, len(data), size):
            self.client._onSocketHasData(data[start : start + size])
        return list(self.seen)


def _frame(*fields: object) -> bytes:
    payload = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(payload)) + payload


@pytest.fixture(params=LIBRARIES)
async def harness(request: pytest.FixtureRequest) -> Harness:
    """Return a harness under each installed library."""
    return Harness(request.param)


def _price(kind: int, price: str, size: str) -> tuple[object, ...]:
    return (1, 6, LINE, kind, price, size, 0)


def _size(kind: int, size: str) -> tuple[object, ...]:
    return (2, 6, LINE, kind, size)


def _quotes(seen: list[Observation]) -> list[tuple[int, int, int, int]]:
    return [
        (each.bid_nano, each.ask_nano, each.bid_size_micro, each.ask_size_micro)
        for each in seen
        if isinstance(each, QuoteObserved)
    ]


async def test_ticks_merge_into_quotes_on_a_change_only(harness: Harness) -> None:
    """Price and size messages of both sides make quotes; a size that repeats makes none."""
    seen = harness.send(_price(1, "99.99", "300"), _size(0, "300"), _price(2, "100.01", "200"), _size(3, "500"))
    assert _quotes(seen) == [
        (99_990_000_000, 0, 300_000_000, 0),
        (99_990_000_000, 100_010_000_000, 300_000_000, 200_000_000),
        (99_990_000_000, 100_010_000_000, 300_000_000, 500_000_000),
    ]


async def test_minus_one_means_no_side(harness: Harness) -> None:
    """The broker's -1 takes the side away with its size."""
    seen = harness.send(_price(1, "99.99", "300"), _price(1, "-1.0", "0"))
    assert _quotes(seen)[-1] == (0, 0, 0, 0)


async def test_the_cut_of_the_stream_does_not_matter(harness: Harness) -> None:
    """Byte by byte, or all at once, the same observations come in the same order."""
    messages = (_price(1, "99.99", "300"), _price(2, "100.01", "200"), _size(8, "12345"), _price(4, "100", "50"))
    whole = harness.send(*messages)
    again = Harness(harness.wire.options.library)
    assert again.send(*messages, cut=1) == whole
    assert len(whole) == 4


async def test_last_price_and_its_echo_are_one_trade(harness: Harness) -> None:
    """A last size alone is another trade at the last price, unless it repeats the price's own size."""
    seen = harness.send(_price(4, "100.0", "50"), _size(5, "50"), _size(5, "70"), _size(5, "70"))
    assert [(each.price_nano, each.size_micro) for each in seen if isinstance(each, TradeObserved)] == [
        (100_000_000_000, 50_000_000),
        (100_000_000_000, 70_000_000),
        (100_000_000_000, 70_000_000),
    ]


async def test_a_trade_like_the_last_one_is_told_by_the_volume(harness: Harness) -> None:
    """Same price, same size: neither tick repeats. The volume grows by just that size, and no other trade was told."""
    first = (_size(8, "1000"), _price(4, "100.0", "50"), _size(5, "50"), _size(8, "1050"))
    seen = harness.send(*first, _size(8, "1100"), _size(5, "70"), _size(8, "1170"), _size(8, "1300"))
    trades = [(each.price_nano, each.size_micro) for each in seen if isinstance(each, TradeObserved)]
    assert trades == [(100_000_000_000, size) for size in (50_000_000, 50_000_000, 70_000_000)]
    # Growth by another amount is no known trade, and the first volume of a line is none at all.
    assert [type(each) for each in harness.send(_size(8, "1370"))] == [TradeObserved, VolumeObserved]
    assert [type(each) for each in Harness(harness.wire.options.library).send(_size(8, "50"))] == [VolumeObserved]


async def test_volume_and_halt_are_told_when_they_change(harness: Harness) -> None:
    """Tick 8 is the cumulative volume, tick 49 the halt; an unknown halt state says nothing."""
    halt = (45, 6, LINE, 49)
    seen = harness.send(
        _size(8, "1000"), _size(8, "1000"), (*halt, "-1.0"), (*halt, "0.0"), (*halt, "1.0"), (*halt, "1.0")
    )
    assert [each.volume_micro for each in seen if isinstance(each, VolumeObserved)] == [1_000_000_000]
    assert [each.halted for each in seen if isinstance(each, HaltObserved)] == [False, True]


async def test_delayed_ticks_are_quotes_and_betray_the_data_type(harness: Harness) -> None:
    """Types 66 and 67 fill the same quote, and the feed reports delayed data even without message 58."""
    seen = harness.send((58, 1, LINE, 1), _price(66, "99.0", "100"), _price(67, "101.0", "100"))
    assert _quotes(seen)[-1][:2] == (99_000_000_000, 101_000_000_000)
    feeds = [(each.data_type, each.healthy) for each in seen if isinstance(each, FeedObserved)]
    assert feeds == [("live", True), ("delayed", False)]


@pytest.mark.parametrize("code", [103, 104, 105, 161, 201, 202, 321, 329, 399, 404, 10147, 10148, 10311, 10349, 110])
async def test_an_error_on_an_order_is_an_error_and_never_a_status(harness: Harness, code: int) -> None:
    """Codes on which a library changes its own order status reach us as codes only."""
    seen = harness.send(_open_order(), (4, 2, 7, code, "text", ""))
    assert [type(each) for each in seen] == [OrderErrorObserved]
    assert (seen[0].broker_order_id, seen[0].code) == (7, code)  # type: ignore[union-attr]


def _open_order(*, reference: str = "ref", client_id: int = 1) -> tuple[object, ...]:
    head = (5, 7, 11, "SPY", "STK", "", "0.0", "", "", "SMART", "USD", "SPY", "SPY")
    order = ("BUY", "100", "LMT", "100.0", "0.0", "GTD", "", "DU1", "", 0, reference, client_id, 99)
    flags = (0, 0, "0.0", "", "", "", "", "", "", "", "20261120-15:00:00", "", UNSET, "", 0, "", -1, 0)
    limits = (UNSET, UNSET, UNSET, UNSET, UNSET, 2147483647, 0, 0, 0, 2147483647, 3, 0, 0, UNSET, 0, 0)
    volatility = ("0.0", 0, "None", "0.0", 0, "", "", "", "?", 0, 0, "", 0, 0, UNSET, UNSET, UNSET, 2147483647)
    combo = ("", 0, 0, 0, 2147483647, 2147483647, UNSET, "", 0, "", "IB", 0, 0, "", 0, 0, "Submitted")
    margins = (*([UNSET] * 12), "", "", 0, 0, 0)
    adjusted = ("None", UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, 0, "", "", "", "0.0", 0, 0, 0, 0)
    return (*head, *order, *flags, *limits, *volatility, *combo, *margins, *adjusted)


def _status(text: str, *, filled: str = "0", remaining: str = "100", perm_id: int = 99) -> tuple[object, ...]:
    return (3, 7, text, filled, remaining, "0.0", perm_id, 0, "0.0", 1, "locate", "0.0")


async def test_a_status_carries_the_open_orders_reference(harness: Harness) -> None:
    """OrderStatus names no reference and no symbol; they come from openOrder, unless the permanent id differs."""
    harness.client._serverVersion = harness.client.decoder.serverVersion = 157
    seen = harness.send(_open_order(), _status("Submitted"), _status("Filled", filled="100", remaining="0", perm_id=98))
    assert [type(each) for each in seen] == [OrderStatusObserved, OrderStatusObserved]
    first, second = seen
    assert (first.client_order_id, first.symbol, first.status) == ("ref", "SPY", "Submitted")  # type: ignore[union-attr]
    assert (first.remaining_micro, first.why_held) == (100_000_000, "locate")  # type: ignore[union-attr]
    assert second.client_order_id == ""  # type: ignore[union-attr]
    assert harness.wire.next_order_id == 8


def _execution(stamp: str, *, request_id: int = -1, account: str = "DU1", shares: str = "40") -> tuple[object, ...]:
    contract = (11, "SPY", "STK", "", "0.0", "", "", "SMART", "USD", "SPY", "SPY")
    tail = (99, 1, 0, "40", "100.1", "ref", "", "", "", 2)
    return (11, request_id, 7, *contract, "e.01", stamp, account, "ARCA", "BOT", shares, "100.1", *tail)


async def test_an_execution_is_exact_and_stamped_by_the_finer_clock(harness: Harness) -> None:
    """A fresh one has the arrival's stamp, an old one the broker's; other accounts are not ours."""
    fresh, old = harness.send(
        _execution("20261120-14:30:00"), _execution("20261120 09:29:00 US/Eastern"), _execution("x", account="DU2")
    )
    assert isinstance(fresh, ExecutionObserved)
    assert isinstance(old, ExecutionObserved)
    assert (fresh.price_nano, fresh.quantity_micro, fresh.client_order_id) == (100_100_000_000, 40_000_000, "ref")
    assert fresh.ts_ns == NOW_NS
    assert old.ts_ns == NOW_NS - 61 * NANOS_PER_SECOND


async def test_fees_have_no_result_on_opening_fills_and_unset_fees_say_nothing(harness: Harness) -> None:
    """The sentinel becomes None; a fee that is unset is not a fee of zero."""
    seen = harness.send(
        (59, 1, "e.01", "1.0", "USD", UNSET, UNSET, ""), (59, 1, "e.02", UNSET, "USD", UNSET, UNSET, "")
    )
    assert len(seen) == 1
    assert isinstance(seen[0], CommissionObserved)
    assert (seen[0].commission_nano, seen[0].realized_pnl_nano) == (1_000_000_000, None)


async def test_link_and_farm_codes_are_told_apart(harness: Harness) -> None:
    """1100, 1101 and 1102 are the link's; 21xx are farms'; other codes without an id are the gateway's."""
    seen = harness.send(
        (4, 2, -1, 1100, "lost", ""),
        (4, 2, -1, 1102, "back, data kept", ""),
        (4, 2, -1, 1101, "back, data lost", ""),
        (4, 2, -1, 2103, "Market data farm connection is broken:usfarm", ""),
        (4, 2, -1, 2104, "Market data farm connection is OK:usfarm", ""),
        (4, 2, -1, 10197, "competing session", ""),
    )
    links = [(each.connected, each.data_lost, each.code) for each in seen if isinstance(each, LinkObserved)]
    farms = [(each.farm, each.healthy, each.code) for each in seen if isinstance(each, FeedObserved)]
    assert links == [(False, False, 1100), (True, False, 1102), (True, True, 1101)]
    assert farms == [("usfarm", False, 2103), ("usfarm", True, 2104), ("gateway", False, 10197)]


async def test_an_error_on_a_subscription_is_the_feeds_not_an_orders(harness: Harness) -> None:
    """Request ids and order ids cannot be confused, and an ended request's error is nobody's."""
    seen = harness.send((4, 2, LINE, 354, "not subscribed", ""), (4, 2, LINE + 5, 300, "no such id", ""))
    assert [(each.farm, each.healthy) for each in seen if isinstance(each, FeedObserved)] == [
        ("subscription:SPY", False)
    ]
    assert len(seen) == 1


async def test_an_error_ends_a_request_under_both_libraries(harness: Harness) -> None:
    """Code 321 fails the waiting caller; a warning does not."""
    pending = harness.wire.requests.open(LINE + 9)
    harness.send((4, 2, LINE + 9, 2174, "warning", ""))
    assert not pending.future.done()
    harness.send((4, 2, LINE + 9, 321, "bad bar size", ""))
    with pytest.raises(Exception, match="321"):
        await harness.wire.requests.answer(LINE + 9, pending, "history")


async def test_account_and_positions_are_one_reading(harness: Harness) -> None:
    """Nothing is told before both halves are there; values change in groups; another currency is left out."""
    harness.wire.requests.open("positions")
    contract = (11, "SPY", "STK", "", "0.0", "", "", "", "USD", "SPY", "SPY")
    seen = harness.send(
        (6, 2, "NetLiquidation", "1000.50", "USD", "DU1"),
        (6, 2, "TotalCashValue", "900", "EUR", "DU1"),
        (54, 1, "DU1"),
        (61, 3, "DU1", *contract, "10", "100.05"),
        (62, 1),
        (6, 2, "NetLiquidation", "1001", "USD", "DU1"),
        (8, 1, "09:31"),
        (8, 1, "09:32"),
    )
    readings = [each for each in seen if isinstance(each, AccountObserved)]
    assert [each.account.net_liquidation_nano for each in readings] == [1_000_500_000_000, 1_001_000_000_000]
    assert readings[0].account.cash_nano is None
    assert [(each.symbol, each.quantity_micro) for each in readings[0].positions] == [("SPY", 10_000_000)]


async def test_a_message_that_cannot_be_read_is_shown_and_the_stream_goes_on(harness: Harness) -> None:
    """Damage in one message is ill health of the decoder, and the next message counts."""
    seen = harness.send((11, -1, "short"), _price(1, "abc", "1"), _price(1, "99.0", "1"))
    assert [each.farm for each in seen if isinstance(each, FeedObserved)] == ["decoder", "decoder"]
    assert _quotes(seen) == [(99_000_000_000, 0, 1_000_000, 0)]


async def test_a_lost_framing_is_a_lost_link(harness: Harness) -> None:
    """A length that no message has means that nothing after it can be read."""
    harness.seen.clear()
    harness.client._onSocketHasData(struct.pack(">I", 1 << 30) + b"12345")
    assert [each.connected for each in harness.seen if isinstance(each, LinkObserved)] == [False]
    assert harness.wire.lost.done()


async def test_a_barrier_that_was_given_up_does_not_answer_the_next(harness: Harness) -> None:
    """Answers carry no id, so the late answer to the first question belongs to the first."""
    requests = harness.wire.requests
    first, second = requests.open_barrier(), requests.open_barrier()
    first.cancel()
    harness.send((49, 1, 111))
    assert not second.done()
    harness.send((49, 1, 222))
    assert await asyncio.wait_for(second, 1.0) == 222


def test_the_missing_library_is_named_with_its_extra() -> None:
    """Only one of the two can be installed; the other's absence says how to get it and why not both."""
    missing = [name for name in ("ib_insync", "ib_async") if name not in LIBRARIES]
    for name in missing:
        with pytest.raises(LibraryMissingError, match=name.replace("_", "-")):
            load(name)  # type: ignore[arg-type]
    assert LIBRARIES


@pytest.mark.parametrize("change", [{"port": 0}, {"client_id": -1}, {"host": ""}, {"request_timeout_s": 0.0}])
def test_options_out_of_range_are_refused_by_name(change: dict[str, object]) -> None:
    """The error names the field and the allowed range."""
    with pytest.raises(ValueError, match=f"broker.{next(iter(change))} is .*allowed is"):
        ConnectOptions(**change)  # type: ignore[arg-type]
