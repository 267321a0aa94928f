"""Owns the fetching of one symbol: what is missing, in requests small enough, each answer on disk before the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec

from walstreet.adapters.history_source import DailySource, HistoryError, Patience, asked_again
from walstreet.domain.corporate_actions import CorporateAction, corporate_actions, restated_scale
from walstreet.domain.daily_checks import CheckParameters, Finding, check_pair, check_series
from walstreet.domain.daily_series import DailyBar, DailySeries, DayArray, day_date, laid_over, series_of
from walstreet.domain.fetch_plan import Chunk, Coverage, plan_chunks
from walstreet.research.daily_store import DailyStore, NoticedAction, SeriesName, Stored
from walstreet.runtime.errors import UsageError

RESTATEMENTS_MAX = 1
"""A source that restates its past twice within one fetch cannot be followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is wanted of every symbol."""

    source: DailySource
    store: DailyStore
    first: int
    """Oldest wanted day."""
    last: int
    """Newest wanted day."""
    today: int
    """Day of the newest session that has begun."""
    final_until: int
    """Newest day whose bars are final."""
    sessions: DayArray
    chunk_days: int
    checks: CheckParameters
    patience: Patience
    notice: Callable[[str], None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one symbol."""

    symbol: str
    ok: bool
    reason: str = ""
    """Stable code of a failure."""
    text: str = ""
    requests: int = 0
    bars: int = 0
    """Of the adjusted series."""
    first: str = ""
    last: str = ""
    fresh: int = 0
    """Days that were not stored as final before."""
    provisional: int = 0
    dividends: int = 0
    splits: int = 0
    restated: float | None = None
    """Scale by which the source has restated its past since the last fetch."""
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Work:
    """One symbol in progress."""

    requests: int = 0
    fresh: int = 0
    restated: float | None = None


async def fetch_symbol(task: Task, symbol: str) -> Outcome:
    """Bring the files of a symbol up to date and return what was done; a failure is an outcome, too.

    Raises:
        UsageError: The folder holds something that this fetch must not touch.
    """
    work = _Work()
    try:
        raw = await _raw(task, symbol, work)
        adjusted = await _adjusted(task, symbol, raw, work)
    except HistoryError as error:
        return Outcome(symbol=symbol, ok=False, reason=error.reason, text=str(error), requests=work.requests)
    kept = [noticed for noticed in task.store.actions(symbol) if not noticed.derived]
    derived = [NoticedAction(action=action, derived=True) for action in corporate_actions(raw.series, adjusted.series)]
    if not _same(task.store.read(symbol, "adjusted"), adjusted):
        # The actions come first: a fetch that is killed in between does both again, because the series is not new yet.
        task.store.write_actions(symbol, [*kept, *derived], source=task.source.name)
        task.store.write(symbol, "adjusted", adjusted)
    series = adjusted.series
    return Outcome(
        symbol=symbol,
        ok=True,
        requests=work.requests,
        bars=len(series),
        first=day_date(int(series.days[0])).isoformat(),
        last=day_date(int(series.days[-1])).isoformat(),
        fresh=work.fresh,
        provisional=int(series.provisional.sum()),
        dividends=sum(noticed.action.kind == "dividend" for noticed in derived),
        splits=sum(noticed.action.kind == "split" for noticed in (*kept, *derived)),
        restated=work.restated,
        findings=_findings(task, symbol, raw, adjusted),
    )


async def _raw(task: Task, symbol: str, work: _Work) -> Stored:
    """Return the raw series, complete and on disk."""
    stored = _own(task, symbol, "raw")
    for _ in range(RESTATEMENTS_MAX + 1):
        first = task.first if stored is None else min(task.first, stored.asked_from)
        chunks = plan_chunks(_coverage(stored), first=first, last=task.last, chunk_days=task.chunk_days)
        scale = None
        for chunk in chunks:
            answer = await _chunk(task, symbol, chunk, work)
            scale = None if stored is None else restated_scale(stored.series, answer)
            if stored is not None and scale is not None:
                break
            before = stored or Stored(series=answer.between(1, 0), source=task.source.name, asked_from=first)
            stored = Stored(
                series=laid_over(before.series.final(), answer),
                source=task.source.name,
                asked_from=min(before.asked_from, chunk.first),
            )
            work.fresh += len(stored.series.final()) - len(before.series.final())
            task.store.write(symbol, "raw", stored)
        if stored is not None and scale is not None:
            _note_restated(task, symbol, stored, scale, work)
            task = replace(task, first=min(task.first, stored.asked_from))
            stored = None
            continue
        if stored is None or not len(stored.series):
            raise HistoryError(
                f"{symbol}: {task.source.name} has no price from {day_date(first)} to {day_date(task.last)}; choose "
                "other days, or take the symbol out of the universe",
                reason="no_data",
            )
        return stored
    raise HistoryError(f"{symbol}: the source restated its past during the fetch; fetch again", reason="unavailable")


