"""Owns the exits that the barrier models ask for: halving a position once, and a soft stop that only tightens.

``scale_out_50pct``: when the adverse event's p* exceeds .65 (the peak for a long, the valley for a short), |target| is
capped at half of the size held at that moment. The cap is latched: it is set once per position and lasts until the
position is flat or changes its sign. It counts shares, so that it does not move with the price.

``tighten_sl``: when the favourable event's p* falls below .30, a soft stop is set 1 sigma_5m behind the last price, or
moved there if that is closer than before; it never moves away. No order rests at the broker: the arbiter watches the
stop, and once the price has touched it the target is 0 until the position is flat, even if the price comes back.

``BarrierMemory`` is a value; every function returns the next one. Source of the two rules: document 000, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from walstreet.domain.barrier import BarrierParameters, RebasedBarriers
from walstreet.domain.units import BPS, BoolArray, FloatArray, IntArray

MEMORIES_MAX = 5_000
"""Positions remembered; more come from a broken universe."""
NO_CAP = -1
NO_STOP = 0
PRICE_NANO_MAX = 2**62 - 1
"""A stop is below twice the price, so below int64's end."""

assert np.iinfo(np.int64).max > 2 * PRICE_NANO_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierMemory:
    """What the exits remember about one position."""

    direction: int = 0
    """Sign of the position; 0 is flat, and then nothing else is set."""
    cap_micro: int = NO_CAP
    """Largest |target| in 1e-6 shares since the scale-out latched; ``NO_CAP`` before."""
    stop_nano: int = NO_STOP
    """Soft stop in 1e-9 USD; ``NO_STOP`` without one."""
    stop_hit: bool = False
    """The price has touched the stop; latched."""

    def canonical(self) -> tuple[int, int, int, bool]:
        """Return the content for a digest."""
        return self.direction, self.cap_micro, self.stop_nano, self.stop_hit


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """What the exits ask of this cycle, (N,) each, and the memories after it."""

    memories: dict[str, BarrierMemory]
    """Of held symbols only; symbols that the cycle does not name keep theirs."""
    cap_micro: IntArray
    """``NO_CAP`` where |target| is free."""
    stop_nano: IntArray
    stop_hit: BoolArray
    scale_out: BoolArray
    """The scale-out latched in this cycle."""
    tighten_stop: BoolArray
    """The stop was set or came closer in this cycle."""


def on_position(memory: BarrierMemory, position_micro: int) -> BarrierMemory:
    """Return the memory after a fill: unchanged while the sign stays, empty once it is flat or has flipped."""
    direction = (position_micro > 0) - (position_micro < 0)
    return memory if direction == memory.direction else BarrierMemory(direction=direction)


def after_fill(memories: Mapping[str, BarrierMemory], symbol: str, position_micro: int) -> dict[str, BarrierMemory]:
    """Return the memories after a fill, so that a position closed and reopened between two cycles starts afresh."""
    after = dict(memories)
    memory = on_position(after.pop(symbol, BarrierMemory()), position_micro)
    if memory.direction != 0:
        after[symbol] = memory
    return after


def watch_stop(memory: BarrierMemory, price_nano: int) -> BarrierMemory:
    """Return the memory after a price; the stop is hit when the price touches it. A price of 0 is unknown."""
    if memory.stop_hit or memory.stop_nano == NO_STOP or price_nano <= 0:
        return memory
    hit = memory.direction * (price_nano - memory.stop_nano) <= 0
    return replace(memory, stop_hit=True) if hit else memory


def stop_candidate_nano(direction: int, price_nano: int, sigma_5m_bps: float, stop_sigmas: float) -> int:
    """Return ``price * (1 -+ stop_sigmas * sigma_5m / 1e4)`` in 1e-9 USD; ``NO_STOP`` where an input is missing."""
    if price_nano <= 0 or not 0.0 < sigma_5m_bps < float("inf"):
        return NO_STOP
    # A float distance keeps 15 digits, far below a tick; the subtraction is exact, so that the sides mirror each other.
    distance = float(price_nano) * (stop_sigmas * sigma_5m_bps) / BPS
    if distance >= price_nano or price_nano > PRICE_NANO_MAX:
        return NO_STOP
    return price_nano - direction * max(1, int(distance))


