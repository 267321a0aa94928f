"""The whole gateway without sockets: sequences of order messages, field counts, hostile clients, the clock."""

import asyncio
import struct
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.clock import SessionClock
from walstreet_services.ibsim.connection import Connection
from walstreet_services.ibsim.desk import DeskOptions
from walstreet_services.ibsim.gateway import Gateway, GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.order_record import ENDED, NEXT, Status
from walstreet_services.ibsim.playback import Playback
from walstreet_services.ibsim.times import local_text, parse_time

MESSAGE_IDS = st.sampled_from([*range(1, 8), 8, 9, 20, 25, 50, 51, *range(58, 65), *range(71, 82), *range(87, 100)])
FIELD_TEXTS = st.one_of(
    st.text(max_size=12),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.sampled_from(["", "0", "1", "BAG", "STK", "2147483647", "1.7976931348623157e+308", "9" * 5000]),
)


def packed(payload: bytes) -> bytes:
    """Return one frame around a payload."""
    return struct.pack(">I", len(payload)) + payload


def fields(*values: str) -> bytes:
    """Return a payload."""
    return ("\0".join(values) + "\0").encode()


def order_fields(**changes: str) -> list[str]:
    """Return the fields of a plain limit order as ib_insync sends it at version 176."""
    values = ["3", "7", "0", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", "", ""]
    values += [changes.get("action", "BUY"), changes.get("quantity", "100"), changes.get("kind", "LMT")]
    values += [changes.get("limit", "150.25"), "", changes.get("tif", "DAY"), "", "DU1", "", "0", "ref-1", "1", "0"]
    values += ["0", "0", "", "0", "0", "0"]
    values += ["", "0.0", "", "", "", "", "", "", "", "0", "", "-1", "0", "", "", "0", "", "", "0", "0", "", "0"]
    values += ["", "", "", "", "", "0", "", ""]
    if "neutral" in changes:
        values += [changes["neutral"], "", "1", "2", "3", "4", "5", "6", "7", "8"]
    else:
        values += ["", ""]
    values += ["0", "", "", "", "", "", changes.get("increment", "")]
    if "increment" in changes:
        values += ["1", "2", "3", "4", "5", "6", "7"]
    values += ["", "", "", ""]
    values += ["0", "", "", "0", "0"]
    values += ["Adaptive", "1", "adaptivePriority", "Normal"] if "algo" in changes else [""]
    values += ["", changes.get("what_if", "0"), "", "0", "0", "0", "0"]
    return [*values, "", "", "", "", "", "", "0", "", "", "", "", "", "", "", "", "0", "0", "0", "", "", "", "", "", ""]


class MemoryTransport(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def set_write_buffer_limits(self, high=None, low=None):
        """Nothing is limited in memory."""

    def get_write_buffer_size(self):
        """Everything is read at once."""
        return 0

    def is_closing(self):
        """Return whether the server has closed the connection."""
        return self.closed

    def write(self, data):
        """Keep the bytes."""
        self.written += data

    def close(self):
        """Note the end."""
        self.closed = True

    def abort(self):
        """Note the end."""
        self.closed = True


@pytest.fixture(scope="module")
def market():
    """Return a small session; steps are pure, so that tests can share it."""
    return SyntheticMarket(["SYN01"], seed=3, day=date(2026, 11, 20), step_ns=5_000_000_000, minutes=10)


class Client:
    """One protocol-level client of a gateway in memory."""

    def __init__(self, gateway, client_id=1, version=176):
        self.connection = Connection(gateway)
        self.transport = MemoryTransport()
        self.connection.connection_made(self.transport)
        line = f"v157..{version}".encode()
        self.connection.data_received(b"API\0" + struct.pack(">I", len(line)) + line)
        assert self.take()[0][0] == str(version)
        self.ask("71", "2", str(client_id), "")
        self.greeting = self.take()

    def ask(self, *values):
        """Send one request."""
        self.connection.data_received(packed(fields(*values)))

    def take(self):
        """Return the messages received since the last call."""
        self.connection.flush()
        data, found, position = bytes(self.transport.written), [], 0
        while position < len(data):
            (length,) = struct.unpack_from(">I", data, position)
            payload = data[position + 4 : position + 4 + length]
            assert payload.endswith(b"\0")
            found.append(payload[:-1].decode().split("\0"))
            position += 4 + length
        self.transport.written.clear()
        return found


def gateway_of(market, lead_ns=60 * 10**9, **desk):
    """Return a gateway and its playback, before the open."""
    clock = SessionClock(market.session.open_ns - lead_ns, None, lambda: 0)
    matching = QueueMatching(market.instruments, market.session)
    options = GatewayOptions(account="DU1", desk=DeskOptions(**desk))
    gateway = Gateway(market, matching, clock, Journal(None), options, on_first_subscription=lambda: None)
    return gateway, Playback(gateway)


def order(order_id, **changes):
    """Return the fields of an order of the market's instrument."""
    values = order_fields(**changes)
    values[1], values[3] = str(order_id), "SYN01"
    return values


def kinds(messages):
    """Return message ids, with the state behind orderStatus and the code behind errors."""
    names = {"3": lambda row: f"status {row[2]}", "4": lambda row: f"error {row[3]}", "5": lambda _: "openOrder"}
    names |= {"11": lambda _: "execDetails", "59": lambda _: "commission"}
    return [names[row[0]](row) for row in messages if row[0] in names]


def test_greeting_and_version_negotiation(market):
    """The answer is the smaller of 176 and the client's maximum; accounts and the next id come at startApi."""
    gateway, _ = gateway_of(market)
    for client_id, version in enumerate((157, 163, 164, 176)):
        client = Client(gateway, client_id, version)
        assert [row[0] for row in client.greeting] == ["15", "9", "4", "4", "4"]
        assert {len(row) for row in client.greeting if row[0] == "4"} == {6 if version >= 166 else 5}


async def test_market_order_sequence(market):
    """A filled market order gives the captured sequence: Filled twice, and the commission last."""
    gateway, playback = gateway_of(market)
    client = Client(gateway)
    await playback.play_until(playback.step_end_ns(0))
    client.take()
    client.ask(*order(1, kind="MKT", limit="", quantity="10"))
    assert kinds(client.take()) == ["openOrder", "status PreSubmitted"]
    await playback.play_until(playback.step_end_ns(1))
    messages = client.take()
    assert kinds(messages) == [
        "execDetails",
        "openOrder",
        "status Filled",
        "openOrder",
        "status Filled",
        "commission",
    ]
    assert len(next(row for row in messages if row[0] == "11")) == 31
    assert len(next(row for row in messages if row[0] == "59")) == 8
    assert len(next(row for row in messages if row[0] == "3")) == 12


async def test_cancel_race_lets_a_fill_win(market):
    """With a slow cancel the fill comes first, the cancel is too late, and a second cancel gets 161 before."""
    gateway, playback = gateway_of(market, cancel_latency_ns=60 * 10**9)
    client = Client(gateway)
    await playback.play_until(playback.step_end_ns(0))
    client.ask(*order(1, kind="MKT", limit="", quantity="10"))
    client.ask("4", "1", "1", "")
    client.ask("4", "1", "1", "")
    assert kinds(client.take())[-1] == "error 161"
    await playback.play_until(playback.step_end_ns(1))
    assert "status Filled" in kinds(client.take())
    client.ask("4", "1", "1", "")
    assert kinds(client.take()) == ["error 10148"]


async def test_reject_is_201_then_inactive(market):
    """An order beyond the account's means gets error 201 first and the status Inactive after it."""
    gateway, playback = gateway_of(market)
    client = Client(gateway)
    await playback.play_until(playback.step_end_ns(0))
    client.take()
    client.ask(*order(1, kind="MKT", limit="", quantity="900000"))
    assert kinds(client.take()) == ["error 201", "openOrder", "status Inactive"]
    client.ask(*order(1, limit="1.00"))
    assert kinds(client.take()) == ["error 103"]


async def test_children_wait_for_their_parent(market):
    """Nothing is sent before the last of a family transmits; children wait, and end with their parent."""
    gateway, playback = gateway_of(market)
    client = Client(gateway)
    await playback.play_until(playback.step_end_ns(0))
    client.take()
    parent, child = order(1, limit="1.00"), order(2, action="SELL", limit="900.00")
    # Fields 27 and 28 are transmit and the parent's id.
    parent[27], child[27], child[28] = "0", "1", "1"
    client.ask(*parent)
    assert client.take() == []
    client.ask(*child)
    messages = client.take()
    assert kinds(messages) == [
        "openOrder",
        "status PreSubmitted",
        "openOrder",
        "status Submitted",
        "openOrder",
        "status PreSubmitted",
    ]
    assert [row[10] for row in messages if row[0] == "3"] == ["", "", "child"]
    client.ask("4", "1", "1", "")
    assert kinds(client.take()) == ["status Cancelled", "error 202", "status Cancelled", "error 202"]


@pytest.mark.parametrize("version", [157, 159, 163, 166, 170, 176])
async def test_field_counts_by_version(market, version):
    """Open orders and contract details have exactly the fields of the negotiated version."""
    gateway, playback = gateway_of(market)
    client = Client(gateway, version=version)
    await playback.play_until(playback.step_end_ns(0))
    client.take()
    client.ask("9", "8", "5", "0", "SYN01", "STK", "", "0", "", "", "SMART", "", "USD", "", "", "0", "", "", "")
    details = client.take()[0]
    assert len(details) == (39 if version < 163 else 40)
    client.ask(*order(1, limit="1.00"))
    shown = next(row for row in client.take() if row[0] == "5")
    extra = (version >= 159) + (version >= 160) + (version >= 162) + 5 * (version >= 170)
    assert len(shown) == 128 + extra


async def test_refused_ids_are_never_handed_out_again(market):
    """After a refused order and a reconnect, the next id is above every id that the client has sent."""
    gateway, playback = gateway_of(market)
    client = Client(gateway)
    await playback.play_until(playback.step_end_ns(0))
    client.ask(*order(41, limit="1.003"))
    assert kinds(client.take())[-1] == "error 110"
    client.connection.connection_lost(None)
    again = Client(gateway)
    assert next(row[2] for row in again.greeting if row[0] == "9") == "42"


async def test_delayed_quotes_are_fifteen_minutes_old():
    """Without permission live quotes are refused, and type 3 gives the tick types and prices of the past."""
    market = SyntheticMarket(["SYN01"], seed=3, day=date(2026, 11, 20), step_ns=15_000_000_000, minutes=20)
    clock = SessionClock(market.session.open_ns, None, lambda: 0)
    gateway = Gateway(
        market,
        QueueMatching(market.instruments, market.session),
        clock,
        Journal(None),
        GatewayOptions(account="DU1", live_permission=False),
        on_first_subscription=lambda: None,
    )
    playback, client = Playback(gateway), Client(gateway)
    ask = ["SYN01", "STK", "", "0", "", "", "SMART", "", "USD", "", "", "0", "", "0", "0", ""]
    client.ask("1", "11", "5", "0", *ask)
    assert kinds(client.take()) == ["error 354"]
    client.ask("59", "1", "3")
    client.ask("1", "11", "6", "0", *ask)
    messages = client.take()
    assert kinds(messages) == ["error 10167"]
    assert ["58", "1", "6", "3"] in messages
    await playback.play_until(playback.step_end_ns(59))
    assert [row for row in client.take() if row[0] == "1"] == []
    await playback.play_until(playback.step_end_ns(60))
    prices = {row[3]: float(row[4]) for row in client.take() if row[0] == "1"}
    assert prices["66"] == market.step(0).bid_nano[0] / 1e9
    assert prices["67"] == market.step(0).ask_nano[0] / 1e9
    assert not {"1", "2", "4"} & set(prices)


def test_lifecycle_table_is_closed():
    """Ended states lead nowhere else, and every state has its row."""
    assert set(NEXT) == set(Status)
    assert all(NEXT[state] == {state} for state in ENDED)


def test_times_round_trip():
    """What the server writes it can read, in the accepted forms."""
    moment, zoned = parse_time("20261120 09:30:00 US/Eastern")
    assert zoned
    assert local_text(moment) == "20261120 09:30:00 US/Eastern"
    assert parse_time("20261120-14:30:00") == (moment, True)
    assert parse_time("20261120 09:30:00") == (moment, False)
    for broken in ("", "tomorrow", "20261345", "20261120 09:30:00 Mars/Base", "99991231-23:59:59", "00010101"):
        assert parse_time(broken) is None


def test_clock_never_runs_backwards():
    """A running clock follows wall time at its speed from its start, and an advance never turns it back."""
    wall = [0]
    clock = SessionClock(1_000, 10.0, lambda: wall[0])
    wall[0] = 50
    assert clock.now_ns() == 1_000
    clock.start()
    wall[0] = 60
    assert clock.now_ns() == 1_100
    clock.advance(900)
    assert clock.now_ns() == 1_100


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MESSAGE_IDS, st.lists(FIELD_TEXTS, max_size=110))
def test_hostile_requests_never_break_the_gateway(hostile, message_id, values):
    """Whatever a started client asks, the gateway answers decodable frames or stays silent, and lives on."""
    gateway, client = hostile
    client.ask(str(message_id), *(text.replace("\0", "") for text in values))
    client.take()
    if client.transport.closed:
        hostile[1] = client = Client(gateway)
    client.ask("49", "1")
    assert client.take()[-1][0] == "49"


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 200), FIELD_TEXTS, st.integers(-3, 40))
def test_hostile_orders_never_break_the_gateway(hostile, position, text, order_id):
    """A sound order with one hostile field is accepted or refused, and the gateway lives on."""
    _, client = hostile
    values = order(order_id, limit="1.00", quantity="1")
    values[1 + position % (len(values) - 1)] = text.replace("\0", "")
    client.ask(*values)
    client.take()
    client.ask("49", "1")
    assert client.take()[-1][0] == "49"


@pytest.fixture(scope="module")
def hostile(market):
    """Return a gateway in its session with one client."""
    gateway, playback = gateway_of(market)
    asyncio.run(playback.play_until(playback.step_end_ns(3)))
    return [gateway, Client(gateway)]
