"""Owns the check that the decision benchmark computes what it claims before it times anything."""

import numpy as np
import pytest

from walstreet import kernels
from walstreet.testing.bench import decision, decision_peers
from walstreet.testing.bench.decision import cycle_row, low_rank_rows, make_problem, ridge_rows

ROW_RUNS = 40


def test_a_cycle_row_names_its_best_peer() -> None:
    """All three peers agree with the kernel, and the fastest of them is the one that counts."""
    pytest.importorskip("numba", reason="numba comes with the bench extra")
    row = cycle_row(20, ROW_RUNS, decision.CYCLE_TARGETS[20])
    assert row.peer in {"numpy", "numba by symbol", "numba by row"}
    assert row.median > 0.0
    assert row.ratio == row.peer_median / row.median
    assert row.target == 1.3


def test_rows_of_kept_factors_agree_with_numpy() -> None:
    """Both solvers give NumPy's weights; each has a row per peer or budget."""
    ridge = ridge_rows(24, ROW_RUNS)
    low_rank = low_rank_rows(48, ROW_RUNS)
    assert [row.peer for row in ridge] == ["numpy", "numpy, inverse kept"]
    assert [row.peer for row in low_rank] == ["budget", "numpy, core kept"]


def test_a_peer_that_computes_something_else_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer with another result ends the row before any time is taken."""
    pytest.importorskip("numba", reason="numba comes with the bench extra")

    def wrong(problem: decision_peers.Problem) -> decision_peers.Cycle:
        run = decision_peers.numpy_cycle(problem)

        def work() -> None:
            run()
            problem.arrays.z[0] = 17.0

        return work

    monkeypatch.setattr(decision, "numpy_cycle", wrong)
    with pytest.raises(AssertionError, match="numpy: z"):
        cycle_row(20, ROW_RUNS, 1.0)


def test_the_problem_is_the_same_every_time_and_worth_deciding() -> None:
    """Seeded inputs, some of them missing, of which a good part is wanted."""
    first, second = make_problem(100).arrays, make_problem(100).arrays
    assert first.scores.tobytes() == second.scores.tobytes()
    assert np.isnan(first.scores).any()
    with np.errstate(all="ignore"):
        decision_peers.numpy_cycle(make_problem(100))()
    assert kernels.implementation().name in {"native", "reference"}
