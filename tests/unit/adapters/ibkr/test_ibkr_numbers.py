"""Tests of the exact conversion of the protocol's numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walstreet.adapters.ibkr.numbers import dollars, integer, micro, nano, nano_of, seconds_ns, time_ns, utc_text, whole
from walstreet_events import NANOS_PER_SECOND


@given(st.integers(-(10**15), 10**15))
def test_every_decimal_price_survives_exactly(value_nano: int) -> None:
    """A price in 1e-9 USD written as a decimal text is read back as the same integer."""
    assert nano(f"{Decimal(value_nano).scaleb(-9):f}") == value_nano


@given(st.integers(1, 10**10))
def test_a_limit_in_cents_reaches_the_wire_as_it_was_meant(cents: int) -> None:
    """The double that is handed to the library has the cents as its shortest text."""
    assert nano(str(dollars(cents * 10_000_000))) == cents * 10_000_000


@pytest.mark.parametrize(
    "text", ["", "1.7976931348623157E308", "1.7976931348623157e+308", "nan", "NaN", "inf", "-Infinity", "Infinity"]
)
def test_sentinels_are_none(text: str) -> None:
    """Unset, however it is spelled, is no number."""
    assert nano(text) is None
    assert micro(text) is None


def test_decoded_sentinels_are_none_and_zero_stays_zero() -> None:
    """The largest double is unset, 0.0 is a number, damage is an error."""
    assert nano_of(1.7976931348623157e308) is None
    assert nano_of(0.0) == 0
    assert integer("2147483647") == 0
    with pytest.raises(ValueError, match="no decimal number"):
        nano("12,5")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20261120-14:30:00", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("20261120 09:30:00 US/Eastern", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("20261120 09:30:00 EST", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("20260720  09:30:00 America/New_York", datetime(2026, 7, 20, 13, 30, tzinfo=UTC)),
        ("20261120 14:30:00", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("20261120", datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ("1795185000", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
    ],
)
def test_times_of_every_form_are_utc(text: str, moment: datetime) -> None:
    """Zones are honoured, a time without one is UTC, a date is midnight in New York."""
    assert time_ns(text) == int(moment.timestamp()) * NANOS_PER_SECOND


def test_times_out_go_out_in_utc_and_cut_to_seconds() -> None:
    """The broker reads the dashed form as UTC."""
    assert utc_text(int(datetime(2026, 11, 20, 14, 30, tzinfo=UTC).timestamp()) * NANOS_PER_SECOND + 999) == (
        "20261120-14:30:00"
    )
    with pytest.raises(ValueError, match="time zone"):
        time_ns("20261120 09:30:00 Mars/North")


def test_numbers_that_the_log_cannot_hold_never_reach_an_event() -> None:
    """An amount beyond 64 bits is unset, an id or a time beyond them is refused: neither may end a service."""
    assert nano("9223372036.854775807") == 2**63 - 1
    assert nano("9223372036.854775808") is None
    assert micro("-9300000000000") is None
    for read in (integer, whole, seconds_ns, time_ns):
        with pytest.raises(ValueError, match="more digits than the log can hold"):
            read("9" * 20)
    with pytest.raises(ValueError, match="more digits"):
        seconds_ns("9223372037")
