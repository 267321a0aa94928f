"""Owns the analysis of costs of a whole TAPE: every session's parents, and what the reconciler journaled about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from walstreet.domain.tca import ParentCost
from walstreet.domain.tca_book import TcaBook, costs, fold_book
from walstreet.domain.tca_parameters import TcaParameters
from walstreet.domain.tca_report import GROUPS, rows_of
from walstreet_events import AnyEvent, ParameterChange, SessionRef, TcaReport, TcaRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCosts:
    """The costs of one session, computed again from its facts."""

    session_date: str
    open_ns: int
    costs: tuple[ParentCost, ...]
    dropped: int
    """Parents beyond the bound of what is analysed."""


@dataclass(slots=True)
class TcaLog:
    """Folds a TAPE; ``finish`` closes the session under way."""

    parameters: TcaParameters = field(default_factory=TcaParameters)
    sessions: list[SessionCosts] = field(default_factory=list)
    reports: list[TcaReport] = field(default_factory=list)
    changes: list[ParameterChange] = field(default_factory=list)
    """Of the operator and of the tuning, in the order of the TAPE."""
    _book: TcaBook = field(default_factory=TcaBook)
    _session: SessionRef | None = None

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Fold the next events."""
        for event in events:
            match event:
                case SessionRef():
                    if self._session is None or event.session_date != self._session.session_date:
                        self._close()
                    self._session = event
                case TcaReport():
                    self.reports.append(event)
                case ParameterChange():
                    self.changes.append(event)
                case _:
                    fold_book(self._book, event, quote_age_s_max=self.parameters.quote_age_s_max)

    def finish(self) -> TcaLog:
        """Return the log with the newest session among the others; call it once, behind the last event."""
        self._close()
        return self

    @property
    def costs(self) -> tuple[ParentCost, ...]:
        """Return every parent of every session."""
        return tuple(cost for session in self.sessions for cost in session.costs)

    def _close(self) -> None:
        if self._session is not None:
            self.sessions.append(
                SessionCosts(
                    session_date=self._session.session_date,
                    open_ns=self._session.open_ns,
                    costs=costs(self._book),
                    dropped=self._book.dropped,
                )
            )
        self._book, self._session = TcaBook(), None


def combined_rows(sessions: Sequence[SessionCosts]) -> tuple[TcaRow, ...]:
    """Return the sums per group over the sessions; their opens need not be at the same time of day."""
    rows = [row for item in sessions for row in rows_of(item.costs, item.open_ns)]
    merged: dict[tuple[str, str], TcaRow] = {}
    for row in rows:
        known = merged.get((row.by, row.key))
        merged[row.by, row.key] = row if known is None else _added(known, row)
    order = sorted(merged, key=lambda key: (GROUPS.index(key[0]), key[1]))
    return tuple(merged[key] for key in order)


def _added(left: TcaRow, right: TcaRow) -> TcaRow:
    values: dict[str, Any] = {"by": left.by, "key": left.key}
    for name in left.__struct_fields__:
        a, b = getattr(left, name), getattr(right, name)
        if name not in values:
            values[name] = tuple(x + y for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b
    return TcaRow(**values)
