"""Owns the arbiter of several strategies in one account: their wishes in, one block of intents of the account out.

One arbiter per account. Inside it every strategy is a core of its own, which is told a world where it trades its share
of the capital alone (``strategy_state``, ``strategy_view``). What the cores wish in one cycle is crossed, limited at
the sum and sent as one order per symbol (``strategy_netting``); executions come back divided (``strategy_books``). The
mode is the account's. Where no strategies are configured this core is not used, and nothing of it stands on the TAPE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from walstreet.domain import book_memory, horizon_learning, strategy_books
from walstreet.domain.arbiter import FIXED
from walstreet.domain.arbiter_fold import NO_VALUES, fold
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbiter_state import ArbiterState, mode_causes
from walstreet.domain.corrections import corrected_fill
from walstreet.domain.mode import next_mode, track_health
from walstreet.domain.mode_causes import latency_request
from walstreet.domain.observations import DecisionTimed, Observation
from walstreet.domain.parameter_changes import ChangeRefusedError, Versions
from walstreet.domain.strategy_books import AccountBooks, divide_fee, divide_fill
from walstreet.domain.strategy_decision import Cycle, account_decision, account_facts, account_intent
from walstreet.domain.strategy_netting import SymbolTrade, Wish, net_wishes
from walstreet.domain.strategy_parameters import StrategyParameters
from walstreet.domain.strategy_state import OWN_FACTS, StrategiesState, facts_of, remember
from walstreet.domain.strategy_view import StrategyView, view_id
from walstreet.domain.units import HORIZONS_MINUTES
from walstreet.domain.virtual_books import HOUSE
from walstreet_events import (
    AccountPlan,
    AnyEvent,
    Decision,
    DriftChange,
    FeatureBlock,
    IntentBlock,
    Mode,
    ModeState,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OutcomeBlock,
    ParameterChange,
    PredictionBlock,
    Prefilter,
    Service,
    StrategyRecord,
    derive_id,
    tag_of,
)

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_AT_ONCE = (Decision, IntentBlock)
"""Records that stand before the account's intents; what was learned waits until the orders are on their way."""
_ACCOUNT_ONLY = (Decision, IntentBlock, Prefilter, OrderFilled, OrderCorrected, OrderCommission)
"""What the strategies are told in another form, or not at all."""


class StrategyCore(Protocol):
    """What a strategy must be able to do: fold facts, and decide in the account's mode.

    Of what it decides an ``IntentBlock`` is a wish, whose intents have ids of its own; other records are kept for it.
    """

    def initial(self) -> Any:
        """Return the state before the first fact."""

    def evolve(self, state: Any, event: AnyEvent) -> Any:
        """Fold one fact, or one of its own records."""

    def decide_in(self, state: Any, event: AnyEvent, mode: Mode) -> Sequence[AnyEvent]:
        """Return what ``event`` causes, given the state that contains it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One strategy: who it is and how it decides."""

    profile: StrategyParameters
    core: StrategyCore


