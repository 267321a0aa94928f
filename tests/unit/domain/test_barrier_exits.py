"""Owns the tests of the scale-out and of the soft stop."""

import numpy as np
import pytest

from walstreet.domain.barrier import BarrierForecast, BarrierParameters, rebase_forecast
from walstreet.domain.barrier_exits import (
    NO_CAP,
    NO_STOP,
    PRICE_NANO_MAX,
    BarrierMemory,
    after_fill,
    apply_exits,
    canonical,
    on_position,
    stop_candidate_nano,
    update,
    update_all,
    watch_stop,
)

pytestmark = pytest.mark.spec("000.8")

DEFAULTS = BarrierParameters()
USD = 1_000_000_000
SHARE = 1_000_000


def step(memory: BarrierMemory, *, shares=100, price=100 * USD, sigma=20.0, adverse=0.5, favourable=0.5):
    """Return the memory after one cycle of a position."""
    return update(
        memory,
        position_micro=shares * SHARE,
        price_nano=price,
        sigma_5m_bps=sigma,
        adverse=adverse,
        favourable=favourable,
        parameters=DEFAULTS,
    )


def test_the_scale_out_caps_at_half_of_what_was_held_when_it_latched():
    """100 shares at p* = .66 latch a cap of 50; a second signal on 60 shares changes nothing."""
    latched = step(BarrierMemory(), adverse=0.66)
    assert latched.cap_micro == 50 * SHARE
    again = step(latched, shares=60, adverse=0.99)
    assert again.cap_micro == 50 * SHARE


def test_the_threshold_itself_does_not_scale_out():
    """p* = .65 is not above .65."""
    assert step(BarrierMemory(), adverse=0.65).cap_micro == NO_CAP


@pytest.mark.parametrize("shares", [0, -40])
def test_flat_and_flip_reset_everything(shares: int):
    """A position that is gone or has changed its sign starts afresh."""
    memory = BarrierMemory(direction=1, cap_micro=50 * SHARE, stop_nano=99 * USD, stop_hit=True)
    reset = step(memory, shares=shares)
    assert reset == BarrierMemory(direction=np.sign(shares).item())


def test_a_flipped_position_may_latch_in_the_same_cycle():
    """After a flip to 40 short with an adverse p* of .7 the cap is 20 shares."""
    memory = BarrierMemory(direction=1, cap_micro=50 * SHARE)
    assert step(memory, shares=-40, adverse=0.7).cap_micro == 20 * SHARE


def test_the_stop_stands_one_sigma_behind_the_price():
    """At 100 USD and 20 bps a sigma is .20 USD: 99.80 under a long, 100.20 over a short."""
    assert step(BarrierMemory(), favourable=0.29).stop_nano == 99_800_000_000
    assert step(BarrierMemory(), shares=-100, favourable=0.29).stop_nano == 100_200_000_000
    assert step(BarrierMemory(), favourable=0.30).stop_nano == NO_STOP


def test_the_stop_only_comes_closer():
    """From 99.80 it follows the price to 101.00*(1-.002) = 100.798 and does not follow it down."""
    memory = step(BarrierMemory(), favourable=0.1)
    memory = step(memory, price=101 * USD, favourable=0.1)
    assert memory.stop_nano == 100_798_000_000
    assert step(memory, price=100_900_000_000, favourable=0.1).stop_nano == 100_798_000_000
    assert step(memory, price=101 * USD, sigma=200.0, favourable=0.1).stop_nano == 100_798_000_000


def test_a_touched_stop_is_hit_until_the_position_is_flat():
    """The price at the stop hits it; its return does not undo that; flat does."""
    memory = BarrierMemory(direction=1, stop_nano=99 * USD)
    assert not step(memory, price=99 * USD + 1).stop_hit
    hit = step(memory, price=99 * USD)
    assert hit.stop_hit
    assert step(hit, price=120 * USD, favourable=0.0) == hit
    assert step(hit, shares=0) == BarrierMemory()


def test_a_short_is_stopped_from_below():
    """A short's stop at 101 is hit at 101 and not at 100.99."""
    memory = BarrierMemory(direction=-1, stop_nano=101 * USD)
    assert not watch_stop(memory, 100_990_000_000).stop_hit
    assert watch_stop(memory, 101 * USD).stop_hit


