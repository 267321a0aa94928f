"""`bot fetch` without a network: what is asked for, what is on disk after every stop, and what is said in the end."""

import asyncio
import datetime as dt
import hashlib
from dataclasses import replace

import pytest

from walstreet.adapters.exchange_calendar import exchange_sessions
from walstreet.adapters.history_source import HistoryError, Patience
from walstreet.domain.daily_checks import CheckParameters
from walstreet.domain.daily_series import day_number
from walstreet.research.daily_store import DailyStore
from walstreet.runtime.errors import UsageError
from walstreet.testing.daily_sources import ScriptedSource, after_close_ns, session_bars
from walstreet_services.cli.bot_fetch import _all, _task
from walstreet_services.cli.bot_fetch_report import content_of, show, write_report
from walstreet_services.cli.bot_fetch_symbol import Task, fetch_symbol

FIRST, LAST = dt.date(2021, 1, 4), dt.date(2023, 6, 30)
NEXT = dt.date(2023, 7, 3)
EX_DAY = day_number(dt.date(2022, 3, 18))


class KilledError(BaseException):
    """Stands for a signal: nothing may catch it."""


def quiet(text: str) -> None:
    """Take a notice that no test looks at."""


def source_of_bars(until=LAST, **fields):
    """Return a source of one symbol that pays once."""
    bars = {"SPY": session_bars(FIRST, until), "LATE": session_bars(dt.date(2022, 9, 1), until)}
    dividends = {("SPY", EX_DAY): 1.25}
    return ScriptedSource(bars=bars, dividends=dividends, now=after_close_ns(until), **fields)


def task_of(folder, source, **changes):
    """Return a task over all days of the source, newest day final."""
    sessions = exchange_sessions()
    newest = sessions.newest_opened(source.now)
    task = Task(
        source=source,
        store=DailyStore(folder),
        first=day_number(FIRST),
        last=newest,
        today=newest,
        final_until=sessions.newest_closed(source.now),
        sessions=sessions.days,
        chunk_days=365,
        checks=CheckParameters(),
        patience=Patience(attempts=3, first_s=0.0, max_s=0.0),
        notice=quiet,
    )
    return replace(task, **changes)


def fetched(task, symbol="SPY"):
    """Fetch one symbol."""
    return asyncio.run(fetch_symbol(task, symbol))


