"""Tests of the standing checks, walstreet.domain.guards: each where it blocks, must not, lacks data, for an exit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walstreet.domain.arming import ArmingMemory, ArmingParameters, unarmed
from walstreet.domain.bracket_prices import BracketParameters, bracket_prices
from walstreet.domain.guard_verdict import CommonReason, Guard, GuardedOrder, Outcome
from walstreet.domain.guards import Reason, Refusal, Situation, by_guard, check_drift, check_standing
from walstreet.domain.tick_rules import TickRule
from walstreet.testing.execution_world import (
    DOLLAR,
    NOW_NS,
    SHARE,
    S,
    World,
    account,
    arbiter_epoch,
    block,
    clock,
    feed,
    instrument,
    intent,
    link,
    phase,
    quote,
    ready_world,
    reasons,
    submit,
)
from walstreet_events import Mode, OrderSubmitting, QuoteSeen, Side

GOOD = Situation(
    now_ns=NOW_NS,
    mode=Mode.LIVE,
    panic=False,
    unarmed="",
    link_up=True,
    instrument_known=True,
    external=False,
    seen=False,
    pending=False,
    unknown=False,
    reducing=False,
)
BLOCKS = [
    ("standing.intent_expired", {"now_ns": NOW_NS + 60 * S}, Reason.INTENT_EXPIRED),
    ("standing.duplicate_intent", {"seen": True}, Reason.DUPLICATE_INTENT),
    ("standing.panic", {"panic": True}, Reason.PANIC),
    ("standing.not_armed", {"unarmed": "live trading is not armed"}, Reason.NOT_ARMED),
    ("standing.mode_emergency", {"mode": Mode.EMERGENCY}, Reason.MODE_EMERGENCY),
    ("standing.mode_observe", {"mode": Mode.OBSERVE}, Reason.MODE_OBSERVE),
    ("standing.link_down", {"link_up": False}, Reason.LINK_DOWN),
    ("standing.no_instrument", {"instrument_known": False}, Reason.NO_INSTRUMENT),
    ("standing.external_order", {"external": True}, Reason.EXTERNAL_ORDER),
    ("standing.order_unknown", {"unknown": True, "pending": True}, Reason.ORDER_UNKNOWN),
    ("standing.order_pending", {"pending": True}, Reason.ORDER_PENDING),
]
PASSES = [
    ("standing.intent_expired", {"now_ns": NOW_NS + 60 * S - 1}),
    ("standing.duplicate_intent", {"seen": False}),
    ("standing.panic", {"panic": False}),
    ("standing.not_armed", {"unarmed": ""}),
    ("standing.mode_emergency", {"mode": Mode.DEGRADED}),
    ("standing.mode_observe", {"mode": Mode.DEGRADED}),
    ("standing.link_down", {"link_up": True}),
    ("standing.no_instrument", {"instrument_known": True}),
    ("standing.external_order", {"external": False}),
    ("standing.order_unknown", {"unknown": False}),
    ("standing.order_pending", {"pending": False}),
]


def met(name: str, changes: dict[str, object], reason: Reason) -> None:
    """Check that a situation is refused with ``reason``, which is the guard's own."""
    assert name == f"standing.{reason.value}"
    refusal = check_standing(intent(), replace(GOOD, **changes))  # type: ignore[arg-type]
    assert refusal is not None
    assert refusal.reason == reason.value
    assert refusal.detail


@pytest.mark.guard("blocks")
@pytest.mark.parametrize(("name", "changes", "reason"), BLOCKS)
def test_each_standing_check_blocks(name: str, changes: dict[str, object], reason: Reason) -> None:
    """One thing wrong is enough, and is named."""
    met(name, changes, reason)


@pytest.mark.guard("passes")
@pytest.mark.parametrize(("name", "changes"), PASSES)
def test_each_standing_check_lets_pass(name: str, changes: dict[str, object]) -> None:
    """The last moment before the expiry, a worse mode that still trades, and everything as it should be."""
    assert name.startswith("standing.")
    assert check_standing(intent(), replace(GOOD, **changes)) is None  # type: ignore[arg-type]


@pytest.mark.guard("reduces")
@pytest.mark.parametrize(("name", "changes", "reason"), BLOCKS)
def test_what_only_reduces_passes_observe_alone(name: str, changes: dict[str, object], reason: Reason) -> None:
    """What these say holds for every order, or a second one could open; only OBSERVE is about opening."""
    refusal = check_standing(intent(), replace(GOOD, reducing=True, **changes))  # type: ignore[arg-type]
    assert name == f"standing.{reason.value}"
    assert (refusal is None) is (reason is Reason.MODE_OBSERVE)


