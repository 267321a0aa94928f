"""Owns the properties of the arbiter's core over random sequences of facts."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.decision_record import column_values
from walstreet.domain.mode import TRANSITIONS
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import (
    CLOSE_NS,
    DEFAULT_CALIBRATIONS,
    IMBALANCE_COLUMN,
    OPEN_NS,
    ArbiterWorld,
    world_parameters,
)
from walstreet_events import (
    QUANTITY_SCALE,
    ROOT,
    Decision,
    EventId,
    IntentBlock,
    Mode,
    ModeRequest,
    ModeState,
    OperatorCommand,
    OrderIntent,
    OrderState,
    OrderUpdated,
    PredictionBlock,
    Verdict,
    derive_id,
    encode,
)

SYMBOLS = tuple(f"S{index}" for index in range(12))
EXAMPLES = settings(max_examples=300, deadline=None)
NOON_NS = OPEN_NS + 150 * MINUTE_NS

score = st.one_of(st.floats(-1.5, 1.5), st.just(math.nan))
step = st.tuples(
    st.sampled_from(
        ["cycle", "cycle", "cycle", "fill", "part", "cancel", "unknown", "feed", "link", "report", "request", "command"]
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
)


def run_of(steps: list[tuple[str, int, int]]) -> ArbiterWorld:
    """Return a world that has lived through ``steps``; every choice comes from the numbers in them."""
    world = ArbiterWorld.create(SYMBOLS)
    world.start(positions={"S0": 100, "S1": -100})
    ts_ns = OPEN_NS
    waiting: list[OrderIntent] = []
    for kind, seed, minutes in steps:
        draw = np.random.default_rng(seed)
        ts_ns += minutes * MINUTE_NS
        if kind == "cycle":
            values = np.where(draw.random(len(SYMBOLS)) < 0.2, np.nan, draw.normal(size=len(SYMBOLS)))
            outputs = world.cycle(ts_ns, dict(zip(SYMBOLS, values.tolist(), strict=True)))
            waiting += [item for event in outputs if isinstance(event, IntentBlock) for item in event.intents]
        elif kind in ("fill", "part", "cancel", "unknown"):
            for intent in waiting:
                act_on_order(world, kind, intent, ts_ns)
            waiting = []
        else:
            world.send(fact(world, kind, draw, ts_ns))
    return world


def act_on_order(world: ArbiterWorld, kind: str, intent: OrderIntent, ts_ns: int) -> None:
    """Send the life of one order."""
    if kind == "fill":
        world.fill_whole(intent, ts_ns=ts_ns)
        return
    world.send(world.submitting(intent, ts_ns=ts_ns))
    part = intent.quantity_micro // (2 * QUANTITY_SCALE) * QUANTITY_SCALE
    if kind == "part" and part:
        world.send(world.filled(intent, ts_ns=ts_ns, quantity_micro=part))
        world.send(world.updated(intent, OrderState.CANCELLED, filled_micro=part, ts_ns=ts_ns))
    else:
        state = OrderState.UNKNOWN if kind == "unknown" else OrderState.CANCELLED
        world.send(world.updated(intent, state, filled_micro=0, ts_ns=ts_ns))


def fact(world: ArbiterWorld, kind: str, draw: np.random.Generator, ts_ns: int):
    """Return one fact about feed, link, books, or a request or command."""
    good = bool(draw.random() < 0.6)
    identity = EventId(derive_id(kind, "fact", ts_ns))
    if kind == "feed":
        return world.feed(healthy=good, farm=f"farm{draw.integers(2)}", ts_ns=ts_ns)
    if kind == "link":
        return world.link(connected=good, data_lost=bool(draw.random() < 0.5), ts_ns=ts_ns)
    if kind == "report":
        return world.report("clean" if good else str(draw.choice(["breaks", "unknown"])), ts_ns=ts_ns)
    if kind == "request":
        mode = list(Mode)[int(draw.integers(3))]
        return ModeRequest(id=identity, cause=ROOT, ts_ns=ts_ns, service="execution", mode=mode, reason="random")
    name = "resume" if good else "panic"
    return OperatorCommand(
        id=identity, cause=ROOT, ts_ns=ts_ns, command=name, arguments={"reason": "seen"}, operator="me"
    )


@EXAMPLES
@given(st.lists(step, min_size=1, max_size=14), st.lists(score, min_size=len(SYMBOLS), max_size=len(SYMBOLS)))
def test_replay_gives_the_same_state_and_the_same_next_decision(steps: list[tuple[str, int, int]], values: list[float]):
    """Folding inputs and recorded outputs without deciding gives the live state, and the next decision's bytes."""
    world = run_of(steps)
    core = ArbiterCore(world_parameters(), DEFAULT_CALIBRATIONS, imbalance_column=IMBALANCE_COLUMN)
    replayed = core.initial()
    for event, outputs in world.tape:
        for item in (event, *outputs):
            replayed = core.evolve(replayed, item)
    assert replayed.digest() == world.state.digest()
    ts_ns = world.state.clock_ns + MINUTE_NS if world.state.clock_ns else NOON_NS
    tail = len(world.tape)
    live = world.cycle(ts_ns, dict(zip(SYMBOLS, values, strict=True)))
    for event, _ in world.tape[tail:]:
        replayed = core.evolve(replayed, event)
        last = core.decide(replayed, event)
        for item in last:
            replayed = core.evolve(replayed, item)
    assert [encode(event) for event in last] == [encode(event) for event in live]
    assert replayed.digest() == world.state.digest()


