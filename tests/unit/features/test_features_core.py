"""Tests of the decision core of the features service."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from walstreet.features import FeatureParameters
from walstreet.features.core import FeaturesCore, FeaturesState
from walstreet_events import (
    BarBlock,
    ClockTick,
    FeatureBlock,
    InstrumentRef,
    Service,
    SessionRef,
    SymbolStatus,
)

MINUTE_NS = 60_000_000_000
ZERO = "0" * 32
BarSource = Callable[..., list[BarBlock]]


def _session(bars: list[BarBlock], **changes: object) -> SessionRef:
    open_ns = bars[0].ts_ns - MINUTE_NS
    session = SessionRef(
        id=ZERO,
        cause=ZERO,
        ts_ns=open_ns,
        session_date="2024-03-05",
        open_ns=open_ns,
        close_ns=open_ns + 390 * MINUTE_NS,
        symbols=bars[0].symbols,
        bar_ns=MINUTE_NS,
        market="synthetic",
    )
    return msgspec.structs.replace(session, **changes)


def _run(core: FeaturesCore, state: FeaturesState, bars: list[BarBlock]) -> list[FeatureBlock]:
    blocks: list[FeatureBlock] = []
    for bar in bars:
        state = core.evolve(state, bar)
        blocks += [block for block in core.decide(state, bar) if isinstance(block, FeatureBlock)]
    return blocks


def test_every_bar_gives_one_block_with_the_market_frozen_in_it(make_bars: BarSource) -> None:
    """Warm-up or not, a block carries the bar's own quote fields, its time and its cause."""
    core = FeaturesCore(FeatureParameters())
    assert core.service is Service.FEATURES
    bars = make_bars(minutes=4, quoted=False) + make_bars(minutes=130, day=1)
    state = core.evolve(core.initial(), _session(bars[4:]))
    blocks = _run(core, state, bars)
    assert len(blocks) == len(bars)
    for bar, block in zip(bars, blocks, strict=True):
        assert (block.cause, block.ts_ns, block.warmup) == (bar.id, bar.ts_ns, bar.warmup)
        assert (block.bid_nano, block.ask_nano, block.close_nano) == (bar.bid_nano, bar.ask_nano, bar.close_nano)
        assert (block.quote_ts_ns, block.flags) == (bar.quote_ts_ns, bar.flags)
    assert len({block.id for block in blocks}) == len(blocks)
    np.testing.assert_allclose(
        blocks[-1].sigma_day_bps.array(), blocks[-1].sigma_5m_bps.array() * np.sqrt(78.0), rtol=1e-14
    )


def test_volume_reference_and_halts_reach_the_block(make_bars: BarSource) -> None:
    """Average daily volume is copied, unknown is 0; a halted symbol is not ready until it resumes."""
    core = FeaturesCore(FeatureParameters())
    bars = make_bars(minutes=130)
    state = core.evolve(core.initial(), _session(bars))
    reference = InstrumentRef(
        id=ZERO,
        cause=ZERO,
        ts_ns=0,
        symbol="S02",
        con_id=3,
        exchange="SMART",
        primary_exchange="NYSE",
        currency="USD",
        sector="",
        min_tick_nano=10_000_000,
        lot_micro=100_000_000,
        prior_close_nano=0,
        average_daily_volume_micro=77,
    )
    state = core.evolve(state, reference)
    state = core.evolve(state, msgspec.structs.replace(reference, symbol="OTHER"))
    halt = SymbolStatus(id=ZERO, cause=ZERO, ts_ns=0, symbol="S01", halted=True, detail="")
    state = core.evolve(state, halt)
    halted = _run(core, state, bars[:125])[-1]
    assert halted.average_daily_volume_micro.array().tolist() == [0, 0, 77]
    assert halted.ready.array().tolist() == [1, 0, 1]
    state = core.evolve(state, msgspec.structs.replace(halt, halted=False))
    assert _run(core, state, bars[125:])[-1].ready.array().tolist() == [1, 1, 1]


def test_a_repeated_bar_changes_nothing_and_gives_no_block(make_bars: BarSource) -> None:
    """History that is asked for twice is recognised by its time."""
    core = FeaturesCore(FeatureParameters())
    bars = make_bars(minutes=10)
    state = core.evolve(core.initial(), _session(bars))
    blocks = _run(core, state, [*bars[:6], *bars[2:5], *bars[6:]])
    straight = _run(core, core.evolve(core.initial(), _session(bars)), bars)
    assert blocks == straight


def test_other_symbols_are_a_malformed_event(make_bars: BarSource) -> None:
    """A block with symbols that the session does not have names both sides; so does one before any session."""
    core = FeaturesCore(FeatureParameters())
    bars = make_bars(minutes=2)
    with pytest.raises(ValueError, match="before any SessionRef"):
        core.evolve(core.initial(), bars[0])
    state = core.evolve(core.initial(), _session(bars))
    with pytest.raises(ValueError, match="only with a new SessionRef"):
        core.evolve(state, msgspec.structs.replace(bars[0], symbols=("A", "B", "C")))


def test_a_new_universe_starts_from_nothing_and_the_same_one_goes_on(make_bars: BarSource) -> None:
    """The next session of the same symbols keeps their history; other symbols do not inherit it."""
    core = FeaturesCore(FeatureParameters())
    first, second = make_bars(minutes=130), make_bars(minutes=2, day=1)
    state = core.evolve(core.initial(), _session(first))
    _run(core, state, first)
    state = core.evolve(state, _session(second))
    assert _run(core, state, second)[0].ready.array().tolist() == [1, 1, 1]
    state = core.evolve(state, _session(second, symbols=("A", "B", "C")))
    renamed = [msgspec.structs.replace(bar, symbols=("A", "B", "C")) for bar in second]
    assert _run(core, state, renamed)[0].ready.array().tolist() == [0, 0, 0]


def test_other_events_give_nothing(make_bars: BarSource) -> None:
    """The core answers bars only and observes nothing."""
    core = FeaturesCore(FeatureParameters())
    tick = ClockTick(id=ZERO, cause=ZERO, ts_ns=5, session_date="2024-03-05")
    state = core.evolve(core.initial(), tick)
    assert tuple(core.decide(state, tick)) == ()
    assert tuple(core.observe(state, object())) == ()
