"""Owns what execution does with the seal of an intent block: judge it, remember it, and refuse what is not believed.

The judgement is made before the block is folded, with the time that was known without it: a block must not vouch for
its own time. A block that is not believed leaves no trace in the state, or it could use up the identities of blocks
and intents that the arbiter is still to send.
"""

from __future__ import annotations

from dataclasses import dataclass

from walstreet.domain.execution_parents import note_parents, note_residuals
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.signing import (
    UNBELIEVED,
    BlockVerdict,
    SignatureReason,
    SigningFacts,
    SigningParameters,
    verify,
)
from walstreet_events import QUANTITY_SCALE, IntentBlock, OrderRefused, derive_id, tag_of

REFUSALS_UNBELIEVED_MAX = 20
"""Refusals journaled for one block that is not believed: whoever sent it must not fill the log."""
TEXT_MAX = 64
"""Characters of a name from an unbelieved block that are repeated."""


@dataclass(frozen=True, slots=True)
class _Handled:
    """The intents that were decided or wait for an answer; satisfies ``Container``."""

    state: ExecutionState

    def __contains__(self, intent: object) -> bool:
        return isinstance(intent, str) and self.state.handled(intent)


def judge_block(
    state: ExecutionState, block: IntentBlock, keys: tuple[bytes, ...], parameters: SigningParameters
) -> BlockVerdict:
    """Return whether ``block``, which ``state`` does not contain yet, may be acted on."""
    facts = SigningFacts(
        now_ns=state.now_ns(),
        epoch=state.arbiter_epoch,
        blocks_handled=state.blocks,
        intents_handled=_Handled(state),
    )
    return verify(block, keys=keys, facts=facts, parameters=parameters)


def note_block(state: ExecutionState, block: IntentBlock, verdict: BlockVerdict) -> None:
    """Fold a block that was judged."""
    state.verdict = verdict
    # Counted whatever the verdict, so that refusals of repeated blocks have ids of their own in every life.
    state.blocks_seen += 1
    if verdict.reason in UNBELIEVED:
        return
    state.blocks.setdefault(block.id, block.ts_ns)
    if verdict.reason is not SignatureReason.BLOCK_FUTURE:
        state.clock_ns = max(state.clock_ns, block.ts_ns)


def note_units(state: ExecutionState, block: IntentBlock, *, fractional: bool) -> None:
    """Fold the parents of a block that is believed, and what of them is too small to be ordered.

    Believed, not accepted: age and repetition are judged by the clock, which in replay is behind what it was. A parent
    without a submission of its own is never worked.
    """
    if state.verdict is None or state.verdict.reason in UNBELIEVED:
        return
    new = note_parents(state.parents, block)
    if state.verdict.accepted:
        kept = [name for name in state.undecided if name in state.parents]
        state.undecided = dict.fromkeys([*kept, *new])
    units = {
        symbol: 1 if fractional else max(QUANTITY_SCALE, instrument.lot_micro)
        for symbol, instrument in state.instruments.items()
    }
    note_residuals(state.residual_micro, block, units)


def refuse_block(state: ExecutionState, block: IntentBlock, verdict: BlockVerdict, now_ns: int) -> list[OrderRefused]:
    """Return the refusals of a block that may not be acted on: one for each intent, at least one."""
    reason = verdict.reason
    assert reason is not None, "an accepted block is decided intent by intent"
    unbelieved = reason in UNBELIEVED
    named: list[tuple[str, str, str]] = []
    for intent in block.intents[: REFUSALS_UNBELIEVED_MAX if unbelieved else len(block.intents)]:
        # Names that nobody vouches for are quoted, never used: an intent of that name may be at work.
        symbol = intent.symbol if intent.symbol in state.instruments else ""
        quoted = f"; it calls itself {intent.id[:TEXT_MAX]!r} for {intent.symbol[:TEXT_MAX]!r}"
        named.append(("", symbol, quoted) if unbelieved else (intent.id, intent.symbol, ""))
    detail = verdict.detail if not unbelieved else _shortened(verdict.detail, block)
    return [
        OrderRefused(
            id=derive_id(f"{block.id}:{reason.value}:{state.blocks_seen}", tag_of(OrderRefused), index),
            cause=block.id,
            ts_ns=now_ns,
            intent=name,
            symbol=symbol,
            reason=reason.value,
            detail=detail + quoted,
            quote=None,
        )
        for index, (name, symbol, quoted) in enumerate(named or [("", "", "; it holds no intent")])
    ]


def _shortened(detail: str, block: IntentBlock) -> str:
    text = detail.replace(block.id, block.id[:TEXT_MAX])
    return f"{text}; {len(block.intents)} intents under epoch {block.epoch}"
