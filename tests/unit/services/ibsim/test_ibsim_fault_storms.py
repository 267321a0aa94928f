"""Storms of faults: whatever goes wrong together, the gateway lives, its frames are whole, and its books agree."""

import asyncio
import json
import struct
import tempfile
from datetime import date
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.clock import SessionClock
from walstreet_services.ibsim.connection import Connection
from walstreet_services.ibsim.fault_load import convert
from walstreet_services.ibsim.fault_model import FaultScript
from walstreet_services.ibsim.faults import FaultOptions
from walstreet_services.ibsim.gateway import Gateway, GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.journal_truth import fold
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.playback import Playback

MARKET = SyntheticMarket(["SYN01"], seed=3, day=date(2026, 11, 20), step_ns=5_000_000_000, minutes=4)
REPORTS = ["open_order", "order_status", "execution", "commission", "error"]
CATALOGUE = [
    {"kind": "disconnect"},
    {"kind": "nightly_reset", "dying_seconds": 6, "down_seconds": 6},
    {"kind": "refuse_connections", "seconds": 10},
    {"kind": "hang", "seconds": 12},
    {"kind": "hang", "seconds": 12, "requests": "lost"},
    {"kind": "hang", "scope": "new", "seconds": 12},
    {"kind": "outage", "seconds": 11},
    {"kind": "outage", "seconds": 11, "end_code": 1101, "subscriptions": "lost", "placements": "lost"},
    {"kind": "farm", "code": 2103, "seconds": 9, "ok_after_seconds": 3},
    {"kind": "pacing", "messages_per_second": 5, "strikes": 4},
    {"kind": "competing_session", "seconds": 8},
    {"kind": "lose", "messages": REPORTS, "probability_ppm": 400_000},
    {"kind": "duplicate", "messages": REPORTS, "probability_ppm": 400_000, "copies": 3},
    {"kind": "delay", "messages": ["order_status", "account_value", "tick_price"], "delay_seconds": 17},
    {"kind": "hold", "messages": ["open_order", "order_status"], "seconds": 40},
    {"kind": "reorder", "messages": REPORTS, "order": "shuffle"},
    {"kind": "stale_status", "count": 5},
    {"kind": "time_text", "form": "utc"},
    {"kind": "delayed_data", "seconds": 15},
    {"kind": "drop_placements", "count": 2},
    {"kind": "drop_placements", "count": 2, "fate": "silent"},
    {"kind": "refuse_orders", "count": 1, "code": 201},
    {"kind": "refuse_orders", "count": 1, "code": 103},
    {"kind": "warn_orders", "count": 3, "strip": ["tif"]},
    {"kind": "locate", "locate_seconds": 9, "outcome": "inactive"},
    {"kind": "locate", "locate_seconds": 9},
    {"kind": "stale_presubmitted"},
    {"kind": "deactivate", "seconds": 9},
    {"kind": "cancel", "answer": "pending", "outcome_seconds": 8, "outcome": "filled"},
    {"kind": "cancel", "answer": "untrue", "outcome_seconds": 8, "outcome": "filled"},
    {"kind": "cancel", "answer": "untrue", "count": 1},
    {"kind": "cancel", "answer": "silent", "count": 1},
    {"kind": "split_modification"},
    {"kind": "partial_fills", "shares": 13},
    {"kind": "commission", "delay_seconds": 30},
    {"kind": "commission", "seconds": 30},
    {"kind": "correction", "price_change_usd": 0.01},
    {"kind": "correction", "shares": 1, "execution": 0},
    {"kind": "stray_execution"},
    {"kind": "replay"},
    {"kind": "foreign_order", "symbol": "SYN01", "side": "SELL", "shares": 30},
    {"kind": "halt", "symbols": ["SYN01"], "seconds": 20},
    {"kind": "halt", "symbols": ["SYN01"], "seconds": 20, "quotes": "gone"},
    {"kind": "luld", "symbols": ["SYN01"], "band_bps": 20, "limit_state_seconds": 5, "pause_seconds": 20},
    {"kind": "price_shock", "symbol": "SYN01", "change_bps": -900},
    {"kind": "ssr", "symbols": ["SYN01"]},
    {"kind": "borrow", "symbols": ["SYN01"], "shares": 10, "seconds": 30},
    {"kind": "margin_call", "grace_seconds": 5},
    {"kind": "liquidation"},
    {"kind": "dividend", "symbol": "SYN01", "usd_per_share": 0.5},
]
FAULTS = st.lists(st.tuples(st.sampled_from(CATALOGUE), st.integers(0, 200)), min_size=1, max_size=7)
ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["buy", "sell", "rest", "modify", "cancel", "all", "ask", "reconnect"]),
        st.integers(1, 6),
    ),
    min_size=4,
    max_size=30,
)


def test_the_catalogue_is_sound():
    """Every entry is a fault that a script can hold."""
    assert len(convert({"faults": CATALOGUE}, FaultScript, "test").faults) == len(CATALOGUE)


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


