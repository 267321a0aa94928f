"""Owns the rows of the wire format: events per second, encoded and decoded, against two kinds of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from walstreet.features import FEATURE_COUNT
from walstreet.testing.bench.row import BenchError, Row, Setup, make_row
from walstreet.testing.bench.timing import interleaved_rates
from walstreet.testing.bench.wire_peers import json_bytes, json_fields
from walstreet.testing.events import every_event
from walstreet_events import (
    AnyEvent,
    Decision,
    FeatureBlock,
    FloatBlock,
    IntBlock,
    OrderFilled,
    decode,
    encode,
    float_block,
    int_block,
)
from walstreet_events.decision import Column, Verdict

SEED: Final = 11
SYMBOL_COUNT: Final = 20
HORIZONS_MINUTES: Final = (5, 10, 15, 30, 60)
DECISION_COLUMNS: Final = 24
"""Columns per symbol of a decision record; what the arbiter writes is of this size."""
CALLS: Final = 20
QUICK_ROUNDS: Final = 15
FULL_ROUNDS: Final = 200
WARM_UP_ROUNDS: Final = 5
JSON_TARGET: Final = 5.0
MSGSPEC_JSON_TARGET: Final = 1.0

_json_encoder = msgspec.json.Encoder()
_json_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def event_rows(setup: Setup) -> list[Row]:
    """Measure encode and decode of a feature block, a fill and a decision."""
    rounds = setup.pick(quick=QUICK_ROUNDS, full=FULL_ROUNDS)
    rows: list[Row] = []
    for event in sample_events():
        rows += _rows_of(event, rounds)
    return rows


def sample_events() -> list[AnyEvent]:
    """Return one event of each measured type, of the size that a universe of ``SYMBOL_COUNT`` gives."""
    examples = every_event()
    fill = examples["order_filled.v1"]
    if not isinstance(fill, OrderFilled):
        raise BenchError("the example of order_filled.v1 is no OrderFilled")
    return [feature_block(SYMBOL_COUNT, FEATURE_COUNT), fill, _decision(SYMBOL_COUNT)]


def feature_block(symbol_count: int, feature_count: int) -> FeatureBlock:
    """Return a feature block of ``(symbol_count, feature_count)`` values without NaN, which JSON cannot say."""
    generator = np.random.default_rng(SEED)
    example = every_event()["feature_block.v1"]
    if not isinstance(example, FeatureBlock):
        raise BenchError("the example of feature_block.v1 is no FeatureBlock")
    changed: dict[str, object] = {"symbols": _symbols(symbol_count)}
    for name in example.__struct_fields__:
        value = getattr(example, name)
        shape = (symbol_count, feature_count) if name == "values" else (symbol_count,)
        if isinstance(value, FloatBlock):
            changed[name] = float_block(generator.normal(0.0, 2.0, shape))
        elif isinstance(value, IntBlock):
            changed[name] = int_block(generator.integers(0, 1 << 40, shape))
    return msgspec.structs.replace(example, **changed)


def _decision(symbol_count: int) -> Decision:
    generator = np.random.default_rng(SEED)
    example = every_event()["decision.v1"]
    if not isinstance(example, Decision):
        raise BenchError("the example of decision.v1 is no Decision")
    columns = [
        Column(name=f"column_{number}", unit="bps", values=float_block(generator.normal(0.0, 5.0, symbol_count)))
        for number in range(DECISION_COLUMNS)
    ]
    shape = (len(HORIZONS_MINUTES), symbol_count)
    columns.append(Column(name="alpha", unit="bps", values=float_block(generator.normal(0.0, 5.0, shape))))
    return msgspec.structs.replace(
        example,
        symbols=_symbols(symbol_count),
        horizons_minutes=HORIZONS_MINUTES,
        verdicts=(Verdict.HOLD,) * symbol_count,
        columns=tuple(columns),
    )


def _symbols(count: int) -> tuple[str, ...]:
    return tuple(f"S{number:04d}" for number in range(count))


def _rows_of(event: AnyEvent, rounds: int) -> list[Row]:
    ours, plain, typed = encode(event), json_bytes(event), _json_encoder.encode(event)
    if decode(ours) != event or _json_decoder.decode(typed) != event:
        raise BenchError(f"{type(event).__name__} does not survive a round trip; a race between wrong answers is none")
    sizes = f"{type(event).__name__}, {len(ours):,} bytes"
    encoders: tuple[Callable[[], object], ...] = (
        lambda: encode(event),
        lambda: json_bytes(event),
        lambda: _json_encoder.encode(event),
    )
    decoders: tuple[Callable[[], object], ...] = (
        lambda: decode(ours),
        lambda: json_fields(plain),
        lambda: _json_decoder.decode(typed),
    )
    rows = []
    for name, works in (("encode", encoders), ("decode", decoders)):
        mine, stdlib, msgspec_json = interleaved_rates(works, calls=CALLS, rounds=rounds, warm_up=WARM_UP_ROUNDS)
        for peer, theirs, target in (
            ("json", stdlib, JSON_TARGET),
            ("msgspec json", msgspec_json, MSGSPEC_JSON_TARGET),
        ):
            rows.append(
                make_row(
                    name=name,
                    size=sizes,
                    unit="events/s",
                    samples=mine,
                    peer=peer,
                    peer_samples=theirs,
                    target=target,
                )
            )
    return rows
