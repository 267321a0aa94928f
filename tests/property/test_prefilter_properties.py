"""Owns the properties of the prefilter and of the confidence that must hold for every input."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.confidence import ConfidenceParameters, capacity, confidence, freshness, stability
from walstreet.domain.prefilter import PrefilterMemory, PrefilterParameters, names_to_run, refresh, select
from walstreet_events import NANOS_PER_SECOND

EXAMPLES = settings(max_examples=1000, deadline=None)
START_NS = 10**18
seeds = st.integers(0, 2**63)
parameters = st.builds(PrefilterParameters, slots=st.integers(1, 8), sector_share_max=st.floats(0.0, 1.0))


def mixed(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float, *specials: float) -> np.ndarray:
    """Return uniform values, three in ten of which are ``specials``: drawing whole arrays keeps the tests fast."""
    values = rng.uniform(low, high, shape)
    return np.where(rng.random(shape) < 0.3, rng.choice(np.array(specials), shape), values)


def columns(seed: int, count: int | None = None) -> tuple[np.ndarray, ...]:
    """Return proxy, cost, confidence and sector arrays of up to 12 names, with many ties."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 13)) if count is None else count,)
    return (
        mixed(rng, size, -30.0, 30.0, 10.0, -10.0, 3.0, 0.0, math.nan, math.inf),
        mixed(rng, size, 0.0, 10.0, 1.0, 1.0, 7.0, math.nan, -1.0),
        mixed(rng, size, 0.0, 1.0, 1.0, 0.3, math.nan),
        rng.integers(0, 4, size),
    )


@EXAMPLES
@given(seeds, parameters)
def test_the_choice_is_sound_and_complete(seed: int, options):
    """Chosen names meet every condition, slots and shares hold, and a name left out is unfit or met a full bound."""
    proxy, cost, certain, sectors = columns(seed)
    kept = select(proxy, cost, certain, sectors, options)
    size = np.abs(proxy)
    fit = (size - cost >= options.edge_bps_min) & (certain >= options.confidence_min)
    fit &= (cost <= options.cost_share_max * size) & (cost >= 0.0) & np.isfinite(size)
    assert not np.any(kept & ~fit)
    assert kept.sum() <= options.slots
    per_sector = np.bincount(sectors[kept], minlength=4)
    assert per_sector.max(initial=0) <= options.sector_slots
    for index in np.flatnonzero(fit & ~kept):
        rivals = kept & (size - cost >= (size - cost)[index])
        full_sector = np.count_nonzero(rivals & (sectors == sectors[index])) >= options.sector_slots
        assert full_sector or np.count_nonzero(rivals) >= options.slots


@EXAMPLES
@given(seeds, parameters)
def test_the_sign_of_the_proxy_does_not_matter(seed: int, options):
    """A short is as good as a long."""
    proxy, cost, certain, sectors = columns(seed)
    straight = select(proxy, cost, certain, sectors, options)
    assert np.array_equal(straight, select(-proxy, cost, certain, sectors, options))


@EXAMPLES
@given(seeds, parameters)
def test_without_ties_the_order_of_the_universe_does_not_matter(seed: int, options):
    """Distinct edges: permuted names give the permuted choice."""
    proxy, cost, certain, sectors = columns(seed)
    edge = np.abs(proxy) - cost
    distinct = np.array([np.count_nonzero(edge == value) == 1 for value in edge])
    proxy = np.where(distinct, proxy, math.nan)
    order = np.random.default_rng(seed).permutation(len(proxy))
    straight = select(proxy, cost, certain, sectors, options)
    permuted = select(proxy[order], cost[order], certain[order], sectors[order], options)
    assert np.array_equal(straight[order], permuted)


@EXAMPLES
@given(st.integers(1, 12), parameters)
def test_ties_go_to_the_first_of_the_universe(count: int, options):
    """Equal names of one sector: the first ones are kept."""
    kept = select(np.full(count, 10.0), np.ones(count), np.ones(count), np.zeros(count, dtype=np.int64), options)
    expected = min(count, options.slots, options.sector_slots)
    assert kept.tolist() == [True] * expected + [False] * (count - expected)


@EXAMPLES
@given(seeds, parameters, st.sets(st.integers(0, 11)), st.integers(0, 700), st.booleans())
def test_held_names_always_run_in_universe_order_and_the_cache_holds(seed: int, options, held_at, wait_s, scanned):
    """Every held name runs, the order is the universe's, and the choice changes only by a scan after its time."""
    held = [f"N{index}" for index in sorted(held_at, reverse=True)]
    proxy, cost, certain, sectors = columns(seed)
    universe = tuple(f"N{index}" for index in range(len(proxy)))

    def after(memory: PrefilterMemory, seconds: int, factor: float, scan: bool) -> PrefilterMemory:
        return refresh(
            memory, universe=universe, proxy_bps=factor * proxy, cost_bps=cost, confidence=certain, sectors=sectors,
            scanned=scan, now_ns=START_NS + seconds * NANOS_PER_SECOND, parameters=options,
        )  # fmt: skip

    first = after(PrefilterMemory(), 0, 1.0, True)
    second = after(first, wait_s, -2.0, scanned)
    assert len(second.names) <= options.slots
    if wait_s < options.cache_s or not scanned:
        assert second == first
    names = names_to_run(
        second, universe=universe, held=held, now_ns=START_NS + wait_s * NANOS_PER_SECOND, parameters=options
    )
    assert [name for name in universe if name in names] == list(names)
    assert all(name in names for name in held if name in universe)
    if wait_s >= options.cache_s and not scanned:
        assert names == universe


value = st.one_of(st.floats(0.0, 1e9), st.just(math.nan), st.floats(-1e3, 0.0))


@EXAMPLES
@given(value, value, value, value, value, value)
def test_confidence_is_in_range_or_missing(age, horizon, volume, dollars, live, trained):
    """Each factor is in [0, 1] or missing; the product is missing exactly when a factor is."""
    options = ConfidenceParameters()
    one = np.ones(1)
    factors = (
        freshness(np.array([age]), np.array([horizon]), options),
        capacity(np.array([volume]), np.array([dollars]), options),
        stability(np.array([live]), one, np.array([trained]), one),
    )
    product = confidence(*factors)
    for factor in (*factors, product):
        assert np.isnan(factor[0]) or 0.0 <= factor[0] <= 1.0
    assert np.isnan(product[0]) == any(np.isnan(factor[0]) for factor in factors)


@EXAMPLES
@given(st.floats(0.0, 1e4), st.floats(0.0, 1e4), st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.floats(0.01, 0.999))
def test_confidence_falls_with_age_size_and_error(one, two, error_one, error_two, trained):
    """Older, larger and worse never raise a factor."""
    options, low_high = ConfidenceParameters(), np.array(sorted((one, two)))
    fresh = freshness(low_high, np.array([30.0]), options)
    room = capacity(np.full(2, 1e4), low_high, options)
    kept = stability(np.array(sorted((error_one, error_two))), np.ones(2), np.full(2, trained), np.ones(2))
    for factor in (fresh, room, kept):
        assert factor[0] >= factor[1] - 1e-12
