"""Owns the tests of several strategies behind one arbiter: what each is told, what the account sends and records."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.decision_record import column_values
from walstreet.domain.ledger import Ledger
from walstreet.domain.strategies import Member, StrategiesCore
from walstreet.domain.strategy_decision import CROSSED_COLUMN, WANTED_COLUMN
from walstreet.domain.strategy_parameters import StrategyParameters
from walstreet.domain.strategy_state import StrategiesState
from walstreet.domain.strategy_view import StrategyView
from walstreet.domain.units import MINUTE_NS
from walstreet.domain.working_orders import WorkingOrders
from walstreet.testing.arbiter_world import (
    DEFAULT_CALIBRATIONS,
    IMBALANCE_COLUMN,
    OPEN_NS,
    ArbiterWorld,
    world_parameters,
)
from walstreet_events import (
    QUANTITY_SCALE,
    ROOT,
    AccountPlan,
    AccountValues,
    AnyEvent,
    Decision,
    FeeAllocated,
    FillAllocated,
    IntentBlock,
    Mode,
    ModeState,
    OrderCommission,
    OrderIntent,
    OrderRefused,
    OrderState,
    PredictionBlock,
    Prefilter,
    Side,
    StrategyRecord,
    Verdict,
    derive_id,
)

NOON_NS = OPEN_NS + 150 * MINUTE_NS
SHARE = QUANTITY_SCALE

pytestmark = pytest.mark.spec("002.python")


@dataclass
class ScriptedState:
    """What a scripted strategy remembers of what it is told."""

    ledger: Ledger = field(default_factory=Ledger)
    working: WorkingOrders = field(default_factory=WorkingOrders)
    equity: int | None = None
    told: list[AnyEvent] = field(default_factory=list)

    def digest(self) -> str:
        """Return its content."""
        return self.ledger.digest()


class ScriptedStrategy:
    """A strategy of another kind than the arbiter's: it wishes what its script says for a bar, in whole shares."""

    def __init__(self, name: str, script: dict[int, dict[str, int]], names: tuple[str, ...] = ()) -> None:
        """Wish ``script[minute]`` by symbol, and ask for expensive models for ``names``."""
        self.name, self.script, self.names = name, script, names

    def initial(self) -> ScriptedState:
        """Return the state before the first fact."""
        return ScriptedState()

    def evolve(self, state: ScriptedState, event: AnyEvent) -> ScriptedState:
        """Keep the facts, as an arbiter does with its own."""
        state.told.append(event)
        state.ledger.apply(event)
        state.working.apply(event)
        state.working.expire(0)
        if isinstance(event, AccountValues):
            state.equity = event.net_liquidation_nano
        return state

    def decide_in(self, state: ScriptedState, event: AnyEvent, mode: Mode) -> list[AnyEvent]:
        """Return the wishes of the minute, which a strategy without capital has none of."""
        assert state.equity is not None or not isinstance(event, PredictionBlock)
        if not isinstance(event, PredictionBlock) or event.warmup:
            return []
        wishes = self.script.get((event.ts_ns - NOON_NS) // MINUTE_NS, {})
        outputs: list[AnyEvent] = []
        if self.names:
            until = event.ts_ns + MINUTE_NS
            outputs.append(
                Prefilter(
                    id=derive_id(event.id, "pre", 0),
                    cause=event.id,
                    ts_ns=event.ts_ns,
                    symbols=self.names,
                    expires_ns=until,
                )
            )
        if wishes:
            outputs.append(
                IntentBlock(
                    id=derive_id(event.id, "block", 0),
                    cause=event.id,
                    ts_ns=event.ts_ns,
                    decision=ROOT,
                    mode=mode.value,
                    intents=tuple(self._intent(event, symbol, shares) for symbol, shares in wishes.items()),
                    epoch=0,
                )
            )
        return outputs

    def _intent(self, event: PredictionBlock, symbol: str, shares: int) -> OrderIntent:
        return OrderIntent(
            id=derive_id(event.id, f"{self.name}:{symbol}", 0),
            symbol=symbol,
            con_id=1,
            side=Side.BUY if shares > 0 else Side.SELL,
            quantity_micro=abs(shares) * SHARE,
            reducing=False,
            horizon_minutes=5,
            arrival_mid_nano=100_000_000_000,
            tif_s=15,
            expires_ns=event.ts_ns + 15_000_000_000,
            alpha_bps=1.0,
            target_weight=0.0,
        )


Script = dict[int, dict[str, int]]


def scripted(
    *, names: dict[str, tuple[str, ...]] | None = None, opening: str = "house", **scripts: Script
) -> ArbiterWorld:
    """Return a world whose strategies follow scripts, each with an equal share of the capital."""
    members = [
        Member(
            profile=StrategyParameters(name=name, capital_share=1 / len(scripts)),
            core=ScriptedStrategy(name, script, (names or {}).get(name, ())),
        )
        for name, script in scripts.items()
    ]
    return world_of(StrategiesCore(world_parameters(), members, opening=opening))


def world_of(core: StrategiesCore) -> ArbiterWorld:
    """Return a world around a core of strategies."""
    return ArbiterWorld(symbols=("AAA", "BBB", "CCC"), core=core, state=core.initial())  # type: ignore[arg-type]


def state_of(world: ArbiterWorld) -> StrategiesState:
    """Return the state of the strategies."""
    assert isinstance(world.state, StrategiesState)
    return world.state


def book(world: ArbiterWorld, name: str, symbol: str = "AAA") -> int:
    """Return one book's position in shares, which the strategy's own ledger must agree with."""
    state = state_of(world)
    position = state.books.position_micro(name, symbol)
    if name in state.members:
        assert state.members[name].ledger.position_micro(symbol) == position
    return position // SHARE


def of(outputs: list[AnyEvent], kind: type) -> list:
    """Return the outputs of one kind."""
    return [event for event in outputs if isinstance(event, kind)]


def account_intents(outputs: list[AnyEvent]) -> dict[str, OrderIntent]:
    """Return the account's intents by symbol."""
    return {intent.symbol: intent for block in of(outputs, IntentBlock) for intent in block.intents}


def test_opposite_wishes_are_netted_and_one_order_goes_out():
    """100 against 40: both books move by the crossing at once, the order of 60 fills the buyer's book alone."""
    world = scripted(one={0: {"AAA": 100}}, two={0: {"AAA": -40}})
    world.start()
    outputs = world.cycle(NOON_NS, {})
    intent = account_intents(outputs)["AAA"]
    assert (intent.side, intent.quantity_micro) == (Side.BUY, 60 * SHARE)
    assert (book(world, "one"), book(world, "two")) == (40, -40)
    world.send(world.submitting(intent, ts_ns=NOON_NS))
    filled = world.send(world.filled(intent, ts_ns=NOON_NS))
    assert [(item.strategies, item.signed_micro) for item in of(filled, FillAllocated)] == [(("one",), (60 * SHARE,))]
    assert (book(world, "one"), book(world, "two")) == (100, -40)
    assert state_of(world).account.ledger.position_micro("AAA") == 60 * SHARE
    assert state_of(world).books.breaks() == ()


def test_what_cancels_reaches_nobody_outside():
    """Equal and opposite wishes give a plan and no block of intents; the record says netted."""
    world = scripted(one={0: {"AAA": 25}}, two={0: {"AAA": -25}})
    world.start()
    outputs = world.cycle(NOON_NS, {})
    assert account_intents(outputs) == {}
    (decision,) = of(outputs, Decision)
    assert decision.verdicts[0] is Verdict.NETTED
    assert column_values(decision, f"{WANTED_COLUMN}one").tolist() == [25.0, 0.0, 0.0]
    assert column_values(decision, f"{CROSSED_COLUMN}two").tolist() == [-25.0, 0.0, 0.0]
    assert (book(world, "one"), book(world, "two")) == (25, -25)


def test_a_partial_fill_is_divided_by_what_was_wanted():
    """30 of 90 for wishes of 60 and 30 give 20 and 10; the rest follows, the fee in the same shares."""
    world = scripted(one={0: {"AAA": 60}}, two={0: {"AAA": 30}})
    world.start()
    intent = account_intents(world.cycle(NOON_NS, {}))["AAA"]
    world.send(world.submitting(intent, ts_ns=NOON_NS))
    world.send(world.filled(intent, ts_ns=NOON_NS, quantity_micro=30 * SHARE, part=1))
    assert (book(world, "one"), book(world, "two")) == (20, 10)
    fill = world.filled(intent, ts_ns=NOON_NS, quantity_micro=60 * SHARE, part=2)
    world.send(fill)
    assert (book(world, "one"), book(world, "two")) == (60, 30)
    fee = OrderCommission(
        id=derive_id("fee", "fee", 0),
        cause=ROOT,
        ts_ns=NOON_NS,
        exec_id=fill.exec_id,
        symbol="AAA",
        commission_nano=1_000_000_001,
        realized_pnl_nano=None,
    )
    (divided,) = of(world.send(fee), FeeAllocated)
    assert divided.fee_nano == (666_666_667, 333_333_334)
    assert of(world.send(fee), FeeAllocated) == []


def test_the_sum_is_held_to_the_accounts_limit():
    """Wishes of 4 % each under a cap of 5 %: 5 % go out in halves, and the verdict of the rest names the limit."""
    world = scripted(one={0: {"AAA": 400}}, two={0: {"AAA": 400}}, three={})
    world.start()
    outputs = world.cycle(NOON_NS, {})
    assert account_intents(outputs)["AAA"].quantity_micro == 500 * SHARE
    (plan,) = of(outputs, AccountPlan)
    assert plan.symbols[0].reason == Verdict.RISK_NAME.value
    assert [share.parent_micro for share in plan.symbols[0].shares] == [250 * SHARE, 250 * SHARE]


def test_while_an_order_works_nobody_trades_its_symbol():
    """In the next minute the other strategy wants out: it waits until the order has ended, then it goes."""
    world = scripted(one={0: {"AAA": 100}}, two={1: {"AAA": -40}, 2: {"AAA": -40}})
    world.start()
    intent = account_intents(world.cycle(NOON_NS, {}))["AAA"]
    intent = msgspec.structs.replace(intent, expires_ns=NOON_NS + 10 * MINUTE_NS)
    world.send(world.submitting(intent, ts_ns=NOON_NS))
    outputs = world.cycle(NOON_NS + MINUTE_NS, {})
    assert account_intents(outputs) == {}
    assert of(outputs, AccountPlan)[0].symbols[0].reason == Verdict.PENDING_ORDER.value
    assert of(outputs, Decision)[0].verdicts[0] is Verdict.PENDING_ORDER
    world.send(world.filled(intent, ts_ns=NOON_NS + MINUTE_NS))
    world.send(world.updated(intent, OrderState.FILLED, filled_micro=intent.quantity_micro, ts_ns=NOON_NS + MINUTE_NS))
    assert account_intents(world.cycle(NOON_NS + 2 * MINUTE_NS, {}))["AAA"].quantity_micro == 40 * SHARE


@pytest.mark.parametrize("status_first", [False, True])
def test_a_strategy_sees_its_own_order_end_when_all_of_it_is_divided(status_first):
    """Whether the last execution or the final status comes first, no part stays at work and none is settled early."""
    world = scripted(one={0: {"AAA": 60}}, two={0: {"AAA": 30}})
    world.start()
    intent = account_intents(world.cycle(NOON_NS, {}))["AAA"]
    members = state_of(world).members
    assert members["one"].working.remaining_micro() == {"AAA": 60 * SHARE}
    assert members["two"].working.remaining_micro() == {"AAA": 30 * SHARE}
    world.send(world.submitting(intent, ts_ns=NOON_NS))
    events = [
        world.filled(intent, ts_ns=NOON_NS),
        world.updated(intent, OrderState.FILLED, filled_micro=intent.quantity_micro, ts_ns=NOON_NS),
    ]
    for index, event in enumerate(reversed(events) if status_first else events):
        if index:
            assert all(member.working.remaining_micro() for member in members.values())
        world.send(event)
    assert all(member.working.remaining_micro() == {} for member in members.values())


def test_a_refusal_ends_every_part():
    """What execution refuses is refused for all who stood behind it, under their own wishes."""
    world = scripted(one={0: {"AAA": 60}}, two={0: {"AAA": 30}})
    world.start()
    intent = account_intents(world.cycle(NOON_NS, {}))["AAA"]
    world.send(refusal(intent))
    assert all(member.working.remaining_micro() == {} for member in state_of(world).members.values())


def refusal(intent: OrderIntent) -> AnyEvent:
    """Return execution's refusal of an intent."""
    return OrderRefused(
        id=derive_id(intent.id, "refused", 0),
        cause=ROOT,
        ts_ns=NOON_NS,
        intent=intent.id,
        symbol=intent.symbol,
        reason="mid_drift",
        detail="",
        quote=None,
    )


def test_each_strategy_is_told_its_share_of_the_capital_and_its_own_positions():
    """Equity is divided; positions that stood before are nobody's, or belong to the strategy that is named for them."""
    world = scripted(one={}, two={})
    world.start(positions={"AAA": 70})
    assert state_of(world).members["one"].equity == 500_000 * 1_000_000_000
    assert (book(world, "one"), book(world, "two"), book(world, "house")) == (0, 0, 70)
    named = scripted(opening="two", one={}, two={})
    named.start(positions={"AAA": 70})
    assert (book(named, "one"), book(named, "two"), book(named, "house")) == (0, 70, 0)


def test_foreign_executions_belong_to_the_house():
    """An execution that no intent of ours explains moves no strategy's book."""
    world = scripted(one={}, two={})
    world.start()
    world.cycle(NOON_NS, {})
    intent = ScriptedStrategy("x", {})._intent(
        world.predictions(world.features(NOON_NS), world.score_rows({})), "AAA", 10
    )
    world.send(msgspec.structs.replace(world.filled(intent, ts_ns=NOON_NS), intent="", client_order_id=""))
    assert (book(world, "one"), book(world, "two"), book(world, "house")) == (0, 0, 10)


def test_models_run_for_every_name_that_somebody_wants():
    """Both have chosen: the union, sorted. One has not: nothing is said, so models run for all."""
    both = scripted(names={"one": ("BBB",), "two": ("AAA", "BBB")}, one={}, two={})
    both.start()
    (prefilter,) = of(both.cycle(NOON_NS, {}), Prefilter)
    assert prefilter.symbols == ("AAA", "BBB")
    alone = scripted(names={"one": ("BBB",)}, one={}, two={})
    alone.start()
    assert of(alone.cycle(NOON_NS, {}), Prefilter) == []


# -------------------------------------------------------------------------------------- strategies of models


def zoo(*profiles: StrategyParameters) -> ArbiterWorld:
    """Return a world whose strategies are arbiters over the same models."""
    parameters = world_parameters()
    members = [
        Member(profile=profile, core=ArbiterCore(parameters, DEFAULT_CALIBRATIONS, imbalance_column=IMBALANCE_COLUMN))
        for profile in profiles
    ]
    return world_of(StrategiesCore(parameters, members))


WITH = StrategyParameters(name="with", capital_share=0.5)
AGAINST = StrategyParameters(name="against", capital_share=0.5, alpha_sign=-1)


def test_mirrored_strategies_of_equal_capital_trade_with_each_other_alone():
    """The same forecast with two signs: all of it crosses, and the broker sees nothing."""
    world = zoo(WITH, AGAINST)
    world.start()
    outputs = world.cycle(NOON_NS, {"AAA": 1.0, "BBB": -1.0})
    assert account_intents(outputs) == {}
    (plan,) = of(outputs, AccountPlan)
    assert [planned.symbol for planned in plan.symbols] == ["AAA", "BBB"]
    assert book(world, "with") == -book(world, "against") > 0
    assert book(world, "with", "BBB") == -book(world, "against", "BBB") < 0
    assert state_of(world).account.ledger.held() == []


def test_symbols_and_horizons_of_a_strategy_are_its_own():
    """A strategy of one symbol records that symbol only; the account's record has all."""
    world = zoo(WITH, msgspec.structs.replace(AGAINST, symbols=("BBB",)))
    world.start()
    outputs = world.cycle(NOON_NS, {"AAA": 1.0, "BBB": 1.0})
    records = {item.strategy: item.record for item in of(outputs, StrategyRecord) if isinstance(item.record, Decision)}
    assert records["with"].symbols == ("AAA", "BBB", "CCC")
    assert records["against"].symbols == ("BBB",)
    (decision,) = of(outputs, Decision)
    assert decision.symbols == ("AAA", "BBB", "CCC")
    assert list(account_intents(outputs)) == ["AAA"]


def test_the_mode_is_the_accounts():
    """A broken link brings one change of mode, and no strategy trades on in its own."""
    world = zoo(WITH, msgspec.structs.replace(AGAINST, alpha_sign=1))
    world.start()
    outputs = world.send(world.link(connected=False, ts_ns=NOON_NS))
    assert [event.mode for event in of(outputs, ModeState)] == [Mode.OBSERVE]
    assert account_intents(world.cycle(NOON_NS, {"AAA": 1.0})) == {}


def test_the_order_of_configuration_does_not_matter():
    """Strategies are taken by name: the same events in, the same bytes out."""
    outputs = []
    for profiles in ((WITH, AGAINST), (AGAINST, WITH)):
        world = zoo(*profiles)
        world.start()
        outputs.append(world.cycle(NOON_NS, {"AAA": 1.0, "BBB": -0.7}))
    assert outputs[0] == outputs[1]


def test_replay_of_the_log_gives_the_same_state():
    """Inputs and own outputs folded again lead to the same digest."""
    world = zoo(WITH, msgspec.structs.replace(AGAINST, capital_share=0.25))
    world.start()
    intents = account_intents(world.cycle(NOON_NS, {"AAA": 1.0, "BBB": -0.7}))
    for intent in intents.values():
        world.fill_whole(intent, ts_ns=NOON_NS)

    again = zoo(WITH, msgspec.structs.replace(AGAINST, capital_share=0.25))
    for event, caused in world.tape:
        for fact in (event, *caused):
            again.core.evolve(again.state, fact)
    assert state_of(again).digest() == state_of(world).digest()


def test_a_view_changes_what_is_the_strategys_and_nothing_else():
    """Returns are mirrored, probabilities are not; ids of predictions are the strategy's own."""
    world = zoo(WITH, AGAINST)
    features = world.features(NOON_NS)
    predictions = world.predictions(
        features, world.score_rows({"AAA": 0.5, "BBB": 1.0}), barriers={"peak": [0.1, 0.2, 0.3]}
    )
    view = StrategyView(profile=msgspec.structs.replace(AGAINST, symbols=("BBB",)))
    seen = view.of(predictions)
    assert isinstance(seen, PredictionBlock)
    assert seen.id != predictions.id
    assert seen.features == features.id
    assert seen.values.array()[:, 0].tolist() == [-1.0, -1.0, -1.0, 0.2]
    assert view.of(features).symbols == ("BBB",)
    tick = world.clock(NOON_NS)
    assert view.of(tick) is tick


def test_strategies_need_names_of_their_own():
    """None, and two of one name, are refused."""
    with pytest.raises(ValueError, match="at least one"):
        StrategiesCore(world_parameters(), [])
    with pytest.raises(ValueError, match="each name once"):
        zoo(WITH, WITH)
