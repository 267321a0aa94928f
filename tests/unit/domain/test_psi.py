"""Owns the tests of the population stability index."""

import math

import numpy as np
import pytest

from walstreet.domain.psi import (
    PsiParameters,
    learn_inputs,
    psi_memory,
    read_inputs,
    reference_deciles,
    stability_index,
)

pytestmark = pytest.mark.spec("001.control")

SMALL = PsiParameters(rows_min=10, times_min=0, bucket_times=2, buckets=3)


def ramp(count: int = 100) -> np.ndarray:
    """Return (count, 1) whole numbers from 1."""
    return np.arange(1.0, count + 1.0)[:, None]


def test_deciles_are_order_statistics():
    """Of 1..100 the k-th edge is the 10k-th value, and each bin holds a tenth."""
    reference = reference_deciles(ramp())
    assert reference.edges[0].tolist() == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]
    assert reference.shares[0].tolist() == pytest.approx([0.1] * 10)


def test_index_of_known_shares():
    """Half in one bin, half in another of ten: 2*(.4*ln 5) + 8*(.1 - 1e-4)*ln(.1/1e-4) = 1.2876 + 5.5207."""
    shares = np.array([[0.5, 0.5, *[0.0] * 8]])
    index = stability_index(shares, np.full((1, 10), 0.1))[0]
    by_hand = 2 * 0.4 * math.log(5.0) + 8 * (0.1 - 1e-4) * math.log(0.1 / 1e-4)
    assert index == pytest.approx(by_hand, rel=1e-12)
    assert by_hand == pytest.approx(6.8082, abs=1e-4)


def test_a_small_move_between_two_bins():
    """.15 and .05 in place of .1 and .1: .05*ln 1.5 + .05*ln 2 = .0549."""
    shares = np.array([[0.15, 0.05, *[0.1] * 8]])
    index = stability_index(shares, np.full((1, 10), 0.1))[0]
    assert index == pytest.approx(0.05 * math.log(1.5) + 0.05 * math.log(2.0), rel=1e-12)


def test_inputs_as_in_training_have_no_shift():
    """The reference itself as input gives 0."""
    reference = reference_deciles(ramp())
    memory = psi_memory(1, SMALL)
    learn_inputs(memory, ramp(), reference, SMALL)
    reading = read_inputs(memory, reference, SMALL)
    assert reading.columns.tolist() == [0.0]
    assert (reading.value, reading.worst) == (0.0, 0)


def test_too_few_rows_or_times_say_nothing():
    """499 of 500 rows, and a single time where a session is required, give NaN."""
    reference = reference_deciles(ramp())
    rows = PsiParameters(times_min=0)
    memory = psi_memory(1, rows)
    learn_inputs(memory, np.tile(ramp(), (5, 1))[:499], reference, rows)
    assert math.isnan(read_inputs(memory, reference, rows).value)
    learn_inputs(memory, ramp(1), reference, rows)
    assert read_inputs(memory, reference, rows).value >= 0.0
    assert math.isnan(read_inputs(memory, reference, PsiParameters()).value)


def test_missing_inputs_count_nowhere():
    """NaN and infinities leave the counts as they were, in their own column only."""
    reference = reference_deciles(np.repeat(ramp(), 2, axis=1))
    memory = psi_memory(2, SMALL)
    learn_inputs(memory, np.array([[5.0, np.nan], [np.inf, 5.0], [5.0, 5.0]]), reference, SMALL)
    assert memory.counts.sum(axis=(0, 2)).tolist() == [2, 2]


def test_old_buckets_leave_the_window():
    """Three buckets of two times hold the newest five or six times; the ramp's place is taken by its upper half."""
    reference = reference_deciles(ramp())
    memory = psi_memory(1, SMALL)
    for _ in range(6):
        learn_inputs(memory, ramp(), reference, SMALL)
    assert int(memory.times.sum()) == 6
    for _ in range(6):
        learn_inputs(memory, ramp()[50:], reference, SMALL)
    assert memory.counts.sum() == 300
    # All in five of ten bins: 5*.1*ln 2 + 5*(1e-4 - .1)*ln(1e-4/.1).
    by_hand = 5 * 0.1 * math.log(2.0) + 5 * (0.1 - 1e-4) * math.log(0.1 / 1e-4)
    assert read_inputs(memory, reference, SMALL).value == pytest.approx(by_hand, rel=1e-12)


def test_mean_and_max_of_several_inputs():
    """One input moved to its upper half, one did not: the mean is half of the maximum; worst names the column."""
    reference = reference_deciles(np.repeat(ramp(), 2, axis=1))
    moved = psi_memory(2, SMALL)
    learn_inputs(moved, np.hstack([ramp(), np.tile(ramp()[50:], (2, 1))]), reference, SMALL)
    largest = PsiParameters(rows_min=10, times_min=0, bucket_times=2, buckets=3, aggregate="max")
    mean, maximum = read_inputs(moved, reference, SMALL), read_inputs(moved, reference, largest)
    assert maximum.worst == 1
    assert maximum.columns[0] == 0.0
    assert mean.value == pytest.approx(maximum.value / 2.0)


def test_an_input_of_few_values_has_empty_bins_and_no_shift():
    """A flag that is 1 in a third of the rows is compared bin by bin as it was."""
    flags = np.array([0.0, 0.0, 1.0] * 40)[:, None]
    reference = reference_deciles(flags)
    memory = psi_memory(1, SMALL)
    learn_inputs(memory, flags, reference, SMALL)
    assert read_inputs(memory, reference, SMALL).value == 0.0


def test_a_reference_needs_ten_values():
    """Nine finite values give no deciles."""
    with pytest.raises(ValueError, match="input 0 has 9 finite values"):
        reference_deciles(np.append(np.arange(9.0), np.nan)[:, None])


def test_bounds_are_refused():
    """No inputs, and a window shorter than the times it must hold."""
    with pytest.raises(ValueError, match="0 inputs"):
        psi_memory(0, SMALL)
    with pytest.raises(ValueError, match=r"psi\.times_min is 400"):
        PsiParameters(times_min=400, bucket_times=100, buckets=3)