async def _adjusted(task: Task, symbol: str, raw: Stored, work: _Work) -> Stored:
    """Return the adjusted series: the stored one if it covers the raw one, else the whole of it anew."""
    stored = _own(task, symbol, "adjusted")
    newest = int(raw.series.days[-1])
    if work.requests == 0 and stored is not None and stored.asked_from <= raw.asked_from:
        final = stored.series.final()
        if len(final) and int(final.days[-1]) >= min(newest, task.last):
            return stored
    bars = await _asked(task, symbol, lambda: task.source.adjusted(symbol, raw.asked_from), work)
    if not bars:
        raise HistoryError(f"{symbol}: {task.source.name} gave no adjusted price; try again later", reason="no_data")
    series = series_of(bars, final_until=task.final_until).between(raw.asked_from, max(newest, task.last))
    if not len(series):
        raise HistoryError(f"{symbol}: the adjusted prices are of other days; fetch again", reason="malformed")
    _require_sound(task, symbol, "adjusted", series)
    return Stored(series=series, source=task.source.name, asked_from=raw.asked_from)


async def _chunk(task: Task, symbol: str, chunk: Chunk, work: _Work) -> DailySeries:
    """Return the bars of one request; none where the source has none, as before a symbol's first day."""
    growing = chunk.last >= task.today
    try:
        bars = await _asked(
            task, symbol, lambda: task.source.raw(symbol, chunk.first, chunk.last, growing=growing), work
        )
    except HistoryError as error:
        if error.reason != "no_data":
            raise
        bars = ()
    series = series_of(bars, final_until=task.final_until)
    _require_sound(task, symbol, "raw", series)
    return series


def _require_sound(task: Task, symbol: str, name: SeriesName, series: DailySeries) -> None:
    """Refuse an answer with a bar that no market can have printed: nothing of it is stored."""
    faults = [finding for finding in _checked(task, symbol, name, series, int(task.first)) if finding.fault]
    if faults:
        raise HistoryError(
            f"{symbol}: {task.source.name} gave {len(faults)} impossible bars ({name}), the first on {faults[0].day}: "
            f"{faults[0].text}; nothing of this answer was stored, tell the source",
            reason="malformed",
        )


async def _asked(
    task: Task, symbol: str, ask: Callable[[], Awaitable[tuple[DailyBar, ...]]], work: _Work
) -> tuple[DailyBar, ...]:
    async def once() -> tuple[DailyBar, ...]:
        work.requests += 1
        return await ask()

    return await asked_again(once, task.patience, notice=lambda text: task.notice(f"{symbol}: {text}"))


def _own(task: Task, symbol: str, name: SeriesName) -> Stored | None:
    """Return what is stored, if it came from the same source."""
    stored = task.store.read(symbol, name)
    if stored is not None and stored.source != task.source.name:
        raise UsageError(
            f"{task.store.path(symbol, name)} came from {stored.source}, this fetch asks {task.source.name}; prices of "
            "two sources must not be mixed: name another folder with --data, or move the old one away"
        )
    return stored


def _same(one: Stored | None, other: Stored) -> bool:
    names = ("days", "open", "high", "low", "close", "volume", "provisional")
    return (
        one is not None
        and one.asked_from == other.asked_from
        and all(getattr(one.series, name).tobytes() == getattr(other.series, name).tobytes() for name in names)
    )


def _coverage(stored: Stored | None) -> Coverage | None:
    if stored is None:
        return None
    return Coverage(asked_from=stored.asked_from, final_days=tuple(stored.series.final().days.tolist()))


def _note_restated(task: Task, symbol: str, stored: Stored, scale: float, work: _Work) -> None:
    """Keep the split that a restated past implies, before the series that showed it is given up."""
    work.restated = scale
    after = int(stored.series.final().days[-1]) + 1
    split = NoticedAction(action=CorporateAction(day=after, kind="split", value=1.0 / scale), derived=False)
    task.store.write_actions(symbol, [*task.store.actions(symbol), split], source=task.source.name)
    task.notice(f"{symbol}: the source has restated its past by {scale:.6g}, a split; all of it is fetched again")


def _findings(task: Task, symbol: str, raw: Stored, adjusted: Stored) -> tuple[Finding, ...]:
    last = min(task.last, task.final_until)
    return (
        *_checked(task, symbol, "raw", raw.series, raw.asked_from),
        *_checked(task, symbol, "adjusted", adjusted.series, adjusted.asked_from),
        *check_pair(raw.series, adjusted.series, symbol=symbol, last=last, parameters=task.checks),
    )


def _checked(task: Task, symbol: str, name: SeriesName, series: DailySeries, asked_from: int) -> tuple[Finding, ...]:
    return check_series(
        series, symbol=symbol, name=name, sessions=task.sessions, asked_from=asked_from, parameters=task.checks
    )
