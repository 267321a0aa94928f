"""Owns the sheet of paper of every picture of `bot`: size, colours, fonts, PNG without date and host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from walstreet.runtime.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 11.0
DOTS_PER_INCH = 110
INK = "#1c2430"
RULE = "#d8dee6"
QUIET = "#5b6675"
GOOD = "#1a7f4b"
BAD = "#b3261e"
LINES = ("#2563eb", "#d97706", "#0f766e", "#7c3aed", "#5b6675")
AREAS = (
    "#2563eb",
    "#d97706",
    "#0f766e",
    "#7c3aed",
    "#db2777",
    "#65a30d",
    "#0891b2",
    "#b45309",
    "#475569",
    "#dc2626",
    "#4d7c0f",
    "#1e3a8a",
)

Draw = Callable[["Figure"], None]


def require_pictures() -> None:
    """Refuse a run that could not draw, before anything is computed.

    Raises:
        UsageError: matplotlib is missing.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - no other command needs it
    except ImportError as error:
        raise UsageError(f"the pictures need matplotlib ({error}); install the extra walstreet[bench]") from error
    assert mpl.__version__


def save(path: Path, draw: Draw, *, height_inches: float) -> None:
    """Draw one figure and write it as PNG, under matplotlib's own defaults whatever the user has configured."""
    import matplotlib as mpl  # noqa: PLC0415 - no other command needs it
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.size": 9,
                "axes.edgecolor": QUIET,
                "axes.titlesize": 11,
                "axes.titlelocation": "left",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "text.color": INK,
                "legend.frameon": False,
            }
        )
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(path, format="png", metadata={"Software": "walstreet"})


def plain_axes(axes: Axes, title: str) -> None:
    """Give axes their title and quiet grid lines."""
    axes.set_title(title)
    axes.grid(visible=True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