class StrategiesCore:
    """The arbiter of an account that several strategies share; satisfies ``walstreet.ports.Core``."""

    def __init__(self, parameters: ArbiterParameters, members: Sequence[Member], *, opening: str = HOUSE) -> None:
        """Take the account's parameters and the members, in any order.

        Args:
            parameters: Of the account: its mode, and the limits of the sum.
            members: With different names.
            opening: Whose book takes the positions that stood when the TAPE began.

        Raises:
            ValueError: No member, or two of one name.
        """
        ordered = sorted(members, key=lambda member: member.profile.name)
        self._members = {member.profile.name: member for member in ordered}
        if not members or len(self._members) != len(members):
            raise ValueError(f"strategies {[member.profile.name for member in ordered]}: at least one, each name once")
        self._views = {name: StrategyView(profile=member.profile) for name, member in self._members.items()}
        self._versions = Versions(parameters)
        self._learning = parameters.learning
        self._opening = opening

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.ARBITER

    def initial(self) -> StrategiesState:
        """Return the state before the first event."""
        return StrategiesState(
            account=ArbiterState(
                book=book_memory.initial(self._learning.covariance), choices=horizon_learning.initial(HORIZONS_MINUTES)
            ),
            members={name: member.core.initial() for name, member in self._members.items()},
            books=AccountBooks(opening=self._opening),
        )

    def observe(self, state: StrategiesState, observation: Observation) -> Sequence[AnyEvent]:
        """Return the lateness of a decision as a fact while it matters: when it is too late, and when no longer."""
        if not isinstance(observation, DecisionTimed):
            return ()
        bound = self._versions.of(state.account.changes).mode_causes.latency_ms_max
        before = state.account.faults.latency_ms
        if observation.latency_ms <= bound and (before is None or before <= bound):
            return ()
        return (latency_request(observation.decision, observation.latency_ms),)

    # -------------------------------------------------------------------------------------------- folding

    def evolve(self, state: StrategiesState, event: AnyEvent) -> StrategiesState:
        """Fold one fact into the account's state, the books, and the state of every strategy that it concerns.

        Raises:
            ValueError: The event is malformed (array shapes, unknown mode in a command, a parameter that is none).
        """
        account = state.account
        if isinstance(event, ParameterChange):
            if event.path.startswith(FIXED):
                raise ChangeRefusedError(f"{event.path} holds from the start of a session; change it and restart")
            self._versions.note(account.changes, Service.ARBITER.value, event)
        elif isinstance(event, PredictionBlock):
            account.changes.apply()
        self._fold_account(account, event)
        strategy_books.fold(state.books, event)
        remember(state, event)
        if isinstance(event, OWN_FACTS):
            for name, fact in facts_of(state, event):
                self._tell(state, name, fact)
        elif not isinstance(event, _ACCOUNT_ONLY):
            for name, view in self._views.items():
                self._tell(state, name, view.of(event))
        return state

    def _tell(self, state: StrategiesState, name: str, fact: AnyEvent) -> None:
        state.members[name] = self._members[name].core.evolve(state.members[name], fact)

    def _fold_account(self, account: ArbiterState, event: AnyEvent) -> None:
        if isinstance(event, FeatureBlock):
            # Features are the strategies' business; the account needs the quotes.
            event = msgspec.structs.replace(event, values=NO_VALUES)
        if not isinstance(event, Decision):
            fold(account, event)
        now_ns = max(account.clock_ns, event.ts_ns)
        account.working.expire(account.clock_ns)
        track_health(account.mode, mode_causes(account, now_ns, self._versions.of(account.changes)), now_ns)

    # ------------------------------------------------------------------------------------------- deciding

    def decide(self, state: StrategiesState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the mode change, the strategies' records and the account's plan that ``event`` causes."""
        account, parameters = state.account, self._versions.of(state.account.changes)
        mode = account.mode.mode
        now_ns = max(account.clock_ns, event.ts_ns)
        change = next_mode(account.mode, mode_causes(account, now_ns, parameters), now_ns, parameters.mode)
        outputs: list[AnyEvent] = []
        if change is not None:
            kind = derive_id(event.id, tag_of(ModeState), 0)
            outputs.append(
                ModeState(id=kind, cause=event.id, ts_ns=event.ts_ns, mode=change[0], previous=mode, reason=change[1])
            )
            mode = change[0]
        match event:
            case OrderFilled():
                divided = divide_fill(state.books, event)
                return [*outputs, *([divided] if divided is not None else [])]
            case OrderCorrected():
                divided = divide_fill(state.books, corrected_fill(event))
                return [*outputs, *([divided] if divided is not None else [])]
            case OrderCommission():
                fee = divide_fee(state.books, event)
                return [*outputs, *([fee] if fee is not None else [])]
            case _:
                return [*outputs, *self._decide_members(state, event, mode)]

    def _decide_members(self, state: StrategiesState, event: AnyEvent, mode: Mode) -> list[AnyEvent]:
        records: list[StrategyRecord] = []
        for name, member in self._members.items():
            seen = self._views[name].of(event)
            for record in member.core.decide_in(state.members[name], seen, mode):
                assert isinstance(record, Decision | IntentBlock | OutcomeBlock | DriftChange | Prefilter), record
                records.append(
                    StrategyRecord(
                        id=view_id(record.id, name), cause=event.id, ts_ns=record.ts_ns, strategy=name, record=record
                    )
                )
        at_once = [item for item in records if isinstance(item.record, _AT_ONCE)]
        wishes = [
            Wish(strategy=item.strategy, intent=intent)
            for item in at_once
            if isinstance(item.record, IntentBlock)
            for intent in item.record.intents
        ]
        planned = self._plan(state, event, mode, wishes, at_once)
        later = [item for item in records if not isinstance(item.record, _AT_ONCE)]
        prefilter = self._prefilter(state, event, later)
        return [*at_once, *planned, *([prefilter] if prefilter is not None else []), *later]

    def _plan(
        self,
        state: StrategiesState,
        event: AnyEvent,
        mode: Mode,
        wishes: Sequence[Wish],
        records: Sequence[StrategyRecord],
    ) -> list[AnyEvent]:
        """Return the account's decision of a cycle, and what follows from wishes: the plan, then the intents."""
        predictions = event if isinstance(event, PredictionBlock) and not event.warmup else None
        if not wishes and predictions is None:
            return []
        account, parameters = state.account, self._versions.of(state.account.changes)
        facts = account_facts(account)
        trades = net_wishes(wishes, facts, limits=parameters.limits, notional_usd_min=parameters.order.notional_usd_min)
        outputs: list[AnyEvent] = []
        decision_id = derive_id(event.id, tag_of(Decision), 0)
        ts_ns = max((item.ts_ns for item in records), default=event.ts_ns)
        if predictions is not None:
            own = {item.strategy: item.record for item in records if isinstance(item.record, Decision)}
            cycle = Cycle(id=decision_id, ts_ns=ts_ns, predictions=predictions, mode=mode, facts=facts, own=own)
            outputs.append(self._decision(state, cycle, trades))
        if not trades:
            return outputs
        intents = tuple(account_intent(trade, facts, decision_id) for trade in trades if trade.order_micro)
        by_symbol = {intent.symbol: intent.id for intent in intents}
        outputs.append(
            AccountPlan(
                id=derive_id(event.id, tag_of(AccountPlan), 0),
                cause=event.id,
                ts_ns=ts_ns,
                decision=decision_id,
                symbols=tuple(trade.planned(by_symbol.get(trade.symbol, "")) for trade in trades),
            )
        )
        if intents:
            outputs.append(
                IntentBlock(
                    id=derive_id(event.id, tag_of(IntentBlock), 0),
                    cause=event.id,
                    ts_ns=ts_ns,
                    decision=decision_id,
                    mode=mode.value,
                    intents=intents,
                    epoch=account.epoch,
                )
            )
        return outputs

    def _decision(self, state: StrategiesState, cycle: Cycle, trades: Sequence[SymbolTrade]) -> Decision:
        parameters = self._versions.of(state.account.changes)
        profiles = [(member.profile, cycle.config_hash(name)) for name, member in self._members.items()]
        hashed = hashlib.sha256(_encoder.encode((parameters, profiles))).hexdigest()
        return account_decision(state.account, cycle, trades, strategies=tuple(self._members), config_hash=hashed)

    def _prefilter(
        self, state: StrategiesState, event: AnyEvent, records: Sequence[StrategyRecord]
    ) -> Prefilter | None:
        """Return the names that any strategy wants expensive models for, once every strategy has named its own.

        Without a choice of one strategy all names are wanted, and then nothing is said.
        """
        new = {item.strategy: item.record for item in records if isinstance(item.record, Prefilter)}
        known = {**state.prefilters, **new}
        chosen = [item for item in known.values() if item.expires_ns >= event.ts_ns]
        if not new or len(chosen) != len(self._members):
            return None
        return Prefilter(
            id=derive_id(event.id, tag_of(Prefilter), 0),
            cause=event.id,
            ts_ns=event.ts_ns,
            symbols=tuple(sorted({symbol for item in chosen for symbol in item.symbols})),
            expires_ns=min(item.expires_ns for item in chosen),
        )