def order_fields(order_id, ref, *, action, limit, quantity):
    """Return the fields of an order as ib_insync sends it at version 176."""
    values = ["3", str(order_id), "0", "SYN01", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", "", ""]
    values += [action, str(quantity), "LMT" if limit else "MKT", limit, "", "DAY", "", "DU1", "", "0", ref]
    values += ["1", "0", "0", "0", "", "0", "0", "0"]
    values += ["", "0.0", "", "", "", "", "", "", "", "0", "", "-1", "0", "", "", "0", "", "", "0", "0", "", "0"]
    values += ["", "", "", "", "", "0", "", "", "", "", "0", "", "", "", "", "", "", "", "", "", ""]
    values += ["0", "", "", "0", "0", "", "", "0", "", "0", "0", "0", "0"]
    return [*values, "", "", "", "", "", "", "0", "", "", "", "", "", "", "", "", "0", "0", "0", "", "", "", "", "", ""]


def packed(payload):
    """Return one frame around a payload."""
    return struct.pack(">I", len(payload)) + payload


class Storm:
    """One gateway in memory with one client that reconnects."""

    def __init__(self, faults, path):
        script = convert(
            {"seed": 2, "faults": [{**fault, "at": f"open+{at}"} for fault, at in faults]}, FaultScript, "x"
        )
        clock = SessionClock(MARKET.session.open_ns - 10**10, None, lambda: 0)
        matching = QueueMatching(MARKET.instruments, MARKET.session)
        options = GatewayOptions(account="DU1", cash_nano=100_000 * 10**9)
        self.gateway = Gateway(
            MARKET,
            matching,
            clock,
            Journal(path),
            options,
            on_first_subscription=lambda: None,
            faults=FaultOptions(script=script),
        )
        self.playback = Playback(self.gateway)
        self.connection = None
        self.transport = None
        self.sent: list[str] = []
        self.frames = 0

    def connect(self):
        """Open a connection, after the old one has gone."""
        if self.connection is not None:
            self.read()
            self.connection.connection_lost(None)
        self.connection, self.transport = Connection(self.gateway), MemoryTransport()
        self.connection.connection_made(self.transport)
        self.connection.data_received(b"API\0" + packed(b"v157..176"))
        self.ask("71", "2", "1", "")
        self.ask("1", "11", "5", "0", *STOCK, "0", "233,236", "0", "0", "")
        self.ask("6", "2", "1", "DU1")

    def ask(self, *values):
        """Send one request, if the connection is open."""
        if not self.transport.closed:
            self.connection.data_received(packed(("\0".join(values) + "\0").encode()))
        return not self.transport.closed

    def started(self):
        """Return whether the gateway has greeted this connection; clients wait for that before they trade."""
        session = self.gateway._connections.get(self.connection)
        return session is not None and session.client_id is not None

    def read(self):
        """Check that everything written is whole frames of fields."""
        self.connection.flush()
        data, position = bytes(self.transport.written), 0
        while position < len(data):
            (length,) = struct.unpack_from(">I", data, position)
            payload = data[position + 4 : position + 4 + length]
            assert len(payload) == length
            assert payload.endswith(b"\0")
            payload.decode()
            self.frames += 1
            position += 4 + length
        self.transport.written.clear()

    def act(self, kind, order_id):
        """Do one thing that clients do."""
        ref = f"{len(self.sent)}-{kind}"
        if kind == "reconnect":
            self.connect()
        elif kind == "cancel":
            self.ask("4", "1", str(order_id), "")
        elif kind == "all":
            self.ask("58", "1")
        elif kind == "ask":
            self.ask("16", "1")
            self.ask("7", "3", "9", "0", "", "", "", "", "", "")
            self.ask("99", "0")
        else:
            limit = {"buy": "", "sell": "", "rest": "1.00", "modify": "2.00"}[kind]
            action = "SELL" if kind == "sell" else "BUY"
            if not self.transport.closed and self.started():
                self.sent.append(ref)
                self.ask(*order_fields(order_id, ref, action=action, limit=limit, quantity=40))


STOCK = ["SYN01", "STK", "", "0", "", "", "SMART", "", "USD", "", ""]


async def run(faults, actions, path):
    """Play the whole session under faults and return what it ended as."""
    storm = Storm(faults, path)
    storm.connect()
    for step in range(MARKET.steps_count):
        for _, kind, order_id in (item for item in actions if item[0] == step):
            storm.act(kind, order_id)
            storm.read()
        await storm.playback.play_until(storm.playback.step_end_ns(step))
    await storm.playback.play_until(MARKET.session.close_ns)
    storm.read()
    return storm


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FAULTS, ACTIONS)
@example([({"kind": "hang", "seconds": 12, "requests": "lost"}, 10)], [(3, "buy", 1)])
@example([({"kind": "hang"}, 10), ({"kind": "disconnect"}, 12)], [(2, "buy", 1), (4, "reconnect", 1)])
@example([({"kind": "nightly_reset", "dying_seconds": 6, "down_seconds": 6}, 10)], [(3, "buy", 1), (7, "reconnect", 1)])
@example([({"kind": "pacing", "messages_per_second": 1, "strikes": 9}, 10)], [(3, "ask", 1), (3, "buy", 1)])
@example(
    [({"kind": "split_modification"}, 1), ({"kind": "partial_fills", "shares": 13}, 1)], [(1, "buy", 1), (3, "buy", 1)]
)
def test_under_any_storm_the_books_agree(faults, actions):
    """The account's holding is what the journal's executions add up to, and every placement has a known fate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth"
        storm = asyncio.run(run(faults, actions, path))
        storm.gateway.close()
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    truth = fold(records)
    position = storm.gateway.account.positions.get(0)
    assert truth.position_micro("SYN01") == (position.quantity_micro if position else 0)
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
    seen = {
        str(record.get("order_ref"))
        for record in records
        if record["kind"] in {"place_received", "modify_received", "place_lost"}
    }
    assert seen == set(storm.sent)
    for order in truth.orders:
        assert order.filled_micro == sum(item.quantity_micro for item in order.executions.values())
        assert order.filled_micro <= 40 * 10**6 or order.order_id == 0
    assert not [order for order in truth.orders if order.live]
    assert storm.frames
