"""Owns the properties of netting that must hold for every input and every history."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.netting import (
    INTENTS_PER_SYMBOL_MAX,
    NettingMemory,
    NettingParameters,
    NettingReason,
    expire,
    net_intents,
    update,
)
from walstreet_events import NANOS_PER_SECOND

EXAMPLES = settings(max_examples=1000, deadline=None)
PARAMETERS = NettingParameters()
SYMBOLS = ("A", "B", "C")
START_NS = 10**18
seeds = st.integers(0, 2**63)


def mixed(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float, *specials: float) -> np.ndarray:
    """Return uniform values, three in ten of which are ``specials``: drawing whole arrays keeps the tests fast."""
    values = rng.uniform(low, high, shape)
    return np.where(rng.random(shape) < 0.3, rng.choice(np.array(specials), shape), values)


def history_of(seed: int) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Return cycles of three symbols: seconds since the last one, intents, positions, alphas.

    Whole dollars add without rounding in every order, so that mirrored and permuted results can be compared exactly.
    """
    rng = np.random.default_rng(seed)
    return [
        (
            int(rng.integers(0, 41)),
            np.rint(mixed(rng, (int(rng.integers(1, 4)), 3), -3e3, 3e3, 0.0, 0.0, 200.0, -199.0, 5e3, math.nan)),
            np.rint(mixed(rng, (3,), -3e3, 3e3, 0.0, 0.0, math.nan)),
            mixed(rng, (3,), -30.0, 30.0, 0.0, 5.0, -5.0, math.nan),
        )
        for _ in range(int(rng.integers(1, 6)))
    ]


def run(cycles, *, sign: float = 1.0, order=(0, 1, 2)):
    """Return the outcome and the memory after each cycle, all signs times ``sign`` and symbols in ``order``."""
    memory, now_ns, outcomes = NettingMemory(), START_NS, []
    symbols = tuple(SYMBOLS[index] for index in order)
    for seconds, intents, position, alphas in cycles:
        now_ns += seconds * NANOS_PER_SECOND
        alpha_bps = sign * np.array(alphas)[list(order)]
        outcome = net_intents(
            memory,
            symbols=symbols,
            intents_usd=np.ascontiguousarray(sign * np.array(intents)[:, list(order)]),
            position_usd=sign * np.array(position)[list(order)],
            alpha_bps=alpha_bps,
            now_ns=now_ns,
            parameters=PARAMETERS,
        )
        memory = update(
            memory, symbols=symbols, netting=outcome, alpha_bps=alpha_bps, now_ns=now_ns, parameters=PARAMETERS
        )
        outcomes.append((outcome, memory))
    return outcomes


@EXAMPLES
@given(seeds)
def test_netting_is_mirror_symmetric(seed: int):
    """The opposite intents, positions and alphas give exactly the opposite orders, for the same reasons."""
    cycles = history_of(seed)
    for (straight, _), (mirror, _) in zip(run(cycles), run(cycles, sign=-1.0), strict=True):
        assert np.array_equal(mirror.allowed_usd, -straight.allowed_usd)
        assert np.array_equal(mirror.opening_usd, -straight.opening_usd)
        assert np.array_equal(mirror.reason, straight.reason)
        assert np.array_equal(mirror.churn, straight.churn, equal_nan=True)


@EXAMPLES
@given(seeds, st.permutations([0, 1, 2]))
def test_netting_does_not_depend_on_the_order_of_symbols(seed: int, order):
    """Permuted symbols give permuted orders and the same memory."""
    cycles = history_of(seed)
    for (straight, memory), (permuted, other) in zip(run(cycles), run(cycles, order=tuple(order)), strict=True):
        assert np.array_equal(straight.allowed_usd[list(order)], permuted.allowed_usd)
        assert np.array_equal(straight.reason[list(order)], permuted.reason)
        assert memory.canonical() == other.canonical()


@EXAMPLES
@given(seeds)
def test_reducing_always_passes_and_nothing_grows(seed: int):
    """What passes is part of the net in its direction, at least its reducing part; missing facts let nothing pass."""
    cycles = history_of(seed)
    for (outcome, _), (_, intents, position, _) in zip(run(cycles), cycles, strict=True):
        net, held = np.array(intents).sum(axis=0), np.array(position)
        missing = ~np.isfinite(net + held)
        assert np.all(outcome.allowed_usd[missing] == 0.0)
        assert np.all(outcome.reason[missing] == NettingReason.MISSING)
        net, held, allowed = net[~missing], held[~missing], outcome.allowed_usd[~missing]
        assert np.all(np.abs(allowed) <= np.abs(net))
        assert np.all(allowed * net >= 0.0)
        against = net * held < 0.0
        least = np.where(against, np.minimum(np.abs(net), np.abs(held)), 0.0)
        assert np.all(np.abs(allowed) >= least)
        pure = against & (np.abs(net) <= np.abs(held))
        assert np.array_equal(allowed[pure], net[pure])


@EXAMPLES
@given(seeds)
def test_what_opens_has_passed_every_test(seed: int):
    """An opening part is large enough, has an alpha, and its window's churn is within the bound; churn is in [0, 1]."""
    cycles = history_of(seed)
    for (outcome, _), (_, _, _, alphas) in zip(run(cycles), cycles, strict=True):
        opens = outcome.opening_usd != 0.0
        assert np.all(np.abs(outcome.opening_usd[opens]) >= PARAMETERS.net_usd_min)
        assert np.all(outcome.churn[opens] <= PARAMETERS.churn_max + 1e-6)
        assert np.all(np.isfinite(np.array(alphas)[opens]))
        known = outcome.churn[np.isfinite(outcome.churn)]
        assert np.all((known >= -1e-12) & (known <= 1.0))


@EXAMPLES
@given(seeds, st.integers(0, 4_000))
def test_the_memory_is_bounded_and_expiry_changes_no_decision(seed: int, wait_s: int):
    """Records stay within their bounds, and expiring early is the same as letting the window judge by age."""
    cycles = history_of(seed)
    _, memory = run(cycles)[-1]
    assert all(len(known.recent) <= INTENTS_PER_SYMBOL_MAX for known in memory.symbols.values())
    now_ns = START_NS + (sum(item[0] for item in cycles) + wait_s) * NANOS_PER_SECOND
    trimmed = expire(memory, now_ns, PARAMETERS)
    assert expire(trimmed, now_ns, PARAMETERS) == trimmed
    results = [
        net_intents(
            state,
            symbols=SYMBOLS,
            intents_usd=np.array([[-500.0, 500.0, 900.0]]),
            position_usd=np.zeros(3),
            alpha_bps=np.array([-3.0, 3.0, 8.0]),
            now_ns=now_ns,
            parameters=PARAMETERS,
        )
        for state in (memory, trimmed)
    ]
    assert np.array_equal(results[0].allowed_usd, results[1].allowed_usd)
    assert np.array_equal(results[0].churn, results[1].churn)