# ------------------------------------------------------------------------------------------------ without their data


@pytest.mark.guard("missing", "standing.not_armed")
def test_nobody_has_probed_the_gateway() -> None:
    """Live trading without any word of a probe, of keys or of the account is not armed."""
    assert unarmed(ArmingMemory(), "", ArmingParameters(trading="live")) != ""
    assert reasons(ready_world(arming=ArmingParameters(trading="live")).give(block(intent()))) == ["not_armed"]


@pytest.mark.guard("missing", "standing.mode_observe")
def test_a_mode_that_nobody_knows_is_observe() -> None:
    """Neither the log nor the block names a mode: nothing is opened."""
    world = ready_world()
    assert world.state.mode is None
    assert world.state.effective_mode("") is Mode.OBSERVE
    assert reasons(world.give(block(intent(), mode=""))) == ["mode_observe"]


@pytest.mark.guard("missing", "standing.link_down")
def test_a_link_that_was_not_seen_in_this_life_is_down() -> None:
    """After a restart the log says connected; until the socket says so nothing is sent, and then it is refused."""
    world = ready_world()
    world.give(clock(NOW_NS))
    again = world.restarted()
    assert again.state.link is not None
    assert again.state.link.connected
    again.see(quote())
    assert again.give(block(intent())) == []
    assert reasons(again.give(clock(NOW_NS + 60 * S))) == ["link_down"]


@pytest.mark.guard("missing", "standing.no_instrument")
def test_an_instrument_without_facts_is_unknown() -> None:
    """No reference facts at all, another contract, or no tick size."""
    world = World()
    for event in (arbiter_epoch(), phase(), feed()):
        world.give(event)
    world.see(link())
    world.see(quote())
    world.see(account())
    assert reasons(world.give(block(intent()))) == ["no_instrument"]
    world.give(instrument(con_id=12))
    assert reasons(world.give(block(intent("two"), name="two"))) == ["no_instrument"]


@pytest.mark.guard("missing", "standing.order_unknown")
def test_after_a_reconnection_an_order_has_no_known_outcome() -> None:
    """What the broker has not shown again may be alive, so nothing else is sent in the symbol."""
    world = ready_world()
    submit(world)
    world.see(link(ts_ns=NOW_NS + S))
    assert reasons(world.give(block(intent("two"), name="two"))) == ["order_unknown"]


# --------------------------------------------------------------------- what an order is priced, sized, protected from


def drifted(mid: float, *, arrival: int = 100 * DOLLAR, reducing: bool = False) -> Refusal | None:
    """Return the refusal at a mid in USD, 50 bps allowed."""
    nano = round(mid * DOLLAR)
    seen = QuoteSeen(bid_nano=nano, ask_nano=nano, bid_size_micro=1, ask_size_micro=1, ts_ns=NOW_NS, seq=0)
    return check_drift(intent(arrival_mid_nano=arrival), seen, reducing=reducing, drift_bps_max=50.0)


@pytest.mark.guard("blocks", "standing.mid_drift")
@pytest.mark.guard("passes", "standing.mid_drift")
@pytest.mark.guard("reduces", "standing.mid_drift")
def test_a_moved_mid() -> None:
    """50 bps either way pass, a hundredth of a dollar more does not; an exit goes at any mid."""
    for mid in (99.50, 100.50):
        assert drifted(mid) is None
    for mid in (99.49, 100.51):
        refusal = drifted(mid)
        assert refusal is not None
        assert refusal.reason == "mid_drift"
        assert drifted(mid, reducing=True) is None


@pytest.mark.guard("missing", "standing.mid_drift")
def test_a_decision_without_a_mid_opens_nothing() -> None:
    """Nothing to compare with is as far away as can be."""
    assert drifted(100.0, arrival=0) is not None
    assert drifted(100.0, arrival=0, reducing=True) is None


@pytest.mark.guard("blocks", "standing.no_quote")
@pytest.mark.guard("reduces", "standing.no_quote")
def test_without_a_two_sided_quote_there_is_no_price() -> None:
    """One side is none; that holds for an exit too, because it has no limit. An emergency has rules of its own."""
    for wanted, position in ((intent(), None), (intent(side=Side.SELL, reducing=True), 100)):
        world = ready_world()
        world.see(account(position=position))
        world.see(quote(0.0, 100.01))
        assert reasons(world.give(block(wanted))) == ["no_quote"]


@pytest.mark.guard("missing", "standing.no_quote")
def test_without_any_quote_an_intent_waits_until_it_expires() -> None:
    """A life that has seen no quote of the symbol sends nothing, and refuses when the time is over."""
    world = ready_world()
    world.state.quotes.clear()
    assert world.give(block(intent())) == []
    assert world.give(clock(NOW_NS + 60 * S - 1)) == []
    assert reasons(world.give(clock(NOW_NS + 60 * S))) == ["no_quote"]


