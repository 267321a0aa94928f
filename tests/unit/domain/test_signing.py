"""Owns the tests of signed intent blocks: what is believed, and the code of everything that is not."""

import dataclasses
import hashlib

import msgspec
import pytest

from walstreet.domain.signing import (
    INTENTS_MAX,
    PREFIX,
    SIGNATURE_BYTES,
    SignatureReason,
    SigningFacts,
    SigningParameters,
    canonical_bytes,
    sign,
    verify,
)
from walstreet_events import NANOS_PER_SECOND, ROOT, EventId, IntentBlock, OrderIntent, Side, decode, encode

S = NANOS_PER_SECOND
NOW = 1_800_000_000 * S
KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
DEFAULTS = SigningParameters()
INTENT = OrderIntent(
    id="i1",
    symbol="A",
    con_id=1,
    side=Side.BUY,
    quantity_micro=1_000_000,
    reducing=False,
    horizon_minutes=5,
    arrival_mid_nano=100 * 10**9,
    tif_s=15,
    expires_ns=NOW + 10 * S,
    alpha_bps=12.5,
    target_weight=0.01,
)
BLOCK = IntentBlock(
    id=EventId("b" * 32), cause=ROOT, ts_ns=NOW - S, decision="d1", mode="live", intents=(INTENT,), epoch=7
)
SIGNED = sign(BLOCK, KEY)
FACTS = SigningFacts(now_ns=NOW, epoch=7, blocks_handled=frozenset(), intents_handled=frozenset())


def verdict(block=SIGNED, *, keys=(KEY,), **changes):
    """Return the verdict of execution."""
    return verify(block, keys=keys, facts=dataclasses.replace(FACTS, **changes), parameters=DEFAULTS)


def resigned(**changes) -> IntentBlock:
    """Return the block with ``changes``, signed as the arbiter would."""
    return sign(msgspec.structs.replace(BLOCK, **changes), KEY)


def test_a_signed_block_is_believed_after_the_wire():
    """The signature has 32 bytes, survives encoding, and signing again gives the same."""
    received = decode(encode(SIGNED))
    assert isinstance(received, IntentBlock)
    result = verdict(received)
    assert (result.accepted, result.reason, result.refused) == (True, None, ())
    assert len(SIGNED.signature) == SIGNATURE_BYTES
    assert sign(SIGNED, KEY) == SIGNED


def test_the_signature_by_hand():
    """HMAC by its definition over the prefix and the bytes: H(K^opad || H(K^ipad || m))."""
    padded = KEY.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + PREFIX + encode(BLOCK)).digest()
    assert SIGNED.signature == hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()
    assert canonical_bytes(SIGNED) == canonical_bytes(BLOCK)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 8},
        {"ts_ns": NOW},
        {"mode": "degraded"},
        {"decision": "d2"},
        {"intents": ()},
        {"id": EventId("c" * 32)},
        {"cause": EventId("d" * 32)},
        {"intents": (INTENT, INTENT)},
        {"signature": SIGNED.signature[:-1]},
        {"signature": SIGNED.signature + b"\0"},
        {"signature": bytes(SIGNATURE_BYTES)},
    ],
)
def test_any_change_breaks_the_signature(changes):
    """Every field of the block is covered."""
    assert verdict(msgspec.structs.replace(SIGNED, **changes)).reason is SignatureReason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity_micro": 1_000_001},
        {"side": Side.SELL},
        {"symbol": "B"},
        {"expires_ns": NOW + 11 * S},
        {"reducing": True},
        {"con_id": 2},
    ],
)
def test_any_change_of_an_intent_breaks_the_signature(changes):
    """So is every field of its intents."""
    intents = (msgspec.structs.replace(INTENT, **changes),)
    assert verdict(msgspec.structs.replace(SIGNED, intents=intents)).reason is SignatureReason.SIGNATURE_INVALID


