"""Owns the pictures of exhibits: each as SVG and PNG, lines with a shaded range that passes, or horizontal bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from walstreet.testing.bench.chart import ChartUnavailableError
from walstreet.testing.exhibits.row import Exhibit, Panel

WIDTH_INCHES: Final = 11.0
LINES_INCHES: Final = 3.4
BAR_INCHES: Final = 0.24
FRAME_INCHES: Final = 1.4
DOTS_PER_INCH: Final = 110
COLOURS: Final = ("#2563eb", "#d97706", "#0f766e", "#7c3aed", "#be123c", "#475569")
SHADE: Final = "#2f7d5b"
GRID: Final = "#d8dee6"
FORMATS: Final = ("svg", "png")
SALT: Final = "walstreet"
"""SVG ids are made from it, so that equal pictures are equal files."""


def draw(exhibit: Exhibit, folder: Path) -> list[Path]:
    """Write the picture of an exhibit and return its files; none for an exhibit without panels.

    Raises:
        ChartUnavailableError: matplotlib is missing.
    """
    if not exhibit.panels:
        return []
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional extra
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ChartUnavailableError(
            "the pictures need matplotlib; install the extra walstreet[bench], or run `make setup`"
        ) from error
    heights = [BAR_INCHES * len(panel.bars) + FRAME_INCHES if panel.bars else LINES_INCHES for panel in exhibit.panels]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    for axes, panel in zip(places[:, 0], exhibit.panels, strict=True):
        _bars(axes, panel) if panel.bars else _lines(axes, panel)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.suptitle(exhibit.title, fontsize=11, x=0.01, ha="left")
    paths = [folder / f"{exhibit.name}.{ending}" for ending in FORMATS]
    with mpl.rc_context({"svg.hashsalt": SALT, "svg.fonttype": "none"}):
        for path in paths:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _frame(axes: Any, panel: Panel) -> None:
    for axis in panel.logarithmic:
        axes.set(**{f"{axis}scale": "log"})
    axes.set_title(panel.title, fontsize=9, loc="left")
    axes.set_xlabel(panel.x_label, fontsize=8)
    axes.set_ylabel(panel.y_label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color=GRID, zorder=0)
    axes.set_axisbelow(True)


def _lines(axes: Any, panel: Panel) -> None:
    _frame(axes, panel)
    if panel.allowed:
        axes.axhspan(*panel.allowed, color=SHADE, alpha=0.12, linewidth=0)
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        if line.style == "points":
            axes.plot(line.x, line.y, "o", markersize=3, color=colour, label=line.name)
        else:
            style = "--" if line.style == "dashed" else "-"
            axes.plot(line.x, line.y, style, linewidth=1.3, color=colour, label=line.name)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _bars(axes: Any, panel: Panel) -> None:
    _frame(axes, panel)
    places = list(range(len(panel.bars)))
    if panel.allowed:
        axes.axvspan(*panel.allowed, color=SHADE, alpha=0.12, linewidth=0)
    axes.barh(places, [value for _, value in panel.bars], height=0.6, color=COLOURS[0])
    axes.set_yticks(places, [name for name, _ in panel.bars], fontsize=8)
    axes.set_ylim(len(places) - 0.4, -0.6)
    if panel.allowed and "x" in panel.logarithmic:
        axes.set_xlim(left=panel.allowed[0])
    for place, (_, value) in zip(places, panel.bars, strict=True):
        # A logarithmic axis has no 0; its figure stands where the axis begins.
        value_shown = max(value, axes.get_xlim()[0])
        axes.annotate(
            f"{value:.3g}", (value_shown, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
