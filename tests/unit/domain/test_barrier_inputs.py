"""Owns the tests of barrier probabilities in the arbiter: read from predictions, gating entries, closing positions."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.barrier_inputs import barrier_forecast
from walstreet.domain.calibrate import BarrierModel
from walstreet.domain.decision_record import column_values
from walstreet.domain.learning_parameters import GateSwitches
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import OPEN_NS, ArbiterWorld
from walstreet_events import AnyEvent, Decision, IntentBlock, ModelStatus, Side, Verdict

pytestmark = pytest.mark.spec("000.8", "001.arbitration", "002.components")
NOON_NS = OPEN_NS + 150 * MINUTE_NS
PEAK = BarrierModel(model="peak", horizon_minutes=15, target="peak", base_rate=0.5)
VALLEY = BarrierModel(model="valley", horizon_minutes=15, target="valley", base_rate=0.5)


def gated(*symbols: str, held: int = 0) -> ArbiterWorld:
    """Return a world with the barrier gates on, which holds so many shares of each symbol."""
    parameters = ArbiterParameters(gates=GateSwitches(conformal=False, drift=False))
    world = ArbiterWorld.create(symbols, parameters=parameters, barriers=(PEAK, VALLEY))
    world.start(positions=dict.fromkeys(symbols, held) if held else {})
    return world


def decision_of(outputs: list[AnyEvent]) -> Decision:
    """Return the decision among ``outputs``."""
    return next(event for event in outputs if isinstance(event, Decision))


def intents_of(outputs: list[AnyEvent]) -> dict[str, tuple[Side, int]]:
    """Return side and shares per symbol of the intents among ``outputs``."""
    return {
        item.symbol: (item.side, item.quantity_micro // 1_000_000)
        for event in outputs
        if isinstance(event, IntentBlock)
        for item in event.intents
    }


def test_the_nearest_horizon_is_taken_and_models_are_averaged() -> None:
    """Two 15-minute models average to .5; a symbol judged on 60 minutes takes the 60-minute model."""
    world = ArbiterWorld.create(("AAA", "BBB"))
    block = world.predictions(
        world.features(NOON_NS),
        np.array([[0.4, 0.4], [0.6, 0.6], [0.9, 0.9]]),
        horizons_minutes=(15, 15, 60),
        status=ModelStatus.OK,
    )
    columns = tuple(
        type(column)(model=name, family="test", horizon_minutes=horizon, target="peak", status=ModelStatus.OK)
        for column, name, horizon in zip(block.models, ("a", "b", "c"), (15, 15, 60), strict=True)
    )
    block = type(block)(**{name: getattr(block, name) for name in block.__struct_fields__} | {"models": columns})
    models = [
        BarrierModel(model=name, horizon_minutes=horizon, target="peak", base_rate=rate)
        for name, horizon, rate in (("a", 15, 0.2), ("b", 15, 0.4), ("c", 60, 0.7))
    ]
    found = barrier_forecast(block, ("AAA", "BBB"), models, np.array([5, 60]))
    assert found.p_peak_long.tolist() == [0.5, 0.9]
    assert found.base_peak_long == pytest.approx([0.3, 0.7])
    assert np.isnan(found.p_valley_long).all()
    assert np.isnan(barrier_forecast(None, ("AAA",), models, np.array([5])).p_peak_long).all()


def test_neutral_probabilities_change_nothing() -> None:
    """At the base rate every gate is open: the same orders as without barrier models."""
    plain, neutral = ArbiterWorld.create(("AAA", "BBB")), gated("AAA", "BBB")
    plain.start()
    scores = {"AAA": 2.0, "BBB": -2.0}
    without = plain.cycle(NOON_NS, scores)
    with_models = neutral.cycle(NOON_NS, scores, barriers={"peak": [0.5, 0.5], "valley": [0.5, 0.5]})
    assert intents_of(without) == intents_of(with_models) != {}


def test_entries_into_a_barrier_are_blocked_on_their_side_only() -> None:
    """p_peak .8 stops the long and not the short; p_valley .8 the other way round."""
    world = gated("AAA", "BBB", "CCC", "DDD")
    scores = {"AAA": 2.0, "BBB": -2.0, "CCC": 2.0, "DDD": -2.0}
    outputs = world.cycle(NOON_NS, scores, barriers={"peak": [0.8, 0.8, 0.3, 0.3], "valley": [0.3, 0.3, 0.8, 0.8]})
    verdicts = dict(zip(world.symbols, decision_of(outputs).verdicts, strict=True))
    assert (verdicts["AAA"], verdicts["DDD"]) == (Verdict.PEAK_RISK, Verdict.VALLEY_RISK)
    assert set(intents_of(outputs)) == {"BBB", "CCC"}


def test_the_soft_gate_shrinks_what_is_wanted() -> None:
    """p_peak .58 does not block, but the long gets smaller: (1-.58)*(.5+.5*.42)^.5/(.5*.75^.5) = .8171."""
    open_, near = gated("AAA"), gated("AAA")
    full = decision_of(open_.cycle(NOON_NS, {"AAA": 2.0}, barriers={"peak": [0.5], "valley": [0.5]}))
    less = decision_of(near.cycle(NOON_NS, {"AAA": 2.0}, barriers={"peak": [0.58], "valley": [0.42]}))
    ratio = column_values(less, "weight_gated")[0] / column_values(full, "weight_gated")[0]
    assert ratio == pytest.approx(0.42 * (0.5 + 0.5 * 0.42) ** 0.5 / (0.5 * 0.75**0.5))


def test_a_peak_takes_half_off_once() -> None:
    """p_peak .8 on a long of 200 shares sells some and caps it at 100 for good, also when seen again."""
    world = gated("AAA", held=200)
    held = world.state.ledger.position_micro("AAA")
    ts_ns = NOON_NS + MINUTE_NS
    outputs = world.cycle(ts_ns, {"AAA": 2.0}, barriers={"peak": [0.8], "valley": [0.2]})
    decision = decision_of(outputs)
    assert decision.verdicts == (Verdict.SCALE_OUT_50PCT,)
    assert column_values(decision, "exit_cap_shares")[0] * 1_000_000 == held // 2
    (intent,) = [item for event in outputs if isinstance(event, IntentBlock) for item in event.intents]
    assert intent.side is Side.SELL
    assert intent.reducing
    world.fill_whole(intent, ts_ns=ts_ns)
    cap = world.state.exits["AAA"].cap_micro
    again = decision_of(world.cycle(ts_ns + MINUTE_NS, {"AAA": 2.0}, barriers={"peak": [0.8], "valley": [0.2]}))
    assert world.state.exits["AAA"].cap_micro == cap
    assert Verdict.SCALE_OUT_50PCT not in again.verdicts or column_values(again, "quantity_shares")[0] < 0


def test_a_soft_stop_that_is_hit_closes_the_position() -> None:
    """p_valley .1 sets a stop one sigma below the price; a fall through it sells everything."""
    world = gated("AAA", held=200)
    world.cycle(NOON_NS, {"AAA": 2.0}, barriers={"peak": [0.5], "valley": [0.1]})
    (intent,) = [item for event in world.tape[-1][1] if isinstance(event, IntentBlock) for item in event.intents]
    world.fill_whole(intent, ts_ns=NOON_NS)
    shares = world.state.ledger.position_micro("AAA") // 1_000_000
    stop = world.state.exits["AAA"].stop_nano
    assert stop == pytest.approx(100e9 * (1 - 15e-4), rel=1e-6)
    outputs = world.cycle(
        NOON_NS + MINUTE_NS, {"AAA": 2.0}, price_usd={"AAA": 99.5}, barriers={"peak": [0.5], "valley": [0.5]}
    )
    assert decision_of(outputs).verdicts == (Verdict.TIGHTEN_SL,)
    assert intents_of(outputs) == {"AAA": (Side.SELL, shares)}


def test_exits_are_forgotten_when_the_position_is_closed() -> None:
    """A flat symbol has no stop and no cap, and a new position starts afresh."""
    world = gated("AAA", held=200)
    outputs = world.cycle(NOON_NS, {"AAA": 0.0}, barriers={"peak": [0.9], "valley": [0.1]})
    assert world.state.exits["AAA"].stop_nano > 0
    (intent,) = [item for event in outputs if isinstance(event, IntentBlock) for item in event.intents]
    assert (intent.side, intent.quantity_micro // 1_000_000) == (Side.SELL, 200)
    world.fill_whole(intent, ts_ns=NOON_NS)
    assert world.state.exits == {}
