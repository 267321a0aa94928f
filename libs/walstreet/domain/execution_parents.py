"""Owns what execution remembers of parents while they may still be worked: the intent and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from walstreet_events import NANOS_PER_SECOND, EventId, IntentBlock, OrderIntent, Side

KEEP_NS = 3_600 * NANOS_PER_SECOND
"""After its expiry a parent is remembered for so long; no order of it lives longer, protective ones aside."""
PARENTS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentWork:
    """One intent of a block that was believed."""

    intent: OrderIntent
    block: EventId
    index: int
    """Of the intent in its block."""
    mode: str
    """Mode in which the block was decided."""


def note_parents(parents: dict[str, ParentWork], block: IntentBlock) -> list[str]:
    """Remember the intents of ``block``, the first of each name, and forget those that are long over.

    Returns:
        The names that are new.
    """
    over = [key for key, parent in parents.items() if parent.intent.expires_ns < block.ts_ns - KEEP_NS]
    for key in over:
        del parents[key]
    new: list[str] = []
    for index, intent in enumerate(block.intents):
        if intent.id not in parents and len(parents) < PARENTS_MAX:
            parents[intent.id] = ParentWork(intent=intent, block=block.id, index=index, mode=block.mode)
            new.append(intent.id)
    return new


def note_residuals(residual_micro: dict[str, int], block: IntentBlock, unit_micro: dict[str, int]) -> None:
    """Keep the signed part of each symbol's newest intent that is too small to be ordered.

    It is not added to the next intent: the arbiter plans from positions, so its next target contains it already.
    """
    for intent in block.intents:
        rest = intent.quantity_micro % unit_micro.get(intent.symbol, 1)
        residual_micro[intent.symbol] = rest if intent.side is Side.BUY else -rest
