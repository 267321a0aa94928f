"""Without a fault script the simulator's wire and journal are, byte for byte, what they were before faults existed."""

import asyncio
import hashlib
import struct
from datetime import date

from walstreet_services.ibsim.clock import SessionClock
from walstreet_services.ibsim.connection import Connection
from walstreet_services.ibsim.desk import DeskOptions
from walstreet_services.ibsim.fault_load import convert
from walstreet_services.ibsim.fault_model import FaultScript
from walstreet_services.ibsim.faults import FaultOptions
from walstreet_services.ibsim.gateway import Gateway, GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.playback import Playback

WIRE_SHA256 = "ca1448156d8bf87fc8db83dc93f2d088f775686d7e28a0e24a2035a2d4b9aa11"
JOURNAL_SHA256 = "18558e625db7426055dcfe94e2f19c57d325288887e9662fff8737378131b38f"
"""Of a simulator that is given no faults; taken anew when it learns something else, last stop orders and settlement."""
STOCK = ["SYN01", "STK", "", "0", "", "", "SMART", "", "USD", "", ""]


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


def order_fields(order_id, **changes):
    """Return the fields of an order as ib_insync sends it at version 176."""
    values = ["3", str(order_id), "0", "SYN01", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", "", ""]
    values += [changes.get("action", "BUY"), changes.get("quantity", "100"), changes.get("kind", "LMT")]
    values += [changes.get("limit", "1.00"), "", changes.get("tif", "DAY"), "", "DU1", "", "0", f"ref-{order_id}"]
    values += ["1", "0", "0", "0", "", "0", "0", "0"]
    values += ["", "0.0", "", "", "", "", "", "", "", "0", "", "-1", "0", "", "", "0", "", "", "0", "0", "", "0"]
    values += ["", "", "", "", "", "0", "", "", "", "", "0", "", "", "", "", "", "", "", "", "", ""]
    values += ["0", "", "", "0", "0", "", "", changes.get("what_if", "0"), "", "0", "0", "0", "0"]
    return [*values, "", "", "", "", "", "", "0", "", "", "", "", "", "", "", "", "0", "0", "0", "", "", "", "", "", ""]


def packed(payload):
    """Return one frame around a payload."""
    return struct.pack(">I", len(payload)) + payload


async def session_of(path, **more):
    """Play ten minutes with every kind of order and stream, and return the wire's bytes.

    Args:
        path: File of the journal.
        more: Further arguments of the gateway.
    """
    market = SyntheticMarket(["SYN01", "SYN02"], seed=3, day=date(2026, 11, 20), step_ns=5_000_000_000, minutes=10)
    clock = SessionClock(market.session.open_ns - 60 * 10**9, None, lambda: 0)
    matching = QueueMatching(market.instruments, market.session)
    desk = DeskOptions(commission_delay_ns=7 * 10**9, cancel_latency_ns=6 * 10**9)
    options = GatewayOptions(account="DU1", desk=desk)
    gateway = Gateway(market, matching, clock, Journal(path), options, on_first_subscription=lambda: None, **more)
    playback = Playback(gateway)
    connection, transport = Connection(gateway), MemoryTransport()
    connection.connection_made(transport)
    connection.data_received(b"API\0" + packed(b"v157..176"))

    def ask(*values):
        connection.data_received(packed(("\0".join(values) + "\0").encode()))

    ask("71", "2", "1", "")
    for quiet in (["61", "1"], ["6", "2", "1", "DU1"], ["5", "1"], ["99", "0"], ["92", "31", "DU1", ""]):
        ask(*quiet)
    ask("1", "11", "5", "0", *STOCK, "0", "165,233,236", "0", "0", "")
    ask("9", "8", "6", "0", *STOCK, "0", "", "", "")
    ask("20", "7", "0", *STOCK, "0", "", "1 min", "3600 S", "1", "TRADES", "1", "1", "")
    ask("97", "8", "0", *STOCK, "BidAsk", "0", "0")
    ask(*order_fields(1, what_if="1"))
    ask(*order_fields(2))
    await playback.play_until(playback.step_end_ns(3))
    ask(*order_fields(3, kind="MKT", limit="", quantity="3000"))
    ask(*order_fields(4, limit="1.003"))
    ask(*order_fields(5, kind="MKT", limit="", quantity="900000"))
    await playback.play_until(playback.step_end_ns(30))
    ask(*order_fields(2, limit="2.00"))
    ask("4", "1", "2", "")
    ask(*order_fields(6, kind="MKT", limit="", quantity="5000", action="SELL"))
    ask(*order_fields(7, what_if="1"))
    await playback.play_until(playback.step_end_ns(60))
    ask("7", "3", "9", "0", "", "", "", "", "", "")
    ask("16", "1")
    ask("99", "0")
    ask("4", "1", "77", "")
    await playback.play_until(market.session.close_ns)
    connection.flush()
    gateway.close()
    return bytes(transport.written)


async def test_no_script_changes_no_byte(tmp_path):
    """Ten minutes of orders, quotes, bars and account values give the recorded digest of wire and journal."""
    path = tmp_path / "truth.jsonl"
    wire = await session_of(path)
    assert hashlib.sha256(wire).hexdigest() == WIRE_SHA256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == JOURNAL_SHA256


async def test_an_empty_script_changes_no_byte(tmp_path):
    """A gateway in which things could go wrong, and do not, sends and writes the same."""
    path = tmp_path / "truth.jsonl"
    wire = await session_of(path, faults=FaultOptions())
    assert hashlib.sha256(wire).hexdigest() == WIRE_SHA256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == JOURNAL_SHA256


async def test_the_same_script_gives_the_same_bytes(tmp_path):
    """Faults draw from the script's seed: two runs agree in every byte, another seed does not."""
    faults = [
        {"kind": "lose", "messages": ["tick_price", "tick_size"], "probability_ppm": 300_000},
        {"kind": "reorder", "messages": ["order_status", "open_order", "execution"], "order": "shuffle"},
        {"kind": "partial_fills", "shares": 700},
        {"kind": "duplicate", "messages": ["account_value"], "after_orders": 2, "probability_ppm": 500_000},
        {"kind": "halt", "symbols": ["SYN01"], "at": "open+200", "seconds": 20},
        {"kind": "price_shock", "symbol": "SYN01", "change_bps": -300, "at": "open+240"},
    ]
    digests = []
    for run, seed in enumerate((5, 5, 6)):
        script = convert({"seed": seed, "faults": faults}, FaultScript, "test")
        path = tmp_path / f"truth-{run}.jsonl"
        wire = await session_of(path, faults=FaultOptions(script=script))
        digests.append((hashlib.sha256(wire).hexdigest(), hashlib.sha256(path.read_bytes()).hexdigest()))
    assert digests[0] == digests[1]
    assert digests[0][0] != digests[2][0]
    assert digests[0][0] != WIRE_SHA256