@pytest.mark.parametrize(("price", "sigma"), [(0, 20.0), (100 * USD, float("nan")), (100 * USD, 0.0), (100 * USD, 1e5)])
def test_missing_facts_leave_the_stop_where_it_is(price: int, sigma: float):
    """Without a price or a volatility, or with one that would put the stop below zero, nothing moves."""
    memory = BarrierMemory(direction=1, stop_nano=90 * USD)
    assert step(memory, price=price, sigma=sigma, favourable=0.0) == memory


def test_the_candidate_is_never_at_the_price_and_never_overflows():
    """A tiny volatility still leaves a distance of one nano; an absurd price gives no stop."""
    assert stop_candidate_nano(1, 10, 1e-9, 1.0) == 9
    assert stop_candidate_nano(-1, PRICE_NANO_MAX + 1, 1.0, 1.0) == NO_STOP


def test_on_position_keeps_the_memory_while_the_sign_stays():
    """A larger long is the same position."""
    memory = BarrierMemory(direction=1, cap_micro=5)
    assert on_position(memory, 999) is memory


def test_a_position_reopened_between_two_cycles_starts_afresh():
    """Fills to flat and back drop the latch; a flat symbol is not remembered."""
    memories = {"A": BarrierMemory(direction=1, cap_micro=5), "B": BarrierMemory(direction=-1)}
    flat = after_fill(memories, "A", 0)
    assert flat == {"B": BarrierMemory(direction=-1)}
    assert after_fill(flat, "A", 7)["A"] == BarrierMemory(direction=1)


def plan_of(positions: list[int], memories: dict[str, BarrierMemory], peak: list[float]):
    """Return the plan of symbols A, B, ... at 100 USD with p_peak* of the long labels, others neutral."""
    count = len(positions)
    half = np.full(count, 0.5)
    forecast = BarrierForecast(
        p_peak_long=np.array(peak), p_valley_long=half, base_peak_long=half, base_valley_long=half,
        p_peak_short=half, p_valley_short=half, base_peak_short=half, base_valley_short=half,
    )  # fmt: skip
    return update_all(
        memories,
        symbols=tuple("ABCDEFG"[:count]),
        position_micro=np.array(positions, dtype=np.int64) * SHARE,
        price_nano=np.full(count, 100 * USD),
        sigma_5m_bps=np.full(count, 20.0),
        barriers=rebase_forecast(forecast, DEFAULTS),
        parameters=DEFAULTS,
    )


def test_a_plan_holds_held_symbols_only_and_keeps_unnamed_ones():
    """A latches, B is flat and forgotten, Z is not part of the cycle and keeps its memory."""
    before = {"B": BarrierMemory(direction=1), "Z": BarrierMemory(direction=-1)}
    plan = plan_of([100, 0], before, [0.7, 0.7])
    assert plan.scale_out.tolist() == [True, False]
    assert plan.cap_micro.tolist() == [50 * SHARE, NO_CAP]
    assert canonical(plan.memories) == (("A", (1, 50 * SHARE, NO_STOP, False)), ("Z", (-1, NO_CAP, NO_STOP, False)))
    assert not plan_of([100], plan.memories, [0.9]).scale_out.any()


def test_exits_by_hand():
    """Cap 50 of 80 held at a weight of .04 is .025; a hit stop is 0; immovable and free symbols stay as they are."""
    memories = {
        "A": BarrierMemory(direction=1, cap_micro=50 * SHARE),
        "B": BarrierMemory(direction=1, stop_nano=101 * USD),
        "C": BarrierMemory(direction=1, cap_micro=50 * SHARE),
        "D": BarrierMemory(direction=1, cap_micro=50 * SHARE),
    }
    plan = plan_of([80, 80, 80, 80, 80], memories, [0.5] * 5)
    assert plan.stop_hit.tolist() == [False, True, False, False, False]
    targets = apply_exits(
        np.array([0.05, 0.05, 0.05, -0.05, 0.05]),
        np.full(5, 0.04),
        np.full(5, 80 * SHARE),
        np.array([True, True, False, True, True]),
        plan,
    )
    assert targets.tolist() == pytest.approx([0.025, 0.0, 0.05, -0.025, 0.05])


def test_a_capped_position_without_a_value_is_given_up():
    """The room of a latched position that cannot be valued is unknown, so its target is 0."""
    plan = plan_of([80], {"A": BarrierMemory(direction=1, cap_micro=50 * SHARE)}, [0.5])
    result = apply_exits(np.array([0.05]), np.array([np.nan]), np.array([80 * SHARE]), np.ones(1, dtype=np.bool_), plan)
    assert result.tolist() == [0.0]
