"""Owns the properties of re-basing, soft gate, entry gates and barrier exits that must hold for every input."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.barrier import (
    BarrierForecast,
    BarrierParameters,
    apply_soft_gate,
    entry_gate,
    rebase_forecast,
    rebased,
    soft_gate,
    without_entries,
)
from walstreet.domain.barrier_exits import (
    NO_CAP,
    NO_STOP,
    BarrierMemory,
    apply_exits,
    canonical,
    update,
    update_all,
)

EXAMPLES = settings(max_examples=1000, deadline=None)
weight = st.one_of(st.floats(-0.2, 0.2), st.just(0.0))
shape = st.builds(
    BarrierParameters,
    gate_min=st.floats(0.0, 1.0),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.7]),
    delta=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    absent=st.sampled_from(["other_side", "neutral"]),
)
seeds = st.integers(0, 2**63)
TINY = 5e-324


def mixed(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float, *specials: float) -> np.ndarray:
    """Return uniform values, three in ten of which are ``specials``: drawing whole arrays keeps the tests fast."""
    values = rng.uniform(low, high, shape)
    return np.where(rng.random(shape) < 0.3, rng.choice(np.array(specials), shape), values)


def table_of(seed: int) -> np.ndarray:
    """Return (N, 11) rows: four probabilities, their base rates, target, current weight, last return."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    return np.hstack(
        (
            mixed(rng, (count, 4), -0.1, 1.1, math.nan, 0.0, 1.0, 0.5, 0.3, 0.55, 0.6, 0.65, -2.0, math.inf),
            mixed(rng, (count, 4), 0.05, 0.95, 0.5, 0.5, math.nan, 0.0, 1.0),
            mixed(rng, (count, 2), -0.2, 0.2, 0.0, TINY, -TINY, 0.05, -0.05),
            mixed(rng, (count, 1), -50.0, 50.0, 0.0, math.nan),
        )
    )


def forecast_of(values: np.ndarray, *, mirrored: bool = False) -> BarrierForecast:
    """Return the forecast of (N, 8+) rows; mirrored, peak and valley and long and short change places."""
    peak_long, valley_long, peak_short, valley_short = (3, 2, 1, 0) if mirrored else (0, 1, 2, 3)
    column = np.ascontiguousarray(values.T)
    return BarrierForecast(
        p_peak_long=column[peak_long],
        p_valley_long=column[valley_long],
        p_peak_short=column[peak_short],
        p_valley_short=column[valley_short],
        base_peak_long=column[4 + peak_long],
        base_valley_long=column[4 + valley_long],
        base_peak_short=column[4 + peak_short],
        base_valley_short=column[4 + valley_short],
    )


@EXAMPLES
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.01, 0.99))
def test_rebasing_is_monotone_bounded_and_centred(one: float, two: float, base: float):
    """p* is in [0, 1], grows with p, falls with the base rate, and is .5 at it."""
    low, high = min(one, two), max(one, two)
    values = rebased(np.array([low, high, base]), np.full(3, base))
    assert np.all((values >= 0.0) & (values <= 1.0))
    assert values[0] <= values[1] + 1e-12
    assert values[2] == 0.5
    rarer = rebased(np.array([low]), np.array([base * 0.9]))
    assert rarer[0] >= values[0] - 1e-12


@EXAMPLES
@given(seeds, shape)
def test_the_gates_are_mirror_symmetric(seed: int, parameters: BarrierParameters):
    """Negated weights with peak/valley and long/short exchanged give exactly the negated weights and mirrored flags."""
    table = table_of(seed)
    targets, current, last = (np.ascontiguousarray(table[:, index]) for index in (8, 9, 10))
    fresh = np.ones(len(table), dtype=np.bool_)
    straight = rebase_forecast(forecast_of(table), parameters)
    mirror = rebase_forecast(forecast_of(table, mirrored=True), parameters)
    assert np.array_equal(straight.peak_long, mirror.valley_short)
    assert np.array_equal(straight.neutral_long, mirror.neutral_short)
    assert np.array_equal(straight.borrowed_short, mirror.borrowed_long)
    gated = apply_soft_gate(targets, fresh, straight, parameters)
    assert np.array_equal(apply_soft_gate(-targets, fresh, mirror, parameters), -gated)
    gate = entry_gate(targets, last, straight, parameters)
    mirrored_gate = entry_gate(-targets, -last, mirror, parameters)
    assert np.array_equal(gate.peak_risk, mirrored_gate.valley_risk)
    assert np.array_equal(gate.valley_risk, mirrored_gate.peak_risk)
    assert np.array_equal(gate.valley_bounce_pref, mirrored_gate.peak_fade_pref)
    assert np.array_equal(gate.peak_fade_pref, mirrored_gate.valley_bounce_pref)
    limited = without_entries(targets, current, gate)
    assert np.array_equal(without_entries(-targets, -current, mirrored_gate), -limited)