@EXAMPLES
@given(st.lists(step, min_size=1, max_size=14))
def test_every_history_keeps_the_rules(steps: list[tuple[str, int, int]]):
    """One decision per cycle, one verdict per symbol, legal mode changes, and no order that a rule forbids."""
    world = run_of(steps)
    blocked_until_ns: dict[str, float] = {}
    for event, outputs in world.tape:
        if isinstance(event, OrderUpdated):
            # Unknown blocks for ever; this test's other final states come with all their executions.
            over = event.state is not OrderState.UNKNOWN and event.ts_ns > blocked_until_ns[event.symbol]
            done = event.state is OrderState.FILLED or over
            blocked_until_ns[event.symbol] = (
                0.0
                if done
                else max(blocked_until_ns[event.symbol], math.inf if event.state is OrderState.UNKNOWN else 0.0)
            )
        decisions = [item for item in outputs if isinstance(item, Decision)]
        assert len(decisions) == isinstance(event, PredictionBlock)
        for item in outputs:
            if isinstance(item, ModeState):
                assert (item.previous, item.mode) in TRANSITIONS
            if isinstance(item, IntentBlock):
                check_intents(decisions[0], item)
                for intent in item.intents:
                    assert item.ts_ns > blocked_until_ns.get(intent.symbol, 0.0)
                    blocked_until_ns[intent.symbol] = float(intent.expires_ns)
        for decision in decisions:
            assert len(decision.verdicts) == len(decision.symbols)
            moved = column_values(decision, "quantity_shares") != 0.0
            assert [verdict is Verdict.ACCEPTED for verdict in decision.verdicts] == moved.tolist()


def check_intents(decision: Decision, block: IntentBlock) -> None:
    """Check one block of intents against the decision it belongs to."""
    assert block.decision == decision.id
    assert decision.mode is not Mode.EMERGENCY
    assert OPEN_NS <= decision.ts_ns < CLOSE_NS
    final = dict(zip(decision.symbols, column_values(decision, "weight_final").tolist(), strict=True))
    current = dict(zip(decision.symbols, column_values(decision, "weight_current").tolist(), strict=True))
    for intent in block.intents:
        assert intent.quantity_micro > 0
        assert intent.quantity_micro % QUANTITY_SCALE == 0
        assert abs(final[intent.symbol]) <= 0.05 + 1e-9
        if decision.mode is Mode.OBSERVE:
            assert intent.reducing
        if intent.reducing:
            assert abs(final[intent.symbol]) < abs(current[intent.symbol])


@EXAMPLES
@given(st.lists(score, min_size=len(SYMBOLS), max_size=len(SYMBOLS)))
def test_the_whole_cycle_is_mirror_symmetric_and_within_limits(values: list[float]):
    """From a flat book, opposite scores give exactly opposite orders; no stage after the limits exceeds a cap."""
    decisions = []
    for sign in (1.0, -1.0):
        world = ArbiterWorld.create(SYMBOLS)
        world.start()
        scores = {symbol: sign * value for symbol, value in zip(SYMBOLS, values, strict=True)}
        (decision,) = [event for event in world.cycle(NOON_NS, scores) if isinstance(event, Decision)]
        decisions.append(decision)
    long, short = decisions
    assert long.verdicts == short.verdicts
    for name in ("weight_wanted", "weight_limited", "weight_banded", "weight_final", "quantity_shares"):
        assert np.array_equal(column_values(short, name), -column_values(long, name))
    for name in ("weight_limited", "weight_allowed", "weight_final"):
        weights = column_values(long, name)
        assert np.abs(weights).max() <= 0.05 + 1e-9
        assert np.abs(weights).sum() <= 0.5 + 1e-9
        assert abs(weights.sum()) <= 0.25 + 1e-9
    missing = np.isnan(np.array(values))
    assert np.all(column_values(long, "quantity_shares")[missing] == 0.0)
    assert all(long.verdicts[index] is Verdict.NO_PRED for index in np.flatnonzero(missing))


@EXAMPLES
@given(st.lists(score, min_size=len(SYMBOLS), max_size=len(SYMBOLS)), st.permutations(SYMBOLS))
def test_the_order_of_symbols_does_not_matter(values: list[float], order: list[str]):
    """The same scores in another order of symbols give the same verdicts and quantities, up to one share."""
    scores = dict(zip(SYMBOLS, values, strict=True))
    results = []
    for symbols in (SYMBOLS, tuple(order)):
        world = ArbiterWorld.create(symbols)
        world.start(sectors={symbol: f"T{index % 4}" for index, symbol in enumerate(SYMBOLS)})
        (decision,) = [event for event in world.cycle(NOON_NS, scores) if isinstance(event, Decision)]
        shares = dict(zip(decision.symbols, column_values(decision, "quantity_shares").tolist(), strict=True))
        results.append(shares)
    assert results[0].keys() == results[1].keys()
    assert all(abs(results[0][symbol] - results[1][symbol]) <= 1.0 for symbol in SYMBOLS)
