"""Owns the reconciler's part in cost analysis: it folds a session, reports it after the close, and tunes once a day."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from walstreet.domain.autotune import (
    OPERATOR,
    SPREAD,
    Reason,
    TuneMemory,
    note_change,
    note_report,
    propose,
    tune_memory,
)
from walstreet.domain.tca_book import TcaBook, costs, fold_book
from walstreet.domain.tca_parameters import WINDOW_DAYS_MAX, TcaParameters
from walstreet.domain.tca_report import rows_of, samples_of
from walstreet_events import (
    NANOS_PER_SECOND,
    AnyEvent,
    ClockTick,
    ParameterChange,
    ParameterTuned,
    SessionRef,
    TcaReport,
    TcaSamples,
    TuningProposal,
    derive_id,
    tag_of,
)

NEVER_WIDE_BPS = float("inf")
"""Where the permitted spread is not known no parent counts as wide."""


@dataclass(slots=True, kw_only=True)
class TcaState:
    """The session under way, and the samples of those before it; a function of the log."""

    tune: TuneMemory = field(default_factory=TuneMemory)
    book: TcaBook = field(default_factory=TcaBook)
    session_date: str = ""
    open_ns: int = 0
    close_ns: int = 0
    reported: str = ""
    """Session of the newest report."""
    days: list[tuple[TcaSamples, ...]] = field(default_factory=list)
    """Samples of the reported sessions, oldest first."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return self.session_date, self.close_ns, self.reported, self.tune.canonical(), self.book.canonical()


def tca_state(tunables: dict[str, float]) -> TcaState:
    """Return the state before the first event; ``tunables`` are the configured values by path."""
    return TcaState(tune=tune_memory(tunables))


def fold_tca(state: TcaState, event: AnyEvent, parameters: TcaParameters) -> None:
    """Fold one input or own output."""
    match event:
        case SessionRef():
            if event.session_date != state.session_date:
                state.session_date, state.book = event.session_date, TcaBook()
            state.open_ns, state.close_ns = event.open_ns, event.close_ns
        case TcaReport():
            state.reported = event.session_date
            state.days = [*state.days, event.samples][-WINDOW_DAYS_MAX:]
            note_report(state.tune)
        case ParameterChange():
            note_change(state.tune, event)
        case _:
            fold_book(state.book, event, quote_age_s_max=parameters.quote_age_s_max)


def tca_events(state: TcaState, tick: ClockTick, parameters: TcaParameters) -> list[AnyEvent]:
    """Return the report of the session and the changes it leads to, once, when the close is so long ago."""
    due_ns = state.close_ns + round(parameters.report_delay_s * NANOS_PER_SECOND)
    if not state.session_date or state.reported == state.session_date or tick.ts_ns < due_ns:
        return []
    found = costs(state.book)
    samples = samples_of(
        found,
        error_bps_max=parameters.error_bps_max,
        spread_bps_max=state.tune.current.get(SPREAD, NEVER_WIDE_BPS),
    )
    proposals: tuple[TuningProposal, ...] = ()
    if parameters.autotune != "off":
        proposals = propose(state.tune, [*state.days, samples], state.session_date, parameters)
    report = TcaReport(
        id=derive_id(f"tca:{state.session_date}", tag_of(TcaReport), 0),
        cause=tick.id,
        ts_ns=tick.ts_ns,
        session_date=state.session_date,
        rows=rows_of(found, state.open_ns),
        samples=samples,
        autotune=parameters.autotune,
        proposals=proposals,
    )
    if parameters.autotune != "apply":
        return [report]
    moved = [item for item in proposals if item.reason == Reason.MOVED.value]
    return [report, *(_tuned(report, index, item) for index, item in enumerate(moved))]


def _tuned(report: TcaReport, index: int, proposal: TuningProposal) -> ParameterTuned:
    return ParameterTuned(
        id=derive_id(report.id, tag_of(ParameterTuned), index),
        cause=report.id,
        ts_ns=report.ts_ns,
        path=proposal.path,
        value=_json(proposal.proposed),
        previous=_json(proposal.current),
        operator=OPERATOR,
        session_date=report.session_date,
        samples=proposal.samples,
        days=proposal.days,
    )


def _json(value: float) -> str:
    return msgspec.json.encode(value).decode()
