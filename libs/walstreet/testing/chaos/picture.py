"""Owns the picture of a chaos run: moment against process, with how often it was killed there and what came of it."""

from __future__ import annotations

from pathlib import Path

from walstreet.runtime.crash_points import POINTS
from walstreet.testing.bench.chart import ChartUnavailableError
from walstreet.testing.chaos.plan import SERVICES
from walstreet.testing.chaos.result import ChaosResult, matrix, summary_rows

WIDTH_INCHES, HEIGHT_INCHES = 10.0, 8.6
DOTS_PER_INCH = 110
FORMATS = ("svg", "png")
DARK = 0.55
"""Above this share of the largest count a number is written in white."""


def draw(result: ChaosResult, folder: Path) -> list[Path]:
    """Write the heat map and return its files.

    Raises:
        ChartUnavailableError: matplotlib is missing.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional extra
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ChartUnavailableError("the picture needs matplotlib; install walstreet[bench]") from error
    counts = matrix(result)
    grid = [[counts.get((service, point), 0) for service in SERVICES] for point in POINTS]
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    broken = sum(number for _, number in summary_rows(result))
    most = max(max(row) for row in grid) or 1
    axes.imshow(grid, cmap="Greens" if not broken else "Reds", aspect="auto", vmin=0, vmax=most)
    for row, line in enumerate(grid):
        for column, count in enumerate(line):
            colour = "white" if count > DARK * most else "#334155"
            axes.text(column, row, str(count) if count else "·", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(SERVICES)), SERVICES)
    axes.set_yticks(range(len(POINTS)), list(POINTS), fontsize=8)
    axes.xaxis.tick_top()
    axes.set_xlabel(
        "; ".join(f"{text}: {number}" for text, number in summary_rows(result)), fontsize=7, wrap=True, color="#334155"
    )
    figure.suptitle(
        f"{result.count} crashes in {len(result.sessions)} sessions, seed {result.seed}: "
        f"{broken} violations of an invariant",
        fontsize=11,
    )
    paths = [folder / f"chaos.{ending}" for ending in FORMATS]
    with mpl.rc_context({"svg.hashsalt": "walstreet", "svg.fonttype": "none"}):
        for path in paths:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths
