"""Framing, fields and request parsing: exact for known clients, bounded and calm for strangers."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim import requests as rq
from walstreet_services.ibsim.parse import parse, request_id
from walstreet_services.ibsim.units import price_text, quantity_text
from walstreet_services.ibsim.wire import (
    FRAME_BYTES_MAX,
    FieldError,
    FieldReader,
    FrameReader,
    ProtocolError,
    client_versions,
    frame,
)

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..176"


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


def test_frames_survive_any_cut():
    """A stream gives the same payloads however the network cuts it."""
    stream = HELLO + packed(b"71\0002\0001\0\0") + packed(b"49\0001\0")
    for size in range(1, len(stream) + 1):
        reader, found = FrameReader(), []
        for start in range(0, len(stream), size):
            found += reader.feed(stream[start : start + size])
        assert found == [b"v157..176", b"71\0002\0001\0\0", b"49\0001\0"]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"API\0" + struct.pack(">I", 10_000),
        b"API\0" + struct.pack(">I", 0),
        HELLO + struct.pack(">I", FRAME_BYTES_MAX + 1),
        HELLO + struct.pack(">I", 0),
    ],
)
def test_strangers_and_attacks_are_refused(data):
    """A wrong prefix or a length out of bounds ends the connection at once."""
    with pytest.raises(ProtocolError):
        FrameReader().feed(data)


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"v157..176", (157, 176)), (b"v100..226 +PACEAPI", (100, 226)), (b"v176", (176, 176))],
)
def test_handshake_lines(line, expected):
    """The lines of known clients are read."""
    assert client_versions(line) == expected


@pytest.mark.parametrize("line", [b"", b"v", b"v9..1", b"157..176", b"v1..99999999999", b"\xff"])
def test_broken_handshake_lines(line):
    """A line of another form is refused."""
    with pytest.raises(ProtocolError):
        client_versions(line)


def test_field_texts():
    """Values are written as the clients read them, and a NUL inside a text cannot forge fields."""
    assert frame(1, True, False, None, "a\0b", 0.5)[4:] == b"1\x001\x000\x00\x00ab\x000.5\x00"
    assert [price_text(value) for value in (0, 10_000_000, 123_450_000_000, 100, -1_500_000_000)] == [
        "0.0",
        "0.01",
        "123.45",
        "0.0000001",
        "-1.5",
    ]
    assert [quantity_text(value) for value in (0, 100_000_000, 500_000, -2_000_000)] == ["0", "100", "0.5", "-2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("1.7976931348623157e+308", None), ("1.7976931348623157E308", None), ("10.50", 10.5), ("7", 7.0)],
)
def test_numbers_are_read_liberally(text, expected):
    """Unset marks become None, whoever wrote them."""
    assert FieldReader([text]).number() == expected


@pytest.mark.parametrize("text", ["nan", "1e300", "-1e300", "x", "--1", "-inf"])
def test_numbers_are_read_strictly(text):
    """What is no sensible number is refused."""
    with pytest.raises(FieldError):
        FieldReader([text]).number()


@pytest.mark.parametrize("text", ["1.5", "x", "9" * 30, "٣", "--1", "1_000"])
def test_integers_are_read_strictly(text):
    """What is no integer of the protocol is refused, without spending time on long digits."""
    with pytest.raises(FieldError):
        FieldReader([text]).integer()


def test_place_order_of_ib_insync():
    """A plain limit order is read field by field."""
    request = parse(fields(*order_fields()), 176)
    assert isinstance(request, rq.PlaceOrder)
    ticket = request.ticket
    assert (request.order_id, request.contract.symbol, ticket.account, ticket.order_ref) == (7, "AAPL", "DU1", "ref-1")
    assert (ticket.action, ticket.quantity, ticket.limit_price, ticket.time_in_force) == ("BUY", 100.0, 150.25, "DAY")
    assert ticket.transmit
    assert not ticket.what_if
    assert ticket.unsupported == ""


@pytest.mark.parametrize(
    ("changes", "unsupported"),
    [
        ({"algo": "1"}, "algorithm"),
        ({"neutral": "LMT"}, "delta-neutral order"),
        ({"increment": "0.05"}, "scale order"),
    ],
)
def test_inserted_fields_do_not_shift_what_follows(changes, unsupported):
    """The what-if mark is found behind every group of fields that an order can insert."""
    for mark in ("0", "1"):
        request = parse(fields(*order_fields(what_if=mark, **changes)), 176)
        assert isinstance(request, rq.PlaceOrder)
        assert request.ticket.what_if is (mark == "1")
        assert request.ticket.unsupported == unsupported


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (fields("3", "12", "garbage"), 12),
        (fields("1", "11", "5", "x"), 5),
        (fields("78", "41", "x"), 41),
        (fields("10", "5", "77"), 77),
        (fields("999", "77"), 77),
        (fields("49", "1"), -1),
        (fields("1", "11", "9" * 25), -1),
        (b"", -1),
    ],
)
def test_errors_find_their_request(payload, expected):
    """A malformed or unserved request is answered under its own id."""
    assert request_id(payload) == expected


def test_unknown_messages_are_values():
    """A message id that is not served becomes a request to refuse, never silence."""
    assert parse(fields("78", "41", "x"), 176) == rq.Unsupported(req_id=41, message_id=78)


MESSAGE_IDS = st.sampled_from([*range(1, 8), 8, 9, 20, 25, 50, 51, *range(58, 65), *range(71, 82), *range(87, 100)])
FIELD_TEXTS = st.one_of(
    st.text(max_size=12),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.sampled_from(["", "0", "1", "BAG", "STK", "2147483647", "1.7976931348623157e+308", "9" * 5000]),
)


@settings(max_examples=2500, deadline=None)
@given(MESSAGE_IDS, st.lists(FIELD_TEXTS, max_size=130), st.sampled_from([157, 166, 176]))
def test_fuzzed_requests_never_crash(message_id, values, version):
    """Whatever the fields are, parsing ends in a request or a field error, and an error id fits 32 bits."""
    payload = fields(str(message_id), *values)
    assert -(2**31) <= request_id(payload) < 2**31
    try:
        request = parse(payload, version)
    except FieldError:
        return
    assert isinstance(request, rq.Request)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 140), FIELD_TEXTS)
def test_fuzzed_orders_never_crash(position, text):
    """A good order with one hostile field is read or refused, never worse."""
    values = order_fields()
    values[1 + position % (len(values) - 1)] = text.replace("\0", "")
    try:
        request = parse(fields(*values), 176)
    except FieldError:
        return
    assert isinstance(request, rq.PlaceOrder)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_fuzzed_streams_never_crash_and_stay_bounded(chunks):
    """Random bytes after a good handshake give payloads or a protocol error; the buffer stays bounded."""
    reader = FrameReader()
    try:
        reader.feed(HELLO)
        for chunk in chunks:
            for payload in reader.feed(chunk):
                assert 0 < len(payload) <= FRAME_BYTES_MAX
                request_id(payload)
    except ProtocolError:
        pass
    assert len(reader._buffer) <= FRAME_BYTES_MAX + 200
