"""Owns the one list that says which event has which subject, which single writer, and who reads what.

Server permissions, the AsyncAPI document, the docs' table and the tests are generated from this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from walstreet_events import account, decision, features, market, ops, order, prediction, strategy, tca

if TYPE_CHECKING:
    import msgspec

    from walstreet_events.envelope import Event


class Service(StrEnum):
    """Producers; the six services in the order of their turns, then the operator's program."""

    GATEWAY = "gateway"
    FEATURES = "features"
    INFERENCE = "inference"
    ARBITER = "arbiter"
    EXECUTION = "execution"
    RECONCILER = "reconciler"
    OPERATOR = "operator"


TURN_ORDER: tuple[Service, ...] = (
    Service.GATEWAY,
    Service.FEATURES,
    Service.INFERENCE,
    Service.ARBITER,
    Service.EXECUTION,
    Service.RECONCILER,
)
"""Order in which services take their turns in lockstep: along the flow of facts."""


class Stream(StrEnum):
    """JetStream streams."""

    TAPE = "TAPE"
    MD = "MD"
    DEAD = "DEAD"


REPUBLISH_PREFIX = "wal"
"""The TAPE republishes every stored message under ``wal.<subject>``, after the fsync."""

TAPE_SUBJECTS: tuple[str, ...] = (
    "bar.>",
    "clock.>",
    "status.>",
    "ref.>",
    "feat.>",
    "pred.>",
    "health.>",
    "decision.>",
    "prefilter.>",
    "outcome.>",
    "order.>",
    "acct.>",
    "recon.>",
    "mode.>",
    "ctl.>",
    "epoch.>",
    "chain.>",
)
MD_SUBJECTS: tuple[str, ...] = ("md.>",)
DEAD_SUBJECTS: tuple[str, ...] = ("dead.>",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """One event type's place on the log."""

    event: type[msgspec.Struct]
    template: str
    """Subject; ``{symbol}``, ``{service}`` and the like are filled from the event's fields."""
    writer: Service | None
    """The single writer; None where each service writes under its own name (``{service}``)."""
    stream: Stream


def _row(event: type[msgspec.Struct], template: str, writer: Service | None) -> SubjectRow:
    return SubjectRow(event=event, template=template, writer=writer, stream=Stream.TAPE)


SUBJECT_TABLE: tuple[SubjectRow, ...] = (
    _row(market.BarBlock, "bar.1m", Service.GATEWAY),
    _row(market.ClockTick, "clock.{timer}", Service.GATEWAY),
    _row(market.SessionPhase, "clock.phase", Service.GATEWAY),
    _row(market.FeedStatus, "status.feed", Service.GATEWAY),
    _row(market.BrokerStatus, "status.broker", Service.GATEWAY),
    _row(market.SymbolStatus, "status.symbol.{symbol}", Service.GATEWAY),
    _row(market.BarCheck, "status.barcheck.{symbol}", Service.GATEWAY),
    _row(market.InstrumentRef, "ref.instrument.{symbol}", Service.GATEWAY),
    _row(market.PriorSession, "ref.prior.{symbol}", Service.GATEWAY),
    _row(market.SessionRef, "ref.session", Service.GATEWAY),
    _row(market.BorrowBlock, "ref.borrow", Service.GATEWAY),
    _row(market.DailyBars, "ref.daily", Service.GATEWAY),
    _row(features.FeatureBlock, "feat.1m", Service.FEATURES),
    _row(prediction.PredictionBlock, "pred.1m", Service.INFERENCE),
    _row(prediction.ModelHealth, "health.model", Service.INFERENCE),
    _row(decision.Decision, "decision.cycle", Service.ARBITER),
    _row(decision.RotationDecision, "decision.rotation", Service.ARBITER),
    _row(decision.ModeState, "mode.state", Service.ARBITER),
    _row(decision.Prefilter, "prefilter.names", Service.ARBITER),
    _row(decision.Outcome, "outcome.matured", Service.ARBITER),
    _row(decision.OutcomeBlock, "outcome.cycle", Service.ARBITER),
    _row(decision.DriftChange, "health.drift", Service.ARBITER),
    _row(strategy.StrategyRecord, "decision.strategy.{strategy}", Service.ARBITER),
    _row(strategy.AccountPlan, "decision.account", Service.ARBITER),
    _row(strategy.FillAllocated, "decision.fill.{symbol}", Service.ARBITER),
    _row(strategy.FeeAllocated, "decision.fee.{symbol}", Service.ARBITER),
    _row(order.IntentBlock, "order.intent.cycle", Service.ARBITER),
    _row(order.OrderRefused, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderSubmitting, "order.event.{symbol}", Service.EXECUTION),
    _row(order.MarginAsked, "order.event.{symbol}", Service.EXECUTION),
    _row(order.MarginAnswered, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderBracketed, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderModifying, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderModifyRefused, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderModified, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderCancelling, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderUpdated, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderFilled, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderCorrected, "order.event.{symbol}", Service.EXECUTION),
    _row(order.OrderCommission, "order.event.{symbol}", Service.EXECUTION),
    _row(order.ExternalOrder, "order.event.{symbol}", Service.EXECUTION),
    _row(tca.MarkoutBlock, "order.marks", Service.EXECUTION),
    _row(account.AccountValues, "acct.values", Service.EXECUTION),
    _row(account.Positions, "acct.positions", Service.EXECUTION),
    _row(account.OrderLink, "acct.link", Service.EXECUTION),
    _row(ops.ReconRequest, "recon.request", Service.RECONCILER),
    _row(ops.ReconSnapshot, "recon.snapshot", Service.EXECUTION),
    _row(ops.ReconBreak, "recon.break", Service.RECONCILER),
    _row(ops.ReconReport, "recon.report", Service.RECONCILER),
    _row(tca.TcaReport, "recon.tca", Service.RECONCILER),
    _row(tca.ParameterTuned, "ctl.tuned", Service.RECONCILER),
    _row(ops.LedgerCorrection, "recon.correction", Service.RECONCILER),
    _row(ops.ChainCheckpoint, "chain.checkpoint", Service.RECONCILER),
    _row(ops.ModeRequest, "mode.request.{service}", None),
    _row(ops.FlattenState, "order.flatten", Service.EXECUTION),
    _row(ops.GatewayProbed, "order.probe", Service.EXECUTION),
    _row(ops.OperatorCommand, "ctl.command", Service.OPERATOR),
    _row(ops.ParameterChange, "ctl.param", Service.OPERATOR),
    _row(ops.ProducerEpoch, "epoch.{service}", None),
    SubjectRow(event=ops.DeadLetter, template="dead.{service}.{reason}", writer=None, stream=Stream.DEAD),
    SubjectRow(event=market.Quote, template="md.quote.{symbol}", writer=Service.GATEWAY, stream=Stream.MD),
    SubjectRow(event=market.Trade, template="md.trade.{symbol}", writer=Service.GATEWAY, stream=Stream.MD),
)

READERS: dict[Service, tuple[str, ...]] = {
    Service.GATEWAY: ("ctl.>",),
    Service.FEATURES: ("bar.>", "status.>", "ref.>"),
    Service.INFERENCE: ("feat.>", "prefilter.>", "outcome.>", "ctl.>", "ref.session"),
    Service.ARBITER: (
        "feat.>",
        "pred.>",
        "acct.>",
        "order.event.>",
        "recon.>",
        "clock.minute",
        "clock.phase",
        "mode.request.>",
        "ctl.>",
        "status.>",
        "ref.>",
    ),
    Service.EXECUTION: (
        "order.intent.>",
        "mode.state",
        "recon.request",
        "recon.break",
        "recon.correction",
        "ctl.>",
        "clock.>",
        "ref.>",
        "bar.>",
        "status.feed",
        "status.symbol.>",
        "epoch.arbiter",
    ),
    Service.RECONCILER: (
        "decision.cycle",
        "order.>",
        "acct.>",
        "recon.snapshot",
        "clock.>",
        "status.broker",
        "ctl.>",
        "ref.session",
    ),
    Service.OPERATOR: (),
}
"""TAPE subjects that each service's core consumes; every service also folds its own outputs."""

_BY_EVENT: dict[type, SubjectRow] = {row.event: row for row in SUBJECT_TABLE}
_TOKEN_BAD = str.maketrans(dict.fromkeys(" .*>\t\r\n", "_"))


def token(text: str) -> str:
    """Return ``text`` as one subject token: ``BRK B`` becomes ``BRK_B``, an empty text ``_``."""
    return text.translate(_TOKEN_BAD) or "_"


def row_of(event: type[msgspec.Struct]) -> SubjectRow:
    """Return the table's row for an event type.

    Raises:
        KeyError: The type has no row; add one to ``SUBJECT_TABLE``.
    """
    return _BY_EVENT[event]


def subject_of(event: Event | market.Quote | market.Trade) -> str:
    """Return the subject under which ``event`` is published."""
    template = _BY_EVENT[type(event)].template
    if "{" not in template:
        return template
    head, _, field = template.partition("{")
    parts = [head]
    while field:
        name, _, rest = field.partition("}")
        parts.append(token(str(getattr(event, name))))
        literal, _, field = rest.partition("{")
        parts.append(literal)
    return "".join(parts)


def matches(filter_subject: str, subject: str) -> bool:
    """Return whether ``subject`` falls under a NATS subject filter (``*`` one token, ``>`` the rest)."""
    if filter_subject == subject:
        return True
    wanted = filter_subject.split(".")
    have = subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(have) > index
        if index >= len(have) or part not in ("*", have[index]):
            return False
    return len(wanted) == len(have)


def reads(service: Service, subject: str) -> bool:
    """Return whether ``service``'s core consumes messages under ``subject``."""
    return any(matches(pattern, subject) for pattern in READERS[service])


def may_write(service: Service, subject: str) -> bool:
    """Return whether ``service`` is the single writer of ``subject``."""
    return any(matches(pattern, subject) for pattern in write_patterns(service))


def write_patterns(service: Service) -> tuple[str, ...]:
    """Return the subject patterns that ``service`` may publish, in table order without repetition."""
    patterns: dict[str, None] = {}
    for row in SUBJECT_TABLE:
        if row.writer is not None and row.writer is not service:
            continue
        text = row.template.replace("{service}", service.value)
        while "{" in text:
            head, _, rest = text.partition("{")
            _, _, tail = rest.partition("}")
            text = f"{head}*{tail}"
        patterns[text] = None
    return tuple(patterns)
