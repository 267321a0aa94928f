"""Owns the proof that document 002's Python entry runs, and that strategies on opposite sides are netted and limited.

The code is that of docs/LIVE_TRADING.md, as it stands there.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live_trading import LiveTradingManager
from walstreet.runtime.errors import UsageError
from walstreet.testing.stack import command, compare_books, events, truth
from walstreet_events import AccountPlan, AccountValues, OrderFilled, Side, Verdict

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.spec("002.python")]

PAGE = Path("docs/LIVE_TRADING.md")
NAME_CAP = 0.004
FINAL = ("Filled", "Cancelled", "ApiCancelled", "Inactive")


def examples() -> list[str]:
    """Return the code of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run(number: int) -> Iterator[dict[str, Any]]:
    """Run one example of the page; what it wrote is removed behind the tests."""
    names: dict[str, Any] = {}
    exec(compile(examples()[number], str(PAGE), "exec"), names)  # noqa: S102 - our own documentation
    yield names
    entry = names.get("system") or names["manager"]
    shutil.rmtree(entry.get_portfolio_status()["state"], ignore_errors=True)


@pytest.fixture(scope="module")
def alone() -> Iterator[dict[str, Any]]:
    """Return the names of the first example after it ran."""
    yield from run(0)


@pytest.fixture(scope="module")
def together() -> Iterator[dict[str, Any]]:
    """Return the names of the second example after it ran."""
    yield from run(1)


def test_a_system_trades_its_session_and_says_so(alone):
    """The session ends by itself; its status has everything the page names, from the log."""
    status, summary = alone["status"], alone["system"].get_summary()
    assert summary["ok"], summary["broken"]
    assert summary["session"]["symbols"] == ["AAPL", "MSFT"]
    assert status["symbols"] == ["AAPL", "MSFT"]
    assert status["mode"] == "live"
    assert status["decisions"] == summary["decisions"] == 4
    assert status["equity"] == pytest.approx(1_000_000, rel=0.01)
    assert status["books_agree"] is True
    named = re.findall(r"`([a-z_]+)`", PAGE.read_text(encoding="utf-8").split("## Status")[1].split("Amounts")[0])
    inner = {"shares", "price", "value", "weight", "average_cost", "unrealized_pnl"}
    assert set(named) - {"get_portfolio_status"} - inner == set(status)
    assert alone["system"].get_portfolio_status()["running"] is False


def state_of(names: dict[str, Any]) -> Path:
    """Return the session's folder."""
    return Path(names["manager"].get_portfolio_status()["state"])


@pytest.mark.long
def test_opposite_sides_are_netted_and_never_meet_at_the_broker(together):
    """Shares changed hands inside; at no time did the broker hold a buy and a sell of one symbol."""
    state = state_of(together)
    assert together["manager"].get_summary()["ok"], together["manager"].get_summary()["broken"]
    crossed = [
        share
        for event in events(state)
        if isinstance(event, AccountPlan)
        for planned in event.symbols
        for share in planned.shares
        if share.crossed_micro
    ]
    assert {share.strategy for share in crossed} >= {"against"}
    assert sum(share.crossed_micro for share in crossed) == 0
    assert compare_books(state) == []
    working: dict[str, dict[str, str]] = defaultdict(dict)
    symbol_of: dict[str, str] = {}
    placed = 0
    for record in truth(state):
        if record["kind"] == "place_received" and not record["what_if"]:
            symbol_of[record["order_ref"]] = record["symbol"]
            working[record["symbol"]][record["order_ref"]] = record["action"]
            placed += 1
            assert len(set(working[record["symbol"]].values())) == 1, record
        elif record["kind"] == "status" and record["status"] in FINAL and record.get("order_ref") in symbol_of:
            working[symbol_of[record["order_ref"]]].pop(record["order_ref"], None)
    assert placed > 0


@pytest.mark.long
def test_the_sum_of_the_strategies_keeps_to_the_accounts_limit(together):
    """The limit bound, and what the account held never cost more than it allows."""
    told = events(state_of(together))
    reasons = {planned.reason for event in told if isinstance(event, AccountPlan) for planned in event.symbols}
    assert Verdict.RISK_NAME.value in reasons
    held, equity = 0, 1_000_000.0
    for event in told:
        if isinstance(event, AccountValues) and event.net_liquidation_nano:
            equity = event.net_liquidation_nano / 1e9
        if isinstance(event, OrderFilled) and event.symbol == "SYN01":
            held += event.quantity_micro if event.side is Side.BUY else -event.quantity_micro
            # Decided at the mid, filled a little beside it.
            assert abs(held) / 1e6 * event.price_nano / 1e9 <= NAME_CAP * equity * 1.01


@pytest.mark.long
def test_every_strategy_has_a_book_and_the_books_are_the_account(together):
    """The status names all three; their positions sum to the account's, which are the broker's."""
    manager = together["manager"]
    status = manager.get_portfolio_status()
    assert list(together["all_status"]) == ["fast", "twin", "against"]
    assert status["books_agree"] is True
    total: dict[str, float] = defaultdict(float)
    for item in manager.get_all_status().values():
        for symbol, position in item["positions"].items():
            total[symbol] += position["shares"]
    summed = {symbol: shares for symbol, shares in total.items() if shares}
    assert summed == {symbol: item["shares"] for symbol, item in status["positions"].items()}
    assert summed == manager.get_summary()["positions"]


@pytest.mark.long
def test_replay_decides_the_same_with_several_strategies(together):
    """The arbiter of three strategies reproduces its outputs from the TAPE, byte for byte."""
    ended = command("replay", "--verify", "--state", str(state_of(together)), "--json")
    assert ended.code == 0, ended.text[-2000:]


def test_what_the_runtime_refuses_reaches_the_caller(tmp_path):
    """A configuration that only the runtime can judge is a UsageError with the runtime's words."""
    manager = LiveTradingManager([{"minutes": 0, "state": str(tmp_path / "state")}])
    with pytest.raises(UsageError, match="minutes"):
        manager.start_all()
    manager.stop_all()
