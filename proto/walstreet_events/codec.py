"""Owns bytes to events and back: deterministic msgpack, JSON for people, unknown and old versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from walstreet_events import account, decision, features, market, ops, order, prediction, strategy, tca
from walstreet_events.envelope import Event
from walstreet_events.subjects import SUBJECT_TABLE
from walstreet_events.upcast import UPCASTERS, Upcaster, upcast

AnyEvent: TypeAlias = (
    market.BarBlock
    | market.ClockTick
    | market.SessionPhase
    | market.FeedStatus
    | market.BrokerStatus
    | market.SymbolStatus
    | market.BarCheck
    | market.InstrumentRef
    | market.PriorSession
    | market.BorrowBlock
    | market.SessionRef
    | market.DailyBars
    | features.FeatureBlock
    | prediction.PredictionBlock
    | prediction.ModelHealth
    | decision.Decision
    | decision.RotationDecision
    | decision.ModeState
    | decision.Prefilter
    | decision.Outcome
    | decision.OutcomeBlock
    | decision.DriftChange
    | strategy.StrategyRecord
    | strategy.AccountPlan
    | strategy.FillAllocated
    | strategy.FeeAllocated
    | order.IntentBlock
    | order.OrderRefused
    | order.OrderSubmitting
    | order.MarginAsked
    | order.MarginAnswered
    | order.OrderBracketed
    | order.OrderModifying
    | order.OrderModifyRefused
    | order.OrderModified
    | order.OrderCancelling
    | order.OrderUpdated
    | order.OrderFilled
    | order.OrderCorrected
    | order.OrderCommission
    | order.ExternalOrder
    | account.AccountValues
    | account.Positions
    | account.OrderLink
    | ops.ReconRequest
    | ops.ReconSnapshot
    | ops.ReconBreak
    | ops.ReconReport
    | ops.LedgerCorrection
    | ops.ModeRequest
    | ops.FlattenState
    | ops.GatewayProbed
    | ops.OperatorCommand
    | ops.ParameterChange
    | ops.ProducerEpoch
    | ops.ChainCheckpoint
    | ops.DeadLetter
    | tca.MarkoutBlock
    | tca.TcaReport
    | tca.ParameterTuned
)
"""Every event of the TAPE and of the dead-letter stream; ``assert_never`` over it lists what a match forgot."""

AnyTick: TypeAlias = market.Quote | market.Trade
"""Every message of MD."""


def tag_of(event: type[msgspec.Struct]) -> str:
    """Return the versioned wire tag of an event type, such as ``bar_block.v1``."""
    tag = event.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{event.__name__} has no explicit text tag; give it one such as tag='name.v1'")
    return tag


CURRENT: dict[str, type[msgspec.Struct]] = {tag_of(row.event): row.event for row in SUBJECT_TABLE}

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_tick_decoder: msgspec.msgpack.Decoder[AnyTick] = msgspec.msgpack.Decoder(AnyTick)
_raw_decoder = msgspec.msgpack.Decoder(dict[str, Any])

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that fit nothing; the last one for arrays nested without end."""
_UPCASTER_REFUSED = (KeyError, TypeError, ValueError)
"""What an upcaster raises when an old event lacks a field or holds a wrong one."""


class EventDecodeError(ValueError):
    """The sender's fault: bytes that are no event of a known type and version."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the stable ``reason`` code (``unknown_tag`` or ``malformed``) beside the text."""
        super().__init__(detail)
        self.reason = reason


def encode(event: Event | AnyTick) -> bytes:
    """Return the wire bytes of ``event``: msgpack with a fixed order of keys."""
    return _encoder.encode(event)


def decode(payload: bytes, *, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> AnyEvent:
    """Return the event in ``payload``, upgraded to its current version.

    Raises:
        EventDecodeError: Unknown tag, missing or wrong field, or no msgpack at all.
    """
    try:
        return _decoder.decode(payload)
    except _UNREADABLE:
        # Rare: an old version, an unknown tag or damage. The slow path tells which, and says so.
        return _decode_slowly(payload, upcasters)


def _decode_slowly(payload: bytes, upcasters: Mapping[str, Upcaster]) -> AnyEvent:
    try:
        fields = _raw_decoder.decode(payload)
    except _UNREADABLE as error:
        raise EventDecodeError(
            "malformed",
            f"payload of {len(payload)} bytes is no msgpack map ({error}); the writer is not walstreet",
        ) from error
    tag = fields.get("type")
    if not isinstance(tag, str):
        raise EventDecodeError("malformed", f"event has tag {tag!r}, which is no text; the writer is not walstreet")
    try:
        upgraded = upcast(fields, CURRENT, upcasters)
    except _UPCASTER_REFUSED as error:
        raise EventDecodeError("malformed", f"event {tag!r} does not fit its own old version: {error!r}") from error
    if str(upgraded.get("type")) not in CURRENT:
        raise EventDecodeError(
            "unknown_tag",
            f"event tag {tag!r} is not known to this version; upgrade this service, or add an upcaster if it is old",
        )
    try:
        event: AnyEvent = msgspec.convert(upgraded, AnyEvent)
    except msgspec.ValidationError as error:
        raise EventDecodeError("malformed", f"event {tag!r} does not fit its schema: {error}") from error
    return event


def decode_tick(payload: bytes) -> AnyTick:
    """Return the quote or trade in ``payload``.

    Raises:
        EventDecodeError: The bytes are no MD message.
    """
    try:
        return _tick_decoder.decode(payload)
    except _UNREADABLE as error:
        raise EventDecodeError("malformed", f"MD payload of {len(payload)} bytes: {error}") from error


def to_json(event: Event | AnyTick) -> str:
    """Return one line of JSON for people and scripts; byte fields are base64."""
    return msgspec.json.encode(event, order="deterministic").decode()
