"""Owns the tests of netting, churn suppression and hysteresis."""

import math

import numpy as np
import pytest

from walstreet.domain.netting import (
    INTENTS_PER_SYMBOL_MAX,
    NETTING_VERDICTS,
    IntentRecord,
    NettingMemory,
    NettingParameters,
    NettingReason,
    SymbolIntents,
    expire,
    net_intents,
    update,
    without,
)
from walstreet_events import NANOS_PER_SECOND, Verdict

pytestmark = pytest.mark.spec("001.control")

DEFAULTS = NettingParameters()
S = NANOS_PER_SECOND
T0 = 1_000_000 * S


def net(memory=None, *, intents, position=0.0, alpha=10.0, now=T0, parameters=DEFAULTS):
    """Return the netting of one symbol; ``intents`` are those of K strategies."""
    return net_intents(
        memory or NettingMemory(),
        symbols=("A",),
        intents_usd=np.array(intents, dtype=float)[:, None],
        position_usd=np.array([position], dtype=float),
        alpha_bps=np.array([alpha], dtype=float),
        now_ns=now,
        parameters=parameters,
    )


def sent(memory, *, intents, position=0.0, alpha=10.0, now=T0, parameters=DEFAULTS):
    """Return the memory after one cycle of one symbol."""
    outcome = net(memory, intents=intents, position=position, alpha=alpha, now=now, parameters=parameters)
    return update(
        memory, symbols=("A",), netting=outcome, alpha_bps=np.array([alpha]), now_ns=now, parameters=parameters
    )


def reason_of(outcome) -> NettingReason:
    """Return the only symbol's reason."""
    return NettingReason(int(outcome.reason[0]))


def test_intents_of_several_strategies_are_one_order():
    """+1000, +500 and -200 net to 1300 of 1700: churn 1 - 1300/1700 = .235 passes."""
    outcome = net(intents=[1000.0, 500.0, -200.0])
    assert outcome.allowed_usd.tolist() == [1300.0]
    assert outcome.churn[0] == pytest.approx(1.0 - 1300.0 / 1700.0)
    assert outcome.gross_usd.tolist() == [1700.0]
    assert reason_of(outcome) is NettingReason.NONE


def test_strategies_that_fight_each_other_are_churn():
    """+1000 and -300 net to 700 of 1300: churn .46; the threshold itself, 700 of 1000, passes."""
    assert reason_of(net(intents=[1000.0, -300.0])) is NettingReason.CHURN
    assert net(intents=[1000.0, -300.0]).allowed_usd.tolist() == [0.0]
    assert reason_of(net(intents=[850.0, -150.0])) is NettingReason.NONE


def test_small_openings_are_dropped():
    """199.99 is below 200, 200 is not; the same size passes when it reduces."""
    assert reason_of(net(intents=[199.99])) is NettingReason.BELOW_MIN
    assert reason_of(net(intents=[200.0])) is NettingReason.NONE
    assert net(intents=[-50.0], position=1000.0).allowed_usd.tolist() == [-50.0]


def test_entering_again_within_the_window_is_churn():
    """+1000 then an exit of 1000, then +1000: net 1000 of 3000 is churn .667 for 30 s and none after."""
    memory = sent(NettingMemory(), intents=[1000.0])
    memory = sent(memory, intents=[-1000.0], position=1000.0, now=T0 + 5 * S)
    again = net(memory, intents=[1000.0], now=T0 + 10 * S)
    assert again.churn[0] == pytest.approx(2.0 / 3.0)
    assert reason_of(again) is NettingReason.CHURN
    # At 30 s the entry leaves the window: net 0 of 2000. At 35 s the exit does.
    assert reason_of(net(memory, intents=[1000.0], now=T0 + 30 * S)) is NettingReason.CHURN
    assert reason_of(net(memory, intents=[1000.0], now=T0 + 35 * S)) is NettingReason.NONE


def test_sizes_come_from_new_intents_only():
    """An intent of the window adds nothing to what is ordered now."""
    memory = sent(NettingMemory(), intents=[5000.0])
    assert net(memory, intents=[1000.0], position=5000.0, now=T0 + S).allowed_usd.tolist() == [1000.0]


@pytest.mark.parametrize(("alpha", "reason"), [(-10.6, NettingReason.HYSTERESIS), (-10.61, NettingReason.NONE)])
def test_a_flip_must_beat_the_last_alpha(alpha: float, reason: NettingReason):
    """After an opening at 10 bps a flip needs more than 10*1.05 + .1 = 10.6 bps."""
    memory = sent(NettingMemory(), intents=[1000.0], alpha=10.0)
    outcome = net(memory, intents=[-1000.0], alpha=alpha, now=T0 + 60 * S)
    assert reason_of(outcome) is reason


def test_a_weak_flip_still_leads_to_flat():
    """Long 1000 and an intent of -3000 with too small an alpha: 1000 are sold, nothing is shorted."""
    memory = sent(NettingMemory(), intents=[1000.0], alpha=10.0)
    outcome = net(memory, intents=[-3000.0], position=1000.0, alpha=-5.0, now=T0 + 60 * S)
    assert outcome.allowed_usd.tolist() == [-1000.0]
    assert outcome.opening_usd.tolist() == [0.0]
    assert reason_of(outcome) is NettingReason.HYSTERESIS