@EXAMPLES
@given(seeds, shape)
def test_the_gates_never_increase_exposure(seed: int, parameters: BarrierParameters):
    """After the soft gate and after the entry gate no |weight| is larger and no sign has changed."""
    table = table_of(seed)
    targets, current, last = (np.ascontiguousarray(table[:, index]) for index in (8, 9, 10))
    barriers = rebase_forecast(forecast_of(table), parameters)
    gated = apply_soft_gate(targets, np.ones(len(table), dtype=np.bool_), barriers, parameters)
    limited = without_entries(targets, current, entry_gate(targets, last, barriers, parameters))
    for after in (gated, limited):
        assert np.all(np.abs(after) <= np.abs(targets))
        assert np.all(after * targets >= 0.0)
    reducing = (np.abs(targets) <= np.abs(current)) & (np.sign(targets) * np.sign(current) >= 0.0)
    assert np.array_equal(limited[reducing], targets[reducing])


@EXAMPLES
@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.05, 0.95),
    st.sampled_from([-1.0, 1.0]),
    shape,
)
def test_the_soft_gate_is_monotone(
    one: float, two: float, other: float, base: float, side: float, parameters: BarrierParameters
):
    """More of the adverse event never raises the gate, more of the favourable one never lowers it."""
    low, high = min(one, two), max(one, two)
    bases = np.full(2, base)

    def gate(adverse: np.ndarray, favourable: np.ndarray) -> np.ndarray:
        peak, valley = (adverse, favourable) if side > 0.0 else (favourable, adverse)
        forecast = BarrierForecast(
            p_peak_long=peak, p_valley_long=valley, base_peak_long=bases, base_valley_long=bases,
            p_peak_short=peak, p_valley_short=valley, base_peak_short=bases, base_valley_short=bases,
        )  # fmt: skip
        return soft_gate(np.full(2, side), rebase_forecast(forecast, parameters), parameters)

    moving, still = np.array([low, high]), np.full(2, other)
    adverse, favourable = gate(moving, still), gate(still, moving)
    assert adverse[0] >= adverse[1] - 1e-12
    assert favourable[0] <= favourable[1] + 1e-12
    assert np.all((adverse >= 0.0) & (adverse <= 1.0))


@EXAMPLES
@given(seeds, shape)
def test_what_is_absent_triggers_nothing(seed: int, parameters: BarrierParameters):
    """Without any probability every weight passes, nothing is blocked or labelled, and both sides are flagged."""
    table = table_of(seed)
    table[:, :4] = math.nan
    targets, last = np.ascontiguousarray(table[:, 8]), np.ascontiguousarray(table[:, 10])
    barriers = rebase_forecast(forecast_of(table), parameters)
    assert barriers.neutral_long.all()
    assert barriers.neutral_short.all()
    assert np.array_equal(soft_gate(targets, barriers, parameters), np.ones(len(table)))
    gate = entry_gate(targets, last, barriers, parameters)
    assert not (gate.long_blocked | gate.short_blocked | gate.valley_bounce_pref | gate.peak_fade_pref).any()
    memory = update(
        BarrierMemory(), position_micro=7, price_nano=10**9, sigma_5m_bps=9.0, adverse=0.5, favourable=0.5,
        parameters=parameters,
    )  # fmt: skip
    assert memory == BarrierMemory(direction=1)


step = st.tuples(
    st.sampled_from([-3, -2, -1, 0, 1, 2, 3]),
    st.one_of(st.integers(90, 110), st.just(0)),
    st.one_of(st.floats(1.0, 200.0), st.just(math.nan)),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)


@EXAMPLES
@given(st.lists(step, min_size=1, max_size=12))
def test_latches_hold_and_stops_only_tighten(steps: list[tuple[int, int, float, float, float]]):
    """While the sign of the position stays, a cap never changes or goes, a stop never moves away, a hit never ends."""
    memory, parameters = BarrierMemory(), BarrierParameters()
    for shares, price, sigma, adverse, favourable in steps:
        before = memory
        memory = update(
            before,
            position_micro=shares * 1_000_000,
            price_nano=price * 10**9,
            sigma_5m_bps=sigma,
            adverse=adverse,
            favourable=favourable,
            parameters=parameters,
        )
        direction = int(np.sign(shares))
        assert memory.direction == direction
        if direction == 0:
            assert memory == BarrierMemory()
        if direction != before.direction:
            assert memory.cap_micro in {NO_CAP, abs(shares) * 500_000}
            assert not memory.stop_hit
            continue
        if before.cap_micro != NO_CAP:
            assert memory.cap_micro == before.cap_micro
        if before.stop_nano != NO_STOP:
            assert direction * (memory.stop_nano - before.stop_nano) >= 0
        assert memory.stop_hit >= before.stop_hit


