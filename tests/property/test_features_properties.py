"""Properties of features: the same code offline and live, no look-ahead, no dependence on the symbols' order."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.features import FEATURE_NAMES, FeatureBuilder, FeatureParameters, compute_features
from walstreet.features.core import FeaturesCore
from walstreet_events import BarBlock, BarFlag, FeatureBlock, SessionRef, decode, derive_id, encode, int_block

MINUTE_NS = 60_000_000_000
OPEN_NS = 1_709_649_000_000_000_000
DAY_NS = 86_400_000_000_000
ZERO = "0" * 32
BAR_FIELDS = (
    "open_nano",
    "high_nano",
    "low_nano",
    "close_nano",
    "volume_micro",
    "trade_count",
    "vwap_nano",
    "bid_nano",
    "ask_nano",
    "bid_size_micro",
    "ask_size_micro",
    "spread_mean_nano",
    "signed_volume_micro",
    "quote_count",
    "quote_ts_ns",
    "flags",
)


def _bars(seed: int, *, width: int, bars: int) -> list[BarBlock]:
    """Return two sessions of wild but well-formed bars: empty ones, missing quotes, jumps, a late listing."""
    rng = np.random.default_rng(seed)
    close = rng.integers(500, 50_000, width) * 10_000_000
    blocks = []
    for index in range(bars):
        session, minute = divmod(index, bars // 2)
        step = np.exp(rng.standard_t(3, width) * 5e-4)
        empty = rng.random(width) < 0.2
        quoted = rng.random(width) < 0.8
        open_ = close
        close = np.where(empty, close, np.rint(close * step / 1e7).astype(np.int64) * 10_000_000)
        unlisted = (np.arange(width) == 0) & (index < bars // 4)
        high = np.maximum(open_, close) + 10_000_000 * rng.integers(0, 3, width) * ~empty
        low = np.minimum(open_, close) - 10_000_000 * rng.integers(0, 3, width) * ~empty
        volume = np.where(empty, 0, rng.integers(1, 10_000, width) * 1_000_000)
        columns = {
            "open_nano": open_,
            "high_nano": high,
            "low_nano": low,
            "close_nano": close,
            "vwap_nano": (high + low) // 2,
            "volume_micro": volume,
            "signed_volume_micro": (volume * rng.uniform(-1, 1, width)).astype(np.int64),
            "bid_nano": np.where(quoted, close - 10_000_000, 0),
            "ask_nano": np.where(quoted, close + 10_000_000, 0),
            "bid_size_micro": rng.integers(0, 9, width) * 100_000_000,
            "ask_size_micro": rng.integers(0, 9, width) * 100_000_000,
            "spread_mean_nano": np.where(quoted, 20_000_000, 0),
            "flags": np.where(empty, int(BarFlag.EMPTY), 0) | np.where(quoted, 0, int(BarFlag.NO_QUOTE)),
        }
        ts_ns = OPEN_NS + session * DAY_NS + (minute + 1) * MINUTE_NS
        fields = {
            name: int_block(np.where(unlisted, 0, columns.get(name, np.zeros(width, dtype=np.int64))))
            for name in BAR_FIELDS
        }
        blocks.append(
            BarBlock(
                id=derive_id(f"bar:{ts_ns}", "bar", 0),
                cause=ZERO,
                ts_ns=ts_ns,
                symbols=tuple(f"S{number:02d}" for number in range(width)),
                bar_ns=MINUTE_NS,
                warmup=session == 0,
                **fields,
            )
        )
    return blocks


def _permuted(block: BarBlock, order: np.ndarray) -> BarBlock:
    changes = {name: int_block(getattr(block, name).array()[order]) for name in BAR_FIELDS}
    return msgspec.structs.replace(block, symbols=tuple(block.symbols[index] for index in order), **changes)


def _offline(blocks: list[BarBlock]) -> np.ndarray:
    builder = FeatureBuilder(blocks[0].symbols, FeatureParameters(), bar_ns=MINUTE_NS)
    return np.stack([row.values for row in compute_features(builder, blocks)])


def _session(blocks: list[BarBlock]) -> SessionRef:
    open_ns = blocks[-1].ts_ns - len(blocks) // 2 * MINUTE_NS
    return SessionRef(
        id=ZERO,
        cause=ZERO,
        ts_ns=0,
        session_date="2024-03-06",
        open_ns=open_ns,
        close_ns=open_ns + 390 * MINUTE_NS,
        symbols=blocks[0].symbols,
        bar_ns=MINUTE_NS,
        market="synthetic",
    )


def _live(core: FeaturesCore, state: object, blocks: list[BarBlock]) -> list[FeatureBlock]:
    outputs: list[FeatureBlock] = []
    for block in blocks:
        state = core.evolve(state, block)
        for output in core.decide(state, block):
            state = core.evolve(state, output)
            outputs.append(output)
    return outputs


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.integers(1, 6))
def test_live_equals_offline_to_the_bit(seed: int, width: int) -> None:
    """The service's blocks, through the wire, hold the same bytes as the offline computation."""
    blocks = _bars(seed, width=width, bars=260)
    core = FeaturesCore(FeatureParameters())
    state = core.evolve(core.initial(), _session(blocks))
    live = _live(core, state, [decode(encode(block)) for block in blocks])
    values = np.stack([block.values.array() for block in live])
    assert values.tobytes() == _offline(blocks).tobytes()
    assert np.isfinite(values[-1][1:]).all()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), shuffle=st.integers(0, 2**32))
