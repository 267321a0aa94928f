"""Owns the signature of intent blocks: the arbiter signs, execution believes nothing else.

HMAC-SHA256 (RFC 2104) over a fixed prefix and the block's canonical bytes with an empty signature, so that every
field, the epoch and all intents included, is covered. The key is an argument and stands nowhere. Verification looks at
the signature first, over all keys in constant time, because nothing in an unsigned block may be believed; then at the
epoch, the block's age and repetition, and at each intent's expiry and repetition.

No order bypasses this: execution flattens on its own account, without intents.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.guard_verdict import nanos
from walstreet_events import IntentBlock, encode

EventT = TypeVar("EventT")
KEY_NAME = "intent_key"
"""Name of the key's file in a credentials folder."""

PREFIX = b"walstreet.intent_block.hmac_sha256.v1\x00"
"""Keeps a signature from meaning anything for another kind of message under the same key."""
KEY_BYTES_MIN = 32
"""The digest's size; a shorter key would be the weakest part."""
KEYS_MAX = 2
"""The present key, and the one before it while it is being exchanged."""
INTENTS_MAX = 5_000
SIGNATURE_BYTES = hashlib.sha256().digest_size

assert KEY_BYTES_MIN >= SIGNATURE_BYTES


class SignatureReason(StrEnum):
    """Stable codes; ``duplicate_intent`` and ``intent_expired`` are those of ``guards.Reason``."""

    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_INVALID = "signature_invalid"
    EPOCH_UNKNOWN = "epoch_unknown"
    EPOCH_STALE = "epoch_stale"
    """Of an earlier life of the arbiter, which has been fenced off."""
    EPOCH_AHEAD = "epoch_ahead"
    """Of a life that the log does not know."""
    BLOCK_FUTURE = "block_future"
    BLOCK_EXPIRED = "block_expired"
    BLOCK_TOO_LARGE = "block_too_large"
    DUPLICATES_UNKNOWN = "duplicates_unknown"
    DUPLICATE_BLOCK = "duplicate_block"
    INTENT_EXPIRED = "intent_expired"
    DUPLICATE_INTENT = "duplicate_intent"


UNBELIEVED = (
    SignatureReason.SIGNATURE_MISSING,
    SignatureReason.SIGNATURE_INVALID,
    SignatureReason.EPOCH_UNKNOWN,
    SignatureReason.EPOCH_STALE,
    SignatureReason.EPOCH_AHEAD,
)
"""Of a block that the arbiter in office did not write: nothing that it says may leave a trace in a state."""


class SigningParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long a signed block may be acted on."""

    block_age_s_max: float = 30.0
    clock_skew_s_max: float = 1.0
    """How far a block's time may lie ahead of execution's."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("signing", "block_age_s_max", self.block_age_s_max, 0.1, 3_600.0)
        require_between("signing", "clock_skew_s_max", self.clock_skew_s_max, 0.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningFacts:
    """What execution knows when a block arrives; None means *not known*."""

    now_ns: int
    epoch: int | None
    """Newest epoch of the arbiter in the log."""
    blocks_handled: Container[str] | None
    """Ids of blocks."""
    intents_handled: Container[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedIntent:
    """An intent of a good block that must not be sent."""

    index: int
    intent: str
    reason: SignatureReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVerdict:
    """Whether a block is believed, and which of its intents are not to be sent all the same."""

    reason: SignatureReason | None
    detail: str
    refused: tuple[RefusedIntent, ...] = ()

    @property
    def accepted(self) -> bool:
        """Return whether the block itself is believed."""
        return self.reason is None


def canonical_bytes(block: IntentBlock) -> bytes:
    """Return what is signed: the prefix and the block's wire bytes with an empty signature."""
    return PREFIX + encode(msgspec.structs.replace(block, signature=b""))


def require_keys(keys: tuple[bytes, ...]) -> None:
    """Refuse keys that nothing may be verified with.

    Raises:
        ValueError: No key, too many, or one that is too short.
    """
    if not 1 <= len(keys) <= KEYS_MAX:
        raise ValueError(f"signing: {len(keys)} keys are configured; allowed is 1 to {KEYS_MAX}")
    for key in keys:
        _require_key(key)


def _require_key(key: bytes) -> None:
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"signing: the key has {len(key)} bytes; it must have at least {KEY_BYTES_MIN}, all random")


def _digest(block: IntentBlock, key: bytes) -> bytes:
    _require_key(key)
    return hmac.new(key, canonical_bytes(block), hashlib.sha256).digest()


def sign(block: IntentBlock, key: bytes) -> IntentBlock:
    """Return ``block`` with its signature under ``key``; an earlier signature is replaced.

    Raises:
        ValueError: The key is too short.
    """
    return msgspec.structs.replace(block, signature=_digest(block, key))


def seal(block: IntentBlock, *, epoch: int, key: bytes) -> IntentBlock:
    """Return ``block`` as its producer's life ``epoch`` sends it: with the epoch, signed."""
    return sign(msgspec.structs.replace(block, epoch=epoch), key)


def unsealed(event: EventT) -> EventT:
    """Return an intent block without the seal, which says who sent it and not what was decided; others as they are."""
    if isinstance(event, IntentBlock):
        return msgspec.structs.replace(event, epoch=0, signature=b"")
    return event


def _signed_by_any(block: IntentBlock, keys: tuple[bytes, ...]) -> bool:
    fits = False
    for key in keys:
        # Every key is tried, so that the time taken does not tell which one fitted.
        fits |= hmac.compare_digest(_digest(block, key), block.signature)
    return fits


def verify(
    block: IntentBlock, *, keys: tuple[bytes, ...], facts: SigningFacts, parameters: SigningParameters
) -> BlockVerdict:
    """Return whether ``block`` may be acted on, and which of its intents not.

    Args:
        block: As it arrived.
        keys: The present key, and the previous one while keys are exchanged.
        facts: Time, the arbiter's epoch and what was handled before.
        parameters: How old a block may be.

    Raises:
        ValueError: No key, too many, or one that is too short: execution's own configuration is at fault.
    """
    require_keys(keys)
    refusal = _signature_refusal(block, keys) or _standing_refusal(block, facts, parameters)
    if refusal is not None:
        return BlockVerdict(reason=refusal[0], detail=refusal[1])
    return BlockVerdict(reason=None, detail="", refused=_refused_intents(block, facts))


def _signature_refusal(block: IntentBlock, keys: tuple[bytes, ...]) -> tuple[SignatureReason, str] | None:
    if not block.signature:
        return SignatureReason.SIGNATURE_MISSING, f"block {block.id} carries no signature"
    if not _signed_by_any(block, keys):
        return SignatureReason.SIGNATURE_INVALID, f"block {block.id} was not signed with a known key, or was changed"
    return None


def _standing_refusal(
    block: IntentBlock, facts: SigningFacts, parameters: SigningParameters
) -> tuple[SignatureReason, str] | None:
    """Return why a block with a good signature may not be acted on, or None."""
    reason, age_ns = SignatureReason, facts.now_ns - block.ts_ns
    if facts.epoch is None:
        return reason.EPOCH_UNKNOWN, "the log names no epoch of the arbiter"
    if facts.blocks_handled is None or facts.intents_handled is None:
        return reason.DUPLICATES_UNKNOWN, "what was handled before is not known"
    for refused, code, detail in (
        (block.epoch < facts.epoch, reason.EPOCH_STALE, f"epoch {block.epoch}, the arbiter's is {facts.epoch}"),
        (block.epoch > facts.epoch, reason.EPOCH_AHEAD, f"epoch {block.epoch}, the arbiter's is {facts.epoch}"),
        (block.id in facts.blocks_handled, reason.DUPLICATE_BLOCK, f"block {block.id} was handled before"),
        (len(block.intents) > INTENTS_MAX, reason.BLOCK_TOO_LARGE, f"{len(block.intents)} intents"),
        (age_ns < -nanos(parameters.clock_skew_s_max), reason.BLOCK_FUTURE, f"{-age_ns / 1e9:.3f} s ahead"),
        (
            age_ns > nanos(parameters.block_age_s_max),
            reason.BLOCK_EXPIRED,
            f"{age_ns / 1e9:.3f} s old, allowed {parameters.block_age_s_max}",
        ),
    ):
        if refused:
            return code, detail
    return None


def _refused_intents(block: IntentBlock, facts: SigningFacts) -> tuple[RefusedIntent, ...]:
    """Return the intents that expired, were handled before, or stand in the block a second time."""
    handled = facts.intents_handled
    assert handled is not None, "a block is not accepted before it is known what was handled"
    refused: list[RefusedIntent] = []
    met: dict[str, bool] = {}
    for index, intent in enumerate(block.intents):
        reason, detail = None, ""
        if intent.id in handled:
            reason, detail = SignatureReason.DUPLICATE_INTENT, "handled before"
        elif intent.id in met:
            reason, detail = SignatureReason.DUPLICATE_INTENT, "stands twice in the block"
        elif facts.now_ns >= intent.expires_ns:
            late_s = (facts.now_ns - intent.expires_ns) / 1e9
            reason, detail = SignatureReason.INTENT_EXPIRED, f"expired {late_s:.3f} s ago"
        met[intent.id] = True
        if reason is not None:
            refused.append(RefusedIntent(index=index, intent=intent.id, reason=reason, detail=detail))
    return tuple(refused)