@EXAMPLES
@given(st.lists(step, min_size=1, max_size=6))
def test_a_short_latches_and_stops_as_its_mirror_image_does(steps: list[tuple[int, int, float, float, float]]):
    """Mirrored positions at the same price: equal caps, and a first stop at the same distance on the other side."""
    parameters = BarrierParameters()
    for shares, price, sigma, adverse, favourable in steps:
        facts = {
            "price_nano": price * 10**9, "sigma_5m_bps": sigma, "adverse": adverse, "favourable": favourable,
            "parameters": parameters,
        }  # fmt: skip
        one = update(BarrierMemory(), position_micro=shares * 1_000_000, **facts)
        two = update(BarrierMemory(), position_micro=-shares * 1_000_000, **facts)
        assert (one.direction, one.cap_micro) == (-two.direction, two.cap_micro)
        if one.stop_nano != NO_STOP:
            assert one.stop_nano + two.stop_nano == 2 * price * 10**9
        else:
            assert two.stop_nano == NO_STOP


@EXAMPLES
@given(st.lists(st.tuples(step, weight), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_plans_do_not_depend_on_order_and_never_add_exposure(
    values: list[tuple[tuple[int, int, float, float, float], float]], random
):
    """Permuted symbols give permuted plans and the same memories; exits only shrink targets and keep their sign."""
    count, parameters = len(values), BarrierParameters()
    names = [f"S{index}" for index in range(count)]
    order = list(range(count))
    random.shuffle(order)
    before = {"S0": BarrierMemory(direction=1, cap_micro=1_000_000, stop_nano=95 * 10**9)}
    results = []
    for sequence in (list(range(count)), order):
        picked = [values[index] for index in sequence]
        position = np.array([item[0][0] for item in picked], dtype=np.int64) * 1_000_000
        adverse, favourable = (np.array([item[0][column] for item in picked]) for column in (3, 4))
        half = np.full(count, 0.5)
        barriers = rebase_forecast(
            BarrierForecast(
                p_peak_long=adverse, p_valley_long=favourable, base_peak_long=half, base_valley_long=half,
                p_peak_short=favourable, p_valley_short=adverse, base_peak_short=half, base_valley_short=half,
            ),
            parameters,
        )  # fmt: skip
        plan = update_all(
            before,
            symbols=[names[index] for index in sequence],
            position_micro=position,
            price_nano=np.array([item[0][1] for item in picked], dtype=np.int64) * 10**9,
            sigma_5m_bps=np.array([item[0][2] for item in picked]),
            barriers=barriers,
            parameters=parameters,
        )
        targets = np.array([item[1] for item in picked])
        after = apply_exits(targets, position * 1e-8, position, np.ones(count, dtype=np.bool_), plan)
        assert np.all(np.abs(after) <= np.abs(targets))
        assert np.all(after * targets >= 0.0)
        assert np.all(after[plan.stop_hit] == 0.0)
        results.append((plan, after))
    straight, permuted = results
    assert canonical(straight[0].memories) == canonical(permuted[0].memories)
    assert np.array_equal(straight[1][order], permuted[1])
    assert np.array_equal(straight[0].cap_micro[order], permuted[0].cap_micro)


@EXAMPLES
@given(seeds, shape)
def test_gates_do_not_depend_on_the_order_of_symbols(seed: int, parameters: BarrierParameters):
    """Permuted symbols give exactly the permuted gated weights."""
    straight = table_of(seed)
    order = np.random.default_rng(seed).permutation(len(straight))
    results = []
    for table in (straight, straight[order]):
        targets, current, last = (np.ascontiguousarray(table[:, index]) for index in (8, 9, 10))
        barriers = rebase_forecast(forecast_of(table), parameters)
        limited = without_entries(targets, current, entry_gate(targets, last, barriers, parameters))
        results.append(apply_soft_gate(limited, np.ones(len(table), dtype=np.bool_), barriers, parameters))
    assert np.array_equal(results[0][order], results[1])