def digest(folder):
    """Return what all files of a folder are."""
    files = sorted(path for path in folder.rglob("*.parquet"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_fresh_fetch_asks_in_chunks_and_once_for_the_adjusted_series(tmp_path) -> None:
    """Three chunks of a year, one whole adjusted series, the dividend found, nothing to doubt."""
    source = source_of_bars()
    outcome = fetched(task_of(tmp_path, source))
    assert [request.what for request in source.requests] == ["raw", "raw", "raw", "adjusted"]
    assert all(request.last - request.first < 365 for request in source.requests[:3])
    assert [request.growing for request in source.requests[:3]] == [False, False, True]
    assert (outcome.ok, outcome.bars, outcome.fresh, outcome.dividends) == (True, 627, 627, 1)
    assert outcome.findings == ()
    (noticed,) = DailyStore(tmp_path).actions("SPY")
    assert noticed.action.day == EX_DAY
    assert noticed.action.value == pytest.approx(1.25, abs=1e-9)


def test_what_is_up_to_date_asks_nothing_and_writes_nothing(tmp_path) -> None:
    """The second run makes no request and touches no byte."""
    source = source_of_bars()
    fetched(task_of(tmp_path, source))
    before, source.requests = digest(tmp_path), []
    outcome = fetched(task_of(tmp_path, source))
    assert source.requests == []
    assert (outcome.ok, outcome.fresh, outcome.bars) == (True, 0, 627)
    assert digest(tmp_path) == before


def test_the_next_day_asks_for_the_tail_only(tmp_path) -> None:
    """One raw request with a few days of overlap; the adjusted series comes whole again."""
    fetched(task_of(tmp_path, source_of_bars()))
    source = source_of_bars(until=NEXT)
    outcome = fetched(task_of(tmp_path, source))
    raw, adjusted = source.requests
    assert (raw.what, raw.last, adjusted.what) == ("raw", day_number(NEXT), "adjusted")
    assert raw.last - raw.first <= 11
    assert (outcome.fresh, outcome.last) == (1, NEXT.isoformat())


def test_an_earlier_start_asks_for_the_head_only(tmp_path) -> None:
    """Two requests go back in time; the tail is not touched."""
    source = source_of_bars()
    fetched(task_of(tmp_path, source, first=day_number(dt.date(2022, 6, 1))))
    source.requests = []
    outcome = fetched(task_of(tmp_path, source))
    assert [request.what for request in source.requests] == ["raw", "raw", "adjusted"]
    assert source.requests[0].last == day_number(dt.date(2022, 5, 31))
    assert outcome.first == FIRST.isoformat()
    assert outcome.bars == 627


def test_a_later_start_or_an_earlier_end_loses_nothing(tmp_path) -> None:
    """What is stored stays stored."""
    source = source_of_bars()
    fetched(task_of(tmp_path, source))
    narrow = task_of(tmp_path, source, first=day_number(dt.date(2022, 6, 1)), last=day_number(dt.date(2022, 12, 30)))
    assert fetched(narrow).bars == 627


def test_a_provisional_bar_is_fetched_again_and_replaced(tmp_path) -> None:
    """During the session the day's bar is stored and marked; after it another one takes its place."""
    source = source_of_bars()
    during = task_of(tmp_path, source, final_until=day_number(dt.date(2023, 6, 29)))
    first = fetched(during)
    assert first.provisional == 1
    assert [finding.kind for finding in first.findings] == ["provisional", "provisional"]
    source.bars["SPY"][-1] = replace(source.bars["SPY"][-1], close=107.0, high=110.0)
    outcome = fetched(task_of(tmp_path, source))
    for name in ("raw", "adjusted"):
        series = DailyStore(tmp_path).read("SPY", name).series
        assert (series.close[-1], bool(series.provisional.any())) == (107.0, False)
    assert (outcome.provisional, outcome.fresh) == (0, 1)


def test_a_symbol_that_begins_late_is_stored_and_its_empty_years_are_not_asked_again(tmp_path) -> None:
    """No data before the first day is an answer; the report says so and is no doubt."""
    source = source_of_bars()
    outcome = fetched(task_of(tmp_path, source), "LATE")
    assert outcome.ok
    assert {finding.kind for finding in outcome.findings} == {"late_start"}
    source.requests = []
    assert fetched(task_of(tmp_path, source), "LATE").ok
    assert source.requests == []


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_a_killed_fetch_goes_on_where_it_was(tmp_path, stop_after: int) -> None:
    """After any number of answers: what they brought is on disk, is not asked again, and the end is the same."""
    whole = tmp_path / "whole"
    fetched(task_of(whole, source_of_bars()))
    killing = source_of_bars(failures=[*[None] * stop_after, KilledError()])
    with pytest.raises(KilledError):
        fetched(task_of(tmp_path / "part", killing))
    again = source_of_bars()
    outcome = fetched(task_of(tmp_path / "part", again))
    assert outcome.ok
    assert len([request for request in again.requests if request.what == "raw"]) == max(0, 3 - stop_after)
    assert digest(tmp_path / "part") == digest(whole)


def test_a_split_since_the_last_fetch_brings_everything_anew(tmp_path) -> None:
    """The source tells its past in new shares: stored prices are given up, and the split is kept as an action."""
    fetched(task_of(tmp_path, source_of_bars()))
    source = source_of_bars(until=NEXT, scale=0.25)
    outcome = fetched(task_of(tmp_path, source))
    assert outcome.ok
    assert outcome.restated == pytest.approx(0.25)
    assert (outcome.splits, outcome.dividends) == (1, 1)
    series = DailyStore(tmp_path).read("SPY", "raw").series
    assert len(series) == 628
    assert series.close[0] == pytest.approx(25.0)
    actions = [noticed for noticed in DailyStore(tmp_path).actions("SPY") if noticed.action.kind == "split"]
    assert [(noticed.action.value, noticed.derived) for noticed in actions] == [(pytest.approx(4.0), False)]
    assert fetched(task_of(tmp_path, source_of_bars(until=NEXT, scale=0.25))).requests == 0


def test_failures_that_pass_are_asked_again_and_others_are_named(tmp_path) -> None:
    """Pacing twice, then an answer; a bad symbol and an exhausted patience are outcomes with their reason."""
    pacing = [HistoryError("162 pacing violation", reason="pacing") for _ in range(2)]
    source = source_of_bars(failures=pacing)
    said = []
    assert fetched(task_of(tmp_path, source, notice=said.append)).ok
    assert [text for text in said if "asked again" in text] == said
    assert len(said) == 2
    unknown = fetched(task_of(tmp_path, source), "NOPE")
    assert (unknown.ok, unknown.reason) == (False, "unknown_symbol")
    source.failures = [HistoryError("gone", reason="unavailable") for _ in range(3)]
    assert fetched(task_of(tmp_path, source), "LATE").reason == "unavailable"


def test_an_impossible_bar_is_refused_and_nothing_of_the_answer_is_stored(tmp_path) -> None:
    """The chunk before stays, the bad one is asked for again the next time."""
    source = source_of_bars()
    good = source.bars["SPY"][400]
    source.bars["SPY"][400] = replace(good, high=good.close - 3.0)
    outcome = fetched(task_of(tmp_path, source))
    assert (outcome.ok, outcome.reason) == (False, "malformed")
    assert "impossible bars (raw)" in outcome.text
    assert DailyStore(tmp_path).read("SPY", "adjusted") is None
    source.bars["SPY"][400] = good
    assert fetched(task_of(tmp_path, source)).ok


def test_two_sources_are_not_mixed(tmp_path) -> None:
    """A folder of simulated prices cannot be topped up with real ones."""
    fetched(task_of(tmp_path, source_of_bars(name="simulator")))
    with pytest.raises(UsageError, match=r"came from simulator, this fetch asks scripted.*--data"):
        fetched(task_of(tmp_path, source_of_bars(until=NEXT)))


def test_no_price_at_all_is_a_failure(tmp_path) -> None:
    """Days before the symbol's first one."""
    task = task_of(tmp_path, source_of_bars(), last=day_number(dt.date(2021, 12, 31)))
    outcome = fetched(task, "LATE")
    assert (outcome.ok, outcome.reason) == (False, "no_data")


def test_a_source_that_never_answers_is_given_up(tmp_path) -> None:
    """After three symbols in a row the rest is not tried, and the report names it."""
    failures = [HistoryError("no answer", reason="unavailable") for _ in range(30)]
    task = task_of(tmp_path, source_of_bars(failures=failures))
    symbols = ["SPY", "LATE", "A", "B", "C"]
    outcomes = asyncio.run(_all(task, symbols, lambda: None))
    assert len(outcomes) == 3
    content = content_of(outcomes, source="scripted", span=("2021-01-04", "2023-06-30"), rest=symbols[3:])
    assert (content["ok"], content["not_tried"]) == (False, ["B", "C"])


def test_the_days_follow_clock_and_configuration(tmp_path, bot_config) -> None:
    """A weekend's end is Friday; a bar is final half an hour after the close; a start in the future is refused."""
    close_ns = after_close_ns(LAST) - 3_600 * 10**9
    source = source_of_bars()
    source.now = close_ns + 29 * 60 * 10**9
    task = asyncio.run(_task(bot_config(), DailyStore(tmp_path), source, quiet))
    assert (task.today, task.final_until) == (day_number(LAST), day_number(dt.date(2023, 6, 29)))
    source.now = close_ns + 31 * 60 * 10**9
    later = asyncio.run(_task(bot_config(end="2023-06-25"), DailyStore(tmp_path), source, quiet))
    assert (later.last, later.final_until) == (day_number(dt.date(2023, 6, 23)), day_number(LAST))
    with pytest.raises(UsageError, match="earlier --start"):
        asyncio.run(_task(bot_config(start="2030-01-02"), DailyStore(tmp_path), source, quiet))


def test_the_report_is_a_table_a_file_and_json(tmp_path, capsys) -> None:
    """One row for each symbol, doubts counted by kind, failures with their text."""
    source = source_of_bars()
    source.bars["SPY"].pop(100)
    task = task_of(tmp_path, source)
    outcomes = [fetched(task, "SPY"), fetched(task, "NOPE")]
    content = content_of(outcomes, source=source.name, span=("2021-01-04", "2023-06-30"), rest=())
    path = write_report(tmp_path, content)
    assert path.name == "validation.json"
    assert content["doubts"] == {"gap": 2}
    assert content["symbols"]["NOPE"]["reason"] == "unknown_symbol"
    show(content, outcomes, path, place="a script", as_json=False)
    text = capsys.readouterr().out
    assert "1 sessions are missing" in text
    assert "failed: NOPE: no such symbol [unknown_symbol]" in text
    show(content, outcomes, path, place="a script", as_json=True)
    assert capsys.readouterr().out == path.read_text()