@pytest.mark.guard("blocks", "standing.below_one_share")
@pytest.mark.guard("reduces", "standing.below_one_share")
def test_less_than_one_share_is_not_sent() -> None:
    """The gateway takes no fractions: neither an opening nor an exit of .999999 shares goes."""
    small = 999_999
    assert reasons(ready_world().give(block(intent(quantity_micro=small)))) == ["below_one_share"]
    held = ready_world()
    held.see(account(position=100))
    leaving = intent(side=Side.SELL, reducing=True, quantity_micro=small)
    assert reasons(held.give(block(leaving))) == ["below_one_share"]


@pytest.mark.guard("missing", "standing.below_one_share")
def test_an_unknown_lot_is_one_share() -> None:
    """Without a lot in the reference facts the smallest quantity is a whole share, not anything."""
    world = ready_world()
    known = world.state.instruments["SPY"]
    world.give(type(known)(**{name: getattr(known, name) for name in known.__struct_fields__} | {"lot_micro": 0}))
    assert reasons(world.give(block(intent(quantity_micro=999_999)))) == ["below_one_share"]
    sent = submit(world, intent("two", quantity_micro=2_500_000))
    assert sent.quantity_micro == 2 * SHARE


@pytest.mark.guard("passes", "standing.no_quote", "standing.below_one_share", "standing.bracket_unknown")
def test_one_share_at_a_quote_goes_with_its_protection() -> None:
    """Two-sided quote, exactly one share, and prices for the pair."""
    world = ready_world(brackets=BracketParameters(mode="fixed"))
    outs = world.give(block(intent(quantity_micro=SHARE)))
    assert isinstance(outs[-1], OrderSubmitting)
    assert outs[-1].quantity_micro == SHARE


@pytest.mark.guard("blocks", "standing.bracket_unknown")
@pytest.mark.guard("reduces", "standing.bracket_unknown")
def test_protection_without_a_sound_price_opens_nothing() -> None:
    """A stop of 50 volatilities of a very long horizon would stand below zero; an exit needs no pair."""
    far = BracketParameters(mode="vol", stop_sigmas=50.0)
    wanted = intent(horizon_minutes=1_000_000)
    assert reasons(ready_world(brackets=far).give(block(wanted))) == ["bracket_unknown"]
    held = ready_world(brackets=far)
    held.see(account(position=100))
    leaving = intent(side=Side.SELL, reducing=True, horizon_minutes=1_000_000)
    assert isinstance(held.give(block(leaving))[-1], OrderSubmitting)


@pytest.mark.guard("missing", "standing.bracket_unknown")
def test_protection_without_a_volatility_has_no_prices() -> None:
    """Nothing is sent unprotected: the pair has no prices, and the volatility guard says so before."""
    vol = BracketParameters(mode="vol")
    rule = TickRule(min_tick_nano=10_000_000, ladder=())
    for sigma in (None, float("nan"), 0.0):
        prices = bracket_prices(
            Side.BUY, 100 * DOLLAR, horizon_minutes=15, sigma_5m_bps=sigma, rule=rule, parameters=vol
        )
        assert prices is None
    blind = ready_world(brackets=vol)
    blind.state.markets.clear()
    assert not any(isinstance(out, OrderSubmitting) for out in blind.give(block(intent())))


# ------------------------------------------------------------------------------------------------------ all of them


def test_every_standing_reason_is_tried_here() -> None:
    """The first failure in the order of the checks is the one that is told."""
    everything = {key: value for _, changes, _ in BLOCKS for key, value in changes.items()}
    refusal = check_standing(intent(), replace(GOOD, **everything))
    assert refusal is not None
    assert refusal.reason == "duplicate_intent"


def test_a_guard_that_fails_is_told_as_guard_error() -> None:
    """The code of a broken guard reaches the journal with the guard's name."""

    def broken(_facts: object, _parameters: object) -> None:
        raise ValueError("a bug")

    order = GuardedOrder(symbol="SPY", side=Side.BUY, quantity_micro=SHARE, limit_nano=1, position_micro=0)

    class Facts:
        """Nothing but the order."""

        def __init__(self) -> None:
            self.order = order

    row: Guard[Facts, None] = Guard("broken", bypass=True, find=broken)  # type: ignore[arg-type]
    verdict = row(Facts(), None)
    assert verdict.outcome is Outcome.REFUSED
    assert by_guard(verdict) == Refusal(reason=CommonReason.GUARD_ERROR.value, detail="broken: ValueError: a bug")