def test_permuting_the_symbols_permutes_the_rows(seed: int, shuffle: int) -> None:
    """Cross-sectional features included, no bit depends on the order of the symbols."""
    blocks = _bars(seed, width=7, bars=200)
    order = np.random.default_rng(shuffle).permutation(7)
    straight = _offline(blocks)
    permuted = _offline([_permuted(block, order) for block in blocks])
    assert np.ascontiguousarray(straight[:, order]).tobytes() == permuted.tobytes()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 199))
def test_the_future_does_not_change_the_past(seed: int, cut: int) -> None:
    """Whatever bars follow, the rows until then keep their bytes."""
    blocks = _bars(seed, width=4, bars=200)
    future = [
        msgspec.structs.replace(old, **{name: getattr(new, name) for name in BAR_FIELDS})
        for old, new in zip(blocks, _bars(seed + 1, width=4, bars=200), strict=True)
    ]
    assert _offline(blocks)[:cut].tobytes() == _offline([*blocks[:cut], *future[cut:]])[:cut].tobytes()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), crash=st.integers(1, 199))
def test_replay_rebuilds_the_state(seed: int, crash: int) -> None:
    """After folding inputs and own outputs with evolve alone, the next blocks are byte-identical."""
    blocks = _bars(seed, width=3, bars=200)
    core = FeaturesCore(FeatureParameters())
    straight = _live(core, core.evolve(core.initial(), _session(blocks)), blocks)
    restarted = FeaturesCore(FeatureParameters())
    state = restarted.evolve(restarted.initial(), _session(blocks))
    for block, output in zip(blocks[:crash], straight[:crash], strict=True):
        state = restarted.evolve(restarted.evolve(state, block), output)
    after = _live(restarted, state, blocks[crash:])
    assert [encode(block) for block in after] == [encode(block) for block in straight[crash:]]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_no_content_of_a_bar_raises_or_reaches_another_symbol_for_good(data: st.DataObject, seed: int) -> None:
    """Arbitrary integers in one symbol's bar fail that symbol only, and every finite feature stays bounded."""
    blocks = _bars(seed, width=3, bars=140)
    wild = st.integers(-(2**63), 2**63 - 1)
    for index in data.draw(st.lists(st.integers(0, 139), max_size=6)):
        changes = {}
        for name in BAR_FIELDS:
            values = getattr(blocks[index], name).array().copy()
            values[2] = data.draw(wild)
            changes[name] = int_block(values)
        blocks[index] = msgspec.structs.replace(blocks[index], **changes)
    values = _offline(blocks)
    finite = values[np.isfinite(values)]
    assert (np.abs(finite) <= FeatureParameters().value_limit).all()
    own = [FEATURE_NAMES.index(name) for name in ("ret_120", "rsi_14", "position_120", "flow_60")]
    assert np.isfinite(values[-1, 1][own]).all()
