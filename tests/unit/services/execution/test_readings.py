"""Tests of what execution's metrics tell: the truth of the state, also in the next life."""

from __future__ import annotations

from walstreet.domain.arming import ArmingParameters
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.testing.execution_world import NOW_NS, S, World, execution, link, ready_world, submit
from walstreet.testing.panic_world import command
from walstreet_events import ROOT, Mode, ModeState, derive_id
from walstreet_services.execution.readings import readings


def told(world: World, *, live: bool = False) -> dict[str, float]:
    """Return the readings by name, modes by the name of the one in force."""
    parameters = ExecutionParameters(arming=ArmingParameters(trading="live" if live else "paper"))
    return {
        "".join((reading.name, *(f":{value}" for _, value in reading.labels))): reading.value
        for reading in readings(world.state, parameters)
    }


def test_a_quiet_session() -> None:
    """Open market, link up, nothing unknown, no mode told yet, no arming needed."""
    found = told(ready_world())
    assert [name for name, value in found.items() if value] == ["walstreet_market_open", "walstreet_order_link_up"]
    assert found["walstreet_mode:live"] == 0


def test_what_alerts_are_made_of() -> None:
    """Mode, unknown orders, a foreign order, a latched panic and missing keys, each in its own metric."""
    world = ready_world()
    world.give(
        ModeState(
            id=derive_id("m", "mode", 0), cause=ROOT, ts_ns=NOW_NS, mode=Mode.OBSERVE, previous=Mode.LIVE, reason="x"
        )
    )
    world.see(execution("by hand", perm_id=3))
    assert told(world)["walstreet_mode:observe"] == 1
    assert told(world)["walstreet_symbols_external"] == 1
    working = ready_world()
    submit(working)
    working.see(link(ts_ns=NOW_NS + S))
    assert (told(working)["walstreet_orders_open"], told(working)["walstreet_orders_unknown"]) == (1, 1)
    found = told(working, live=True)
    assert (found["walstreet_arming_needed"], found["walstreet_armed"]) == (1, 0)


def test_a_latched_panic_is_told_by_the_next_life_too() -> None:
    """After a kill -9 the state is folded from the log, and the alert does not end; the link is down until seen."""
    world = ready_world()
    world.give(command("panic"))
    for life in (world, world.restarted()):
        assert told(life)["walstreet_panic_latched"] == 1
    assert told(world.restarted())["walstreet_order_link_up"] == 0
    world.give(command("resume"))
    assert told(world)["walstreet_panic_latched"] == 0
