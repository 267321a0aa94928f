"""Tests of the two keys of live trading: two people in time, the right gateway, and everything that takes them out."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.arming import ArmingMemory, ArmingParameters, fold_arming, is_paper, probed, unarmed
from walstreet.domain.observations import ProbeObserved
from walstreet.testing.execution_world import NOW_NS, PhaseName, S, account, block, intent, phase, ready_world, reasons
from walstreet.testing.panic_world import command
from walstreet_events import GatewayProbed, OrderSubmitting

pytestmark = pytest.mark.spec("001.recovery")

LIVE = ArmingParameters(trading="live")
GOOD = ProbeObserved(
    ts_ns=NOW_NS,
    asked="c" * 32,
    account="U7654321",
    wanted_account="U7654321",
    port=4001,
    server_version=176,
    what_if=True,
    broker_order_id=9,
    detail="",
)


def turned(*people: str, ts_ns: int = NOW_NS) -> ArmingMemory:
    """Return a memory in which these people have armed."""
    memory = ArmingMemory()
    for person in people:
        fold_arming(memory, command("arm", operator=person, ts_ns=ts_ns))
    return memory


def test_two_people_and_the_right_gateway_arm() -> None:
    """One person is not two, however often or however written; two are."""
    for people, armed in (
        (("ann",), False),
        (("ann", "ann"), False),
        (("ann", " Ann "), False),
        (("ann", "bob"), True),
    ):
        memory = turned(*people)
        event = probed(memory, GOOD, LIVE)
        assert (event.ok, event.armed) == (True, armed)
        fold_arming(memory, event)
        assert (unarmed(memory, "U7654321", LIVE) == "") is armed


def test_a_key_expires() -> None:
    """The second person has ten minutes of session time."""
    memory = turned("ann")
    fold_arming(memory, command("arm", operator="bob", ts_ns=NOW_NS + 601 * S))
    late = probed(memory, msgspec.structs.replace(GOOD, ts_ns=NOW_NS + 601 * S), LIVE)
    assert (late.armed, late.keys, late.detail) == (False, ("bob",), "1 of 2 people have armed")


def test_a_key_needs_a_name_and_a_reason() -> None:
    """A command of nobody, or for nothing, turns no key."""
    memory = ArmingMemory()
    fold_arming(memory, command("arm", operator=" "))
    fold_arming(memory, command("arm", operator="ann", reason=" "))
    assert memory.keys == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account": ""}, "did not name its account"),
        ({"account": "U1111111"}, "configured is U7654321"),
        ({"account": "DU999", "wanted_account": "DU999"}, "is a paper account"),
        ({"port": 4002}, "port of paper trading"),
        ({"port": 7497}, "port of paper trading"),
        ({"server_version": 99}, "needed is 100"),
        ({"what_if": False, "detail": "timeout"}, "timeout"),
    ],
)
def test_a_gateway_that_is_not_the_one_is_named(changes: dict[str, object], words: str) -> None:
    """Each thing that does not hold keeps trading unarmed, and says so."""
    event = probed(turned("ann", "bob"), msgspec.structs.replace(GOOD, **changes), LIVE)
    assert (event.ok, event.armed) == (False, False)
    assert words in event.detail


@pytest.mark.parametrize("what", ["disarm", "session", "emergency"])
def test_what_takes_the_keys_out(what: str) -> None:
    """A person, the next session, and an emergency, which a resume alone does not forget."""
    world = ready_world(arming=LIVE)
    _arm(world)
    assert world.state.arming.armed
    if what == "disarm":
        world.give(command("disarm"))
    elif what == "session":
        world.give(msgspec.structs.replace(phase(PhaseName.PRE_OPEN, ts_ns=NOW_NS), session_date="1970-01-13"))
    else:
        world.give(command("panic"))
        world.give(command("resume"))
    assert reasons(world.give(block(intent()))) == ["not_armed"]


def test_unarmed_live_trading_refuses_every_intent() -> None:
    """Also one that would only reduce; armed it goes out, and a restart does not forget the keys."""
    world = ready_world(arming=LIVE)
    world.see(account(position=100, name=GOOD.account))
    assert reasons(world.give(block(intent()))) == ["not_armed"]
    _arm(world)
    again = world.restarted()
    assert again.state.arming.armed
    assert again.state.next_order_id > GOOD.broker_order_id
    (sent,) = world.give(block(intent("two"), name="two"))
    assert isinstance(sent, OrderSubmitting)


def test_another_account_behind_the_gateway_is_not_the_armed_one() -> None:
    """A login exchanged after the probe stops everything until two people arm that account."""
    world = ready_world(arming=LIVE)
    _arm(world)
    world.see(account(name=GOOD.account))
    (sent,) = world.give(block(intent()))
    assert isinstance(sent, OrderSubmitting)
    world.see(account(name="U1111111"))
    assert reasons(world.give(block(intent("two"), name="two"))) == ["not_armed"]
    assert "arm again" in unarmed(world.state.arming, "U1111111", LIVE)
    assert unarmed(world.state.arming, "", LIVE) == ""


def test_an_account_with_money_is_not_traded_as_paper() -> None:
    """Paper needs no arming, but an account that is no paper account is refused."""
    assert unarmed(ArmingMemory(), "DU1", ArmingParameters()) == ""
    assert "no paper account" in unarmed(ArmingMemory(), "U7654321", ArmingParameters())
    assert is_paper("DF123")
    assert not is_paper("U123")
    event = probed(turned("ann", "bob"), GOOD, ArmingParameters())
    assert not event.armed


def _arm(world: object) -> None:
    """Let two people arm, and the gateway answer."""
    for person in ("ann", "bob"):
        world.give(command("arm", operator=person))  # type: ignore[attr-defined]
    outs = world.see(GOOD)  # type: ignore[attr-defined]
    assert isinstance(outs[0], GatewayProbed)