def update(
    memory: BarrierMemory,
    *,
    position_micro: int,
    price_nano: int,
    sigma_5m_bps: float,
    adverse: float,
    favourable: float,
    parameters: BarrierParameters,
) -> BarrierMemory:
    """Return the memory after one cycle.

    Args:
        memory: Of this symbol.
        position_micro: Signed shares held, in 1e-6.
        price_nano: Last price (the mid), in 1e-9 USD; 0 is unknown and neither hits nor moves a stop.
        sigma_5m_bps: Volatility over five minutes; NaN leaves the stop where it is.
        adverse: p* of the event against the position (peak for a long, valley for a short).
        favourable: p* of the event for it.
        parameters: Thresholds.
    """
    current = watch_stop(on_position(memory, position_micro), price_nano)
    if current.direction == 0:
        return current
    if adverse > parameters.scale_out and current.cap_micro == NO_CAP:
        current = replace(current, cap_micro=abs(position_micro) // 2)
    if favourable < parameters.tighten_stop and not current.stop_hit:
        candidate = stop_candidate_nano(current.direction, price_nano, sigma_5m_bps, parameters.stop_sigmas)
        closer = current.stop_nano == NO_STOP or current.direction * (candidate - current.stop_nano) > 0
        if candidate != NO_STOP and closer:
            current = replace(current, stop_nano=candidate)
    return current


def update_all(
    memories: Mapping[str, BarrierMemory],
    *,
    symbols: Sequence[str],
    position_micro: IntArray,
    price_nano: IntArray,
    sigma_5m_bps: FloatArray,
    barriers: RebasedBarriers,
    parameters: BarrierParameters,
) -> ExitPlan:
    """Return the memories and the exits of one cycle; see ``update`` for the arguments, which are (N,) here."""
    long = position_micro > 0
    adverse = np.where(long, barriers.peak_long, barriers.valley_short).tolist()
    favourable = np.where(long, barriers.valley_long, barriers.peak_short).tolist()
    positions, prices, sigmas = position_micro.tolist(), price_nano.tolist(), sigma_5m_bps.tolist()
    empty, after = BarrierMemory(), dict(memories)
    rows: list[BarrierMemory] = []
    scale_out, tighten = np.zeros(len(symbols), dtype=np.bool_), np.zeros(len(symbols), dtype=np.bool_)
    for index, symbol in enumerate(symbols):
        before = on_position(memories.get(symbol, empty), positions[index])
        memory = update(
            before,
            position_micro=positions[index],
            price_nano=prices[index],
            sigma_5m_bps=sigmas[index],
            adverse=adverse[index],
            favourable=favourable[index],
            parameters=parameters,
        )
        scale_out[index] = memory.cap_micro != before.cap_micro
        tighten[index] = memory.stop_nano != before.stop_nano
        rows.append(memory)
        after.pop(symbol, None)
        if memory.direction != 0:
            after[symbol] = memory
    assert len(after) <= MEMORIES_MAX, f"{len(after)} positions are remembered, at most {MEMORIES_MAX} are possible"
    return ExitPlan(
        memories=after,
        cap_micro=np.array([memory.cap_micro for memory in rows], dtype=np.int64),
        stop_nano=np.array([memory.stop_nano for memory in rows], dtype=np.int64),
        stop_hit=np.array([memory.stop_hit for memory in rows], dtype=np.bool_),
        scale_out=scale_out,
        tighten_stop=tighten,
    )


def canonical(memories: Mapping[str, BarrierMemory]) -> tuple[tuple[str, tuple[int, int, int, bool]], ...]:
    """Return all memories for a digest, sorted by symbol."""
    return tuple((symbol, memories[symbol].canonical()) for symbol in sorted(memories))


def apply_exits(
    targets: FloatArray, current: FloatArray, position_micro: IntArray, movable: BoolArray, plan: ExitPlan
) -> FloatArray:
    """Return (N,) targets after the exits: 0 where the stop is hit, else within the scale-out's cap.

    Args:
        targets: (N,) wanted weights.
        current: (N,) weights held. Where an unvalued position (NaN) is capped, the target is 0.
        position_micro: (N,) shares held, which ``current`` values.
        movable: (N,) False where the weight is given this cycle and cannot be changed.
        plan: From ``update_all`` with the same positions.
    """
    held = np.abs(position_micro)
    capped = (plan.cap_micro != NO_CAP) & (held > 0)
    share = np.where(capped, plan.cap_micro / np.maximum(held, 1), 0.0)
    cap = np.where(np.isfinite(current), np.abs(current) * share, 0.0)
    limited = np.where(capped, np.clip(targets, -cap, cap), targets)
    return np.where(movable, np.where(plan.stop_hit, 0.0, limited), targets)