@pytest.mark.guard("blocks", "seal")
@pytest.mark.guard("missing", "seal")
@pytest.mark.parametrize(
    ("block", "changes", "reason"),
    [
        (BLOCK, {}, SignatureReason.SIGNATURE_MISSING),
        (SIGNED, {"keys": (OTHER,)}, SignatureReason.SIGNATURE_INVALID),
        (SIGNED, {"epoch": None}, SignatureReason.EPOCH_UNKNOWN),
        (SIGNED, {"epoch": 8}, SignatureReason.EPOCH_STALE),
        (SIGNED, {"epoch": 6}, SignatureReason.EPOCH_AHEAD),
        (SIGNED, {"blocks_handled": None}, SignatureReason.DUPLICATES_UNKNOWN),
        (SIGNED, {"intents_handled": None}, SignatureReason.DUPLICATES_UNKNOWN),
        (SIGNED, {"blocks_handled": frozenset({BLOCK.id})}, SignatureReason.DUPLICATE_BLOCK),
        (resigned(ts_ns=NOW - 30 * S - 1), {}, SignatureReason.BLOCK_EXPIRED),
        (resigned(ts_ns=NOW + S + 1), {}, SignatureReason.BLOCK_FUTURE),
        (resigned(intents=(INTENT,) * (INTENTS_MAX + 1)), {}, SignatureReason.BLOCK_TOO_LARGE),
    ],
)
def test_each_failure_has_its_code(block, changes, reason):
    """Refused as a whole: signature, epoch, age, repetition, and what is not known about them."""
    result = verdict(block, **changes)
    assert (result.accepted, result.reason, result.refused) == (False, reason, ())
    assert result.detail


@pytest.mark.guard("passes", "seal")
@pytest.mark.parametrize("ts_ns", [NOW - 30 * S, NOW + S])
def test_a_block_at_the_limits_of_its_age_is_believed(ts_ns):
    """Exactly 30 s old, or exactly a second ahead."""
    assert verdict(resigned(ts_ns=ts_ns)).accepted


def test_nothing_in_an_unsigned_block_is_looked_at():
    """The signature comes before epoch, age and repetition."""
    forged = msgspec.structs.replace(SIGNED, epoch=1, ts_ns=0)
    assert verdict(forged, epoch=None).reason is SignatureReason.SIGNATURE_INVALID


def test_single_intents_are_refused_by_expiry_and_repetition():
    """One handled before, one twice in the block and one expired to the nanosecond; the others go."""
    good, again = INTENT, INTENT
    handled = msgspec.structs.replace(INTENT, id="i2")
    late = msgspec.structs.replace(INTENT, id="i3", expires_ns=NOW)
    last = msgspec.structs.replace(INTENT, id="i4", expires_ns=NOW + 1)
    result = verdict(resigned(intents=(good, handled, again, late, last)), intents_handled=frozenset({"i2"}))
    assert result.accepted
    assert [(item.index, item.intent, item.reason) for item in result.refused] == [
        (1, "i2", SignatureReason.DUPLICATE_INTENT),
        (2, "i1", SignatureReason.DUPLICATE_INTENT),
        (3, "i3", SignatureReason.INTENT_EXPIRED),
    ]


def test_keys_can_be_exchanged():
    """While two keys are known either signs; more, none, and short ones are a fault of the configuration."""
    assert verdict(keys=(OTHER, KEY)).accepted
    assert verdict(sign(BLOCK, OTHER), keys=(OTHER, KEY)).accepted
    for keys in ((), (KEY, OTHER, KEY)):
        with pytest.raises(ValueError, match="keys"):
            verdict(keys=keys)
    with pytest.raises(ValueError, match="31 bytes"):
        verdict(keys=(KEY[:31],))
    with pytest.raises(ValueError, match="0 bytes"):
        sign(BLOCK, b"")


@pytest.mark.parametrize("changes", [{"block_age_s_max": 0.0}, {"clock_skew_s_max": 61.0}])
def test_parameters_out_of_range_are_refused(changes):
    """The message names the section."""
    with pytest.raises(ValueError, match="signing"):
        SigningParameters(**changes)
