"""Owns the tests of the choice of names for the expensive models."""

import math

import numpy as np
import pytest

from walstreet.domain.prefilter import (
    PrefilterMemory,
    PrefilterParameters,
    in_force,
    names_to_run,
    refresh,
    select,
)
from walstreet_events import NANOS_PER_SECOND

pytestmark = pytest.mark.spec("001.control")

DEFAULTS = PrefilterParameters()
S = NANOS_PER_SECOND
T0 = 1_000_000 * S


def chosen(proxy, cost=None, confidence=None, sectors=None, parameters=DEFAULTS) -> list[int]:
    """Return the positions that take a slot."""
    proxy = np.array(proxy, dtype=float)
    count = len(proxy)
    kept = select(
        proxy,
        np.array(cost if cost is not None else [1.0] * count, dtype=float),
        np.array(confidence if confidence is not None else [1.0] * count, dtype=float),
        np.array(sectors if sectors is not None else range(count), dtype=np.int64),
        parameters,
    )
    return np.flatnonzero(kept).tolist()


@pytest.mark.parametrize(
    ("proxy", "cost", "confidence", "kept"),
    [
        (10.0, 1.0, 0.3, True),
        (-10.0, 1.0, 0.3, True),
        (10.0, 1.0, 0.29, False),
        (3.0, 1.0, 1.0, True),
        (2.9, 1.0, 1.0, False),
        (10.0, 7.0, 1.0, True),
        (10.0, 7.1, 1.0, False),
        (math.nan, 1.0, 1.0, False),
        (10.0, math.nan, 1.0, False),
        (10.0, 1.0, math.nan, False),
        (math.inf, 1.0, 1.0, False),
        (10.0, -1.0, 1.0, False),
    ],
)
def test_conditions(proxy: float, cost: float, confidence: float, kept: bool):
    """Edge from 2 bps, confidence from .3, cost up to .7 of the proxy; what is missing stays out."""
    assert chosen([proxy], [cost], [confidence]) == ([0] if kept else [])


def test_the_best_names_win_and_ties_go_to_the_first():
    """Two slots for edges 9, 5, 9, 9: the first two nines."""
    parameters = PrefilterParameters(slots=2, sector_share_max=1.0)
    assert chosen([10.0, 6.0, -10.0, 10.0], parameters=parameters) == [0, 2]


def test_many_ties_keep_the_order_of_the_universe():
    """Of a hundred equal names the first twenty are kept, also where a fast sort would shuffle them."""
    parameters = PrefilterParameters(sector_share_max=1.0)
    assert chosen([10.0, 9.0] * 50, parameters=parameters) == list(range(0, 40, 2))


def test_a_sector_takes_its_share_of_the_slots():
    """Of 10 slots a sector takes 3: the fourth of sector 1 gives way to a worse name of sector 2."""
    parameters = PrefilterParameters(slots=10)
    assert parameters.sector_slots == 3
    assert chosen([50.0, 40.0, 30.0, 20.0, 10.0], sectors=[1, 1, 1, 1, 2], parameters=parameters) == [0, 1, 2, 4]


def test_the_share_is_rounded_down_but_never_to_nothing():
    """.3 of 20 is 6, .29 of 100 is 29 although the product is 28.999..., and 0 still leaves one slot."""
    assert DEFAULTS.sector_slots == 6
    assert PrefilterParameters(slots=100, sector_share_max=0.29).sector_slots == 29
    assert PrefilterParameters(sector_share_max=0.0).sector_slots == 1


def made(memory=None, *, now=T0, proxy=(10.0, 0.0, 20.0), scanned=True, parameters=DEFAULTS):
    """Return the choice after a cycle of C, A, B."""
    return refresh(
        memory or PrefilterMemory(),
        universe=("C", "A", "B"),
        proxy_bps=np.array(proxy),
        cost_bps=np.ones(3),
        confidence=np.ones(3),
        sectors=np.arange(3),
        scanned=scanned,
        now_ns=now,
        parameters=parameters,
    )


def run_names(memory, *, held=(), now=T0, parameters=DEFAULTS):
    """Return the names that the next cycle runs."""
    return names_to_run(memory, universe=("C", "A", "B"), held=held, now_ns=now, parameters=parameters)


def test_the_choice_stands_in_universe_order_and_held_names_pass():
    """C and B are chosen, C first as in the universe; A passes while it is held."""
    memory = made()
    assert memory == PrefilterMemory(selected_ns=T0, names=("C", "B"))
    assert run_names(memory) == ("C", "B")
    assert run_names(memory, held={"A"}) == ("C", "A", "B")


def test_the_choice_is_cached_and_then_everything_runs_once():
    """For 300 s the choice holds against better proxies; then the whole universe runs and is chosen from."""
    memory = made()
    better = made(memory, now=T0 + 300 * S - 1, proxy=(0.0, 99.0, 0.0))
    assert better == memory
    assert run_names(memory, now=T0 + 300 * S - 1) == ("C", "B")
    assert run_names(memory, now=T0 + 300 * S) == ("C", "A", "B")
    assert made(memory, now=T0 + 300 * S, proxy=(0.0, 99.0, 0.0)).names == ("A",)


def test_only_a_scan_is_chosen_from():
    """A cycle that ran for yesterday's choice only leaves the old, expired choice, so the next one runs everything."""
    memory = made()
    late = made(memory, now=T0 + 400 * S, scanned=False)
    assert late == memory
    assert run_names(late, now=T0 + 400 * S) == ("C", "A", "B")


def test_at_the_start_everything_runs_and_an_empty_choice_is_a_choice():
    """Without a choice all names run; with one that found nothing only held ones do."""
    assert run_names(PrefilterMemory()) == ("C", "A", "B")
    nothing = made(proxy=(0.0, 0.0, 0.0))
    assert nothing.names == ()
    assert run_names(nothing, held=["B"]) == ("B",)


def test_a_choice_from_the_future_does_not_hold():
    """After a clock that went back everything runs."""
    assert not in_force(made(), now_ns=T0 - 1, parameters=DEFAULTS)


def test_switched_off_everything_runs():
    """``enabled: false`` is no filter."""
    assert run_names(made(), parameters=PrefilterParameters(enabled=False)) == ("C", "A", "B")


def test_the_digest_tells_no_choice_from_an_empty_one():
    """-1 stands for none."""
    assert PrefilterMemory().canonical() == (-1, ())
    assert PrefilterMemory(selected_ns=0).canonical() == (0, ())


def test_parameters_out_of_range_are_refused():
    """No slots would mean no names."""
    with pytest.raises(ValueError, match=r"prefilter\.slots is 0"):
        PrefilterParameters(slots=0)