def test_a_strong_flip_passes_whole():
    """The same with 11 bps sells 3000, 2000 of which open the short."""
    memory = sent(NettingMemory(), intents=[1000.0], alpha=10.0)
    outcome = net(memory, intents=[-3000.0], position=1000.0, alpha=-11.0, now=T0 + 60 * S)
    assert (outcome.allowed_usd[0], outcome.opening_usd[0]) == (-3000.0, -2000.0)
    after = update(
        memory, symbols=("A",), netting=outcome, alpha_bps=np.array([-11.0]), now_ns=T0 + 60 * S, parameters=DEFAULTS
    )
    assert (after.symbols["A"].direction, after.symbols["A"].alpha_bps) == (-1, 11.0)


def test_an_old_alpha_holds_nothing_back():
    """1800 s after the opening any alpha may flip."""
    memory = sent(NettingMemory(), intents=[1000.0], alpha=10.0)
    assert reason_of(net(memory, intents=[-1000.0], alpha=-1.0, now=T0 + 1799 * S)) is NettingReason.HYSTERESIS
    assert reason_of(net(memory, intents=[-1000.0], alpha=-1.0, now=T0 + 1800 * S)) is NettingReason.NONE


def test_reducing_is_exempt_and_does_not_set_the_direction():
    """An exit passes at any churn and leaves the last opening as it is."""
    memory = sent(NettingMemory(), intents=[1000.0], alpha=10.0)
    outcome = net(memory, intents=[-400.0, 100.0], position=1000.0, alpha=math.nan, now=T0 + S)
    assert outcome.allowed_usd.tolist() == [-300.0]
    after = sent(memory, intents=[-300.0], position=1000.0, alpha=math.nan, now=T0 + S)
    assert (after.symbols["A"].direction, after.symbols["A"].alpha_bps, after.symbols["A"].opened_ns) == (1, 10.0, T0)


def test_what_is_missing_fails_closed_for_its_symbol_only():
    """A missing intent or position lets nothing pass, a missing alpha no opening; the neighbour goes on."""
    outcome = net_intents(
        NettingMemory(),
        symbols=("A", "B", "C", "D"),
        intents_usd=np.array([[math.nan, 1000.0, -3000.0, 1000.0]]),
        position_usd=np.array([0.0, math.nan, 1000.0, 0.0]),
        alpha_bps=np.array([9.0, 9.0, math.nan, 9.0]),
        now_ns=T0,
        parameters=DEFAULTS,
    )
    assert outcome.allowed_usd.tolist() == [0.0, 0.0, -1000.0, 1000.0]
    assert outcome.reason.tolist() == [NettingReason.MISSING] * 3 + [NettingReason.NONE]


def test_suppressed_and_dropped_intents_are_not_remembered():
    """Neither a churning intent nor one that a later step dropped reached the market."""
    assert sent(NettingMemory(), intents=[1000.0, -900.0]) == NettingMemory()
    outcome = without(net(intents=[1000.0]), np.array([True]))
    after = update(
        NettingMemory(), symbols=("A",), netting=outcome, alpha_bps=np.array([9.0]), now_ns=T0, parameters=DEFAULTS
    )
    assert after == NettingMemory()


def test_expiry_forgets_by_event_time():
    """At 30 s the intents go, at 1800 s the last opening and with it the symbol."""
    memory = sent(NettingMemory(), intents=[1000.0], alpha=10.0)
    assert len(expire(memory, T0 + 30 * S - 1, DEFAULTS).symbols["A"].recent) == 1
    assert expire(memory, T0 + 30 * S, DEFAULTS).symbols["A"] == SymbolIntents(
        direction=1, alpha_bps=10.0, opened_ns=T0
    )
    assert expire(memory, T0 + 1800 * S, DEFAULTS) == NettingMemory()


def test_a_full_memory_merges_its_oldest_and_forgets_nothing_early():
    """The window's sums do not change when two records become one."""
    parameters = NettingParameters(churn_max=1.0)
    memory = NettingMemory()
    for index in range(INTENTS_PER_SYMBOL_MAX + 10):
        memory = sent(memory, intents=[1000.0], now=T0 + index, parameters=parameters)
    recent = memory.symbols["A"].recent
    assert len(recent) == INTENTS_PER_SYMBOL_MAX
    assert sum(item.net_usd for item in recent) == 1000.0 * (INTENTS_PER_SYMBOL_MAX + 10)
    assert recent[0] == IntentRecord(ts_ns=T0 + 10, net_usd=11_000.0, gross_usd=11_000.0)


def test_the_digest_is_sorted_and_the_reasons_have_verdicts():
    """Two orders of insertion give the same content; every reason that suppresses has a stable code."""
    one, two = SymbolIntents(direction=1), SymbolIntents(direction=-1)
    assert (
        NettingMemory(symbols={"A": one, "B": two}).canonical()
        == NettingMemory(symbols={"B": two, "A": one}).canonical()
    )
    assert set(NETTING_VERDICTS) == set(NettingReason) - {NettingReason.NONE}
    assert NETTING_VERDICTS[NettingReason.CHURN] is Verdict.CHURN


def test_parameters_out_of_range_are_refused():
    """A churn above 1 cannot occur."""
    with pytest.raises(ValueError, match=r"netting\.churn_max is 1.5"):
        NettingParameters(churn_max=1.5)
