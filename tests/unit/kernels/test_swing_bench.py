"""Owns the check that the rotation's benchmark computes what it claims before it times anything."""

import numpy as np
import pytest

from walstreet.kernels.swing import swing_implementation
from walstreet.testing.bench import swing
from walstreet.testing.bench.row import BenchError

pytestmark = pytest.mark.skipif(swing_implementation()[0] != "native", reason=swing_implementation()[1])


def comparison(theirs: float | None) -> swing.Comparison:
    """Return a comparison of a constant with another."""
    return swing.Comparison(
        name="swing backtest",
        size="none",
        target=2.5,
        budget_ms=1.0,
        ours=lambda: np.array([1.0]),
        theirs=None if theirs is None else lambda: np.array([theirs]),
    )


def test_a_peer_that_computes_something_else_is_found_out() -> None:
    """No time is taken of a peer whose result is another one."""
    with pytest.raises(BenchError, match="numba differs from the kernels"):
        swing.measure(comparison(1.001), runs=2)


def test_rows_name_their_peer_or_their_budget() -> None:
    """Without numba the targets' own figure is the bound, and the row says so."""
    assert swing.measure(comparison(1.0), runs=2).peer == "numba"
    row = swing.measure(comparison(None), runs=2)
    assert row.peer == "budget"
    assert "numba is not installed" in row.size


def test_the_problem_is_the_documents_size() -> None:
    """Nine funds, one of them late, 32 windows inside the bars."""
    bars, windows = swing.make_bars(), swing.make_windows()
    assert bars.close.shape == (swing.WARM_UP_DAYS + 2_768, 9)
    assert np.isnan(bars.close[: swing.LATE_START_DAY, -1]).all()
    assert len(windows) == 32
    assert windows[-1].test_last < len(bars.dates)
    assert swing.make_bars().close.tobytes() == bars.close.tobytes()
