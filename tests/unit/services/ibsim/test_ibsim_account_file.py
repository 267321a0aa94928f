"""Owns the tests of the account file: one account over several sessions of the simulator, and settled cash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from walstreet_services.ibsim.account_file import AccountFile, AccountFileError
from walstreet_services.ibsim.clock import SessionClock
from walstreet_services.ibsim.gateway import Gateway, GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.model import Side
from walstreet_services.ibsim.playback import Playback

DOLLAR, SHARE = 10**9, 10**6
MONDAY, TUESDAY = date(2024, 6, 10), date(2024, 6, 11)


def gateway_on(day: date, *, symbols: tuple[str, ...] = ("SYN01", "SYN02"), account: str = "DU1") -> Gateway:
    """Return a gateway that plays one minute of a day."""
    market = SyntheticMarket(symbols, seed=3, day=day, step_ns=15 * 10**9, minutes=1, history_sessions=1)
    clock = SessionClock(market.session.open_ns, None, lambda: 0)
    matching = QueueMatching(market.instruments, market.session)
    options = GatewayOptions(account=account, cash_nano=10_000 * DOLLAR)
    return Gateway(market, matching, clock, Journal(None), options, on_first_subscription=_nothing)


def _nothing() -> None:
    """Nobody waits for a subscription here."""


def trade(gateway: Gateway, side: Side, shares: int) -> None:
    """Execute an order of the first instrument at $10 and let the gateway take note."""
    gateway.account.apply(0, side, quantity_micro=shares * SHARE, price_nano=10 * DOLLAR, commission_nano=DOLLAR)
    gateway.traded(0)
    gateway.announce_trades()


def test_a_later_day_goes_on_where_the_earlier_one_ended(tmp_path: Path) -> None:
    """Cash, holdings and their cost survive; what was sold on Monday has settled on Tuesday; ids go on."""
    path = tmp_path / "account.json"
    monday = gateway_on(MONDAY)
    AccountFile(path, monday)
    monday.desk.begin_after(7, {17: 42})
    trade(monday, Side.BUY, 100)
    trade(monday, Side.SELL, 30)
    values = {tag: value for tag, value, _ in monday.account.values()}
    assert float(values["TotalCashValue"]) - float(values["SettledCash"]) == 300
    tuesday = gateway_on(TUESDAY)
    AccountFile(path, tuesday)
    assert tuesday.account.cash_nano == monday.account.cash_nano == (10_000 - 1_000 + 300 - 2) * DOLLAR
    assert tuesday.account.unsettled_nano == 0
    assert tuesday.account.positions[0].quantity_micro == 70 * SHARE
    assert tuesday.account.positions[0].cost_nano == monday.account.positions[0].cost_nano
    assert tuesday.desk.next_id(17) == 43
    assert tuesday.desk.recorded == 7


def test_a_restart_on_the_same_day_settles_nothing(tmp_path: Path) -> None:
    """The proceeds of the day stay unsettled for the whole day."""
    path = tmp_path / "account.json"
    first = gateway_on(MONDAY)
    AccountFile(path, first)
    trade(first, Side.BUY, 100)
    trade(first, Side.SELL, 30)
    again = gateway_on(MONDAY)
    AccountFile(path, again)
    assert again.account.unsettled_nano == 300 * DOLLAR


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_text("{}"), "no account file"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"DU1", b"DU2")), "DU2"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"2024-06-10", b"2024-06-12")), "2024-06-12"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"SYN01", b"SYN09")), "SYN09"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, spoil: Callable[[Path], object], says: str) -> None:
    """Each with the file's name and what is wrong with it."""
    path = tmp_path / "account.json"
    monday = gateway_on(MONDAY)
    AccountFile(path, monday)
    trade(monday, Side.BUY, 1)
    spoil(path)
    with pytest.raises(AccountFileError, match=says):
        AccountFile(path, gateway_on(TUESDAY))


def test_skipping_plays_the_session_to_nobody() -> None:
    """The clock stands where it was asked to, and the next step is the one after."""
    gateway = gateway_on(MONDAY)
    playback = Playback(gateway)
    until_ns = gateway.market.session.open_ns + 30 * 10**9
    playback.skip_until(until_ns)
    assert playback.now_ns == until_ns
    assert playback.instants(tail_seconds=0)[0] == until_ns + 15 * 10**9


def test_a_past_day_is_what_its_minutes_say() -> None:
    """A synthetic day's bar, taken from its minutes, is the one that its steps would give."""
    market = SyntheticMarket(("SYN01",), seed=3, day=TUESDAY, step_ns=15 * 10**9, minutes=1, history_sessions=1)
    ends = {"end_ns": market.session.open_ns, "start_ns": market.session.open_ns - 86_400 * 10**9, "what": "TRADES"}
    (day,) = market.bars(0, bar_seconds=86_400, **ends)
    minutes = market.bars(0, bar_seconds=60, **ends)
    assert (day.open_nano, day.close_nano) == (minutes[0].open_nano, minutes[-1].close_nano)
    assert day.high_nano == max(bar.high_nano for bar in minutes)
    assert day.low_nano == min(bar.low_nano for bar in minutes)
    assert day.volume_micro == sum(bar.volume_micro for bar in minutes)
