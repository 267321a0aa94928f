"""Owns the live terminal view of a session: clock, mode, rates, positions, orders, verdicts and a progress bar."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from walstreet.replay.summary import Summary
from walstreet.runtime.loop_ports import Message
from walstreet_events import ClockTick, EventDecodeError, decode

RATE_WINDOW_S = 5.0
RATE_SAMPLES_MAX = 256
"""Samples of the message count, one at each drawing; more than the window ever holds."""
ROWS_MAX = 8
PLAIN_LINES = 20
"""Progress lines over a session when the output is no terminal."""


class SessionView:
    """Shows a session while it runs; falls back to plain lines where there is no terminal."""

    def __init__(self, console: Console, *, live: bool) -> None:
        """Draw on ``console``."""
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>4.0f} %"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("session", total=1.0)
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True) if live and console.is_terminal else None
        )
        self._open_ns = 0
        self._close_ns = 1
        self._now_ns = 0
        self._arrived = 0
        self._samples: deque[tuple[float, int]] = deque(maxlen=RATE_SAMPLES_MAX)
        self._plain_shown = -1

    def begin(self, open_ns: int, close_ns: int) -> None:
        """Start drawing a session."""
        self._open_ns, self._close_ns = open_ns, close_ns
        if self._live is not None:
            self._live.start()

    def end(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()

    def observe(self, message: Message) -> None:
        """Take note of one TAPE message."""
        self._arrived += 1
        if message.subject.startswith("clock."):
            try:
                event = decode(message.payload)
            except EventDecodeError:
                # The verifier names it at the end; the view only keeps the clock it had.
                return
            if isinstance(event, ClockTick):
                self._now_ns = event.ts_ns

    def refresh(self, summary: Summary, restarts: dict[str, int]) -> None:
        """Draw the present state."""
        done = min(1.0, max(0.0, (self._now_ns - self._open_ns) / max(1, self._close_ns - self._open_ns)))
        if self._live is None:
            self._plain(done, summary)
            return
        self._progress.update(self._task, completed=done)
        self._live.update(Group(self._table(summary, restarts), self._progress))

    def _plain(self, done: float, summary: Summary) -> None:
        step = int(done * PLAIN_LINES)
        if step > self._plain_shown:
            self._plain_shown = step
            self._console.print(
                f"{_clock(self._now_ns)}  {done:4.0%}  {summary.decisions} decisions, {summary.orders_sent} orders, "
                f"{summary.fills} fills, mode {summary.modes[-1][1] if summary.modes else 'observe'}",
                highlight=False,
            )

    def _rate(self, now_s: float) -> float:
        """Return messages per second over the last ``RATE_WINDOW_S``."""
        self._samples.append((now_s, self._arrived))
        while self._samples[0][0] < now_s - RATE_WINDOW_S:
            self._samples.popleft()
        first_s, first = self._samples[0]
        return (self._arrived - first) / (now_s - first_s) if now_s > first_s else 0.0

    def _table(self, summary: Summary, restarts: dict[str, int]) -> Table:
        table = Table(title=f"walstreet  {summary.session_date} {_clock(self._now_ns)} UTC", expand=True)
        for name in ("session", "verdicts", "positions"):
            table.add_column(name, ratio=1)
        rate = self._rate(time.monotonic())
        mode = summary.modes[-1][1] if summary.modes else "observe"
        change = summary.equity_change
        left = [
            f"mode {mode}",
            f"TAPE {summary.messages:,} messages, {rate:,.0f}/s",
            f"decisions {summary.decisions}",
            f"orders {summary.orders_sent}, fills {summary.fills}",
            f"equity {'-' if change is None else f'{change:+,.2f}'} USD",
            f"restarts {sum(restarts.values())}",
        ]
        verdicts = [f"{name} {count:,}" for name, count in summary.verdicts.most_common(ROWS_MAX)]
        held = sorted(((abs(q), s, q) for s, q in summary.positions.items() if q), reverse=True)[:ROWS_MAX]
        positions = [f"{symbol} {quantity:+,.0f}" for _, symbol, quantity in held]
        table.add_row("\n".join(left), "\n".join(verdicts), "\n".join(positions) or "flat")
        return table


def _clock(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, tz=UTC).strftime("%H:%M:%S") if ts_ns else "--:--:--"
