"""Owns what a soak shows: whether memory stays flat, and whether anything was dropped or broke, in hours of trading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from walstreet.adapters.nats.server import MEMORY_SOFT_LIMIT_MIB
from walstreet.testing.bench.chart import ChartUnavailableError

GROWTH_SHARE_MAX = 0.05
GROWTH_MIB_MAX = 8.0
"""From the second quarter of a session to its last quarter, the larger of both: books of fills and orders may grow."""
LIMITED_MIB = {"nats-server": float(MEMORY_SOFT_LIMIT_MIB)}
"""What a process is told to keep within: up to there its garbage waits, and growth is warming up."""
SAMPLES_MIN = 8
QUARTERS = 4
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 10.0, 5.0, 110


class Sample(msgspec.Struct, frozen=True):
    """Resident memory of every process at one moment."""

    session_s: float
    """Simulated seconds since the soak began."""
    mib: dict[str, float]


class SoakSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a soak."""

    minutes: int
    code: int
    summary: dict[str, Any]
    """What `walstreet up --json` wrote."""
    samples: list[Sample]


class SoakResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole soak."""

    hours: float
    speed: float
    seed: int
    elapsed_s: float
    machine: str
    sessions: list[SoakSession]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """How a process's memory moved in one session."""

    before_mib: float
    """Median of the second quarter: the first one warms up."""
    after_mib: float
    """Median of the last quarter."""
    limit_mib: float = 0.0
    """What it is told to keep within, 0 for nothing."""

    @property
    def flat(self) -> bool:
        """Return whether it stayed within the allowance."""
        allowed_mib = self.before_mib + max(GROWTH_SHARE_MAX * self.before_mib, GROWTH_MIB_MAX)
        return self.after_mib <= max(allowed_mib, self.limit_mib)


def growth(samples: Sequence[Sample]) -> dict[str, Growth]:
    """Return by process how its memory moved; too few samples say nothing."""
    names = {name for sample in samples for name in sample.mib}
    found: dict[str, Growth] = {}
    for name in sorted(names):
        sizes = [sample.mib[name] for sample in samples if name in sample.mib]
        if len(sizes) >= SAMPLES_MIN:
            quarters = np.array_split(np.asarray(sizes), QUARTERS)
            found[name] = Growth(
                before_mib=float(np.median(quarters[1])),
                after_mib=float(np.median(quarters[-1])),
                limit_mib=LIMITED_MIB.get(name, 0.0),
            )
    return found


def faults(session: SoakSession) -> list[str]:
    """Return what did not hold in a session."""
    summary: Mapping[str, Any] = session.summary
    if not summary:
        return [f"exit code {session.code} and no summary"]
    grown = growth(session.samples)
    checks = (
        (session.code == 0, f"exit code {session.code}"),
        (bool(grown), "too few samples of memory"),
        (not summary["broken"], f"broken: {summary['broken']}"),
        (not summary["reconciliation"]["breaks"], f"reconciliation breaks: {summary['reconciliation']['breaks']}"),
        (not summary["dead_letters"], f"{summary['dead_letters']} dead letters"),
        (not summary["bars"]["mismatches"], f"{summary['bars']['mismatches']} bars differ from the broker's"),
        (summary["tape"]["clean"], "the log's chains are damaged"),
        (not any(summary["restarts"].values()), f"restarts: {summary['restarts']}"),
        (
            all(count == session.minutes for count in summary["bars"]["by_symbol"].values()),
            f"bars by symbol for {session.minutes} minutes: {summary['bars']['by_symbol']}",
        ),
    )
    return [
        *(text for holds, text in checks if not holds),
        *(
            f"{name} grew from {one.before_mib:.1f} to {one.after_mib:.1f} MiB"
            for name, one in grown.items()
            if not one.flat
        ),
    ]


def draw(result: SoakResult, path: Path) -> None:
    """Draw memory against simulated time, one line per process.

    Raises:
        ChartUnavailableError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ChartUnavailableError("the picture needs matplotlib; install walstreet[bench]") from error
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, session in enumerate(result.sessions):
        names = sorted({name for sample in session.samples for name in sample.mib})
        for colour, name in enumerate(names):
            points = [(one.session_s / 3600, one.mib[name]) for one in session.samples if name in one.mib]
            hours, sizes = zip(*points, strict=True)
            axes.plot(hours, sizes, color=f"C{colour}", linewidth=1.4, label=name if number == 0 else None)
    axes.set_xlabel("simulated hours")
    axes.set_ylabel("resident memory, MiB")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="#e2e8f0")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    broken = sum(len(faults(session)) for session in result.sessions)
    axes.set_title(f"{result.hours:g} hours at {result.speed:g} times real time, seed {result.seed}: {broken} faults")
    figure.savefig(path)
