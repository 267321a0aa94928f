"""Owns the tests of the arbiter's view of its orders at work."""

from walstreet.domain.working_orders import EXPIRY_GRACE_NS, WorkingOrders
from walstreet.testing.arbiter_world import ArbiterWorld
from walstreet_events import (
    NANOS_PER_SECOND,
    QUANTITY_SCALE,
    ROOT,
    EventId,
    IntentBlock,
    OrderIntent,
    OrderRefused,
    OrderState,
    Side,
)

EXPIRES_NS = 100 * NANOS_PER_SECOND
WORLD = ArbiterWorld.create()
INTENT = OrderIntent(
    id="a" * 32,
    symbol="AAA",
    con_id=1,
    side=Side.SELL,
    quantity_micro=100 * QUANTITY_SCALE,
    reducing=False,
    horizon_minutes=5,
    arrival_mid_nano=1,
    tif_s=15,
    expires_ns=EXPIRES_NS,
    alpha_bps=-1.0,
    target_weight=-0.01,
)


def opened() -> WorkingOrders:
    """Return one parent at work."""
    working = WorkingOrders()
    working.apply(
        IntentBlock(
            id=EventId("b" * 32), cause=ROOT, ts_ns=1, decision="c" * 32, mode="live", intents=(INTENT,), epoch=1
        )
    )
    return working


def remaining(working: WorkingOrders, now_ns: int = 2) -> dict[str, int]:
    """Return what is at work once settled parts are forgotten."""
    working.expire(now_ns)
    return working.remaining_micro()


def test_a_parent_is_at_work_until_its_expiry_and_a_grace():
    """Without any child it blocks its symbol until nothing can be on its way any more."""
    working = opened()
    assert remaining(working, EXPIRES_NS + EXPIRY_GRACE_NS) == {"AAA": -100 * QUANTITY_SCALE}
    assert remaining(working, EXPIRES_NS + EXPIRY_GRACE_NS + 1) == {}


def test_a_refusal_ends_a_parent_without_children():
    """Refused by a guard, the symbol is free at once."""
    working = opened()
    working.apply(
        OrderRefused(
            id=EventId("d" * 32), cause=ROOT, ts_ns=2, intent=INTENT.id, symbol="AAA", reason="r", detail="", quote=None
        )
    )
    assert remaining(working) == {}


def test_a_filled_status_waits_for_its_executions():
    """The symbol is free only when status and executions agree, in either order."""
    working = opened()
    working.apply(WORLD.submitting(INTENT, ts_ns=2))
    working.apply(WORLD.updated(INTENT, OrderState.FILLED, filled_micro=INTENT.quantity_micro, ts_ns=2))
    assert remaining(working) == {"AAA": -100 * QUANTITY_SCALE}
    working.apply(WORLD.filled(INTENT, ts_ns=2))
    assert remaining(working) == {}


def test_executions_wait_for_the_final_status():
    """A whole execution before any status leaves the child at work, with nothing left to trade."""
    working = opened()
    working.apply(WORLD.submitting(INTENT, ts_ns=2))
    working.apply(WORLD.filled(INTENT, ts_ns=2))
    assert remaining(working) == {"AAA": 0}
    working.apply(WORLD.updated(INTENT, OrderState.FILLED, filled_micro=INTENT.quantity_micro, ts_ns=2))
    assert remaining(working) == {}


def test_an_unknown_outcome_blocks_beyond_the_expiry():
    """A child whose fate is unknown keeps its symbol blocked however late it is."""
    working = opened()
    working.apply(WORLD.submitting(INTENT, ts_ns=2))
    working.apply(WORLD.updated(INTENT, OrderState.UNKNOWN, filled_micro=0, ts_ns=2))
    assert "AAA" in remaining(working, EXPIRES_NS * 1_000)


def test_a_cancelled_child_leaves_the_parent_to_its_expiry():
    """After a cancel execution may send another child, until the intent expires."""
    working = opened()
    working.apply(WORLD.submitting(INTENT, ts_ns=2))
    working.apply(WORLD.updated(INTENT, OrderState.CANCELLED, filled_micro=0, ts_ns=2))
    assert "AAA" in remaining(working)
    assert remaining(working, EXPIRES_NS + EXPIRY_GRACE_NS + 1) == {}


def test_a_withdrawn_end_reopens_the_symbol():
    """An order believed expired that proves to be alive blocks its symbol again, with its whole quantity."""
    working = opened()
    working.apply(WORLD.submitting(INTENT, ts_ns=2))
    working.apply(WORLD.updated(INTENT, OrderState.EXPIRED, filled_micro=0, ts_ns=2))
    assert remaining(working, EXPIRES_NS * 2) == {}
    working.apply(WORLD.updated(INTENT, OrderState.WORKING, filled_micro=0, ts_ns=3))
    assert remaining(working, EXPIRES_NS * 2) == {"AAA": -100 * QUANTITY_SCALE}
