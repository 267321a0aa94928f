"""Owns which names the rotation chooses: eligibility, rank, correlation cap, and one reason for every symbol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from walstreet.domain.rotation_parameters import RotationParameters


class RotationReason(StrEnum):
    """Why a symbol is chosen or not: the first rule that it fails, in the order of this list."""

    NO_BAR = "no_bar"
    WARMING_UP = "warming_up"
    """An average, the volatility or the correlation window is not complete."""
    TREND_GATE = "trend_gate"
    """The fast EMA is not above the slow one."""
    MACD_GATE = "macd_gate"
    BELOW_FLOOR = "below_floor"
    """Held, and the score fell below ``hold_floor``."""
    BELOW_EMA = "below_ema"
    """The close is below the fast EMA: no entry, and without ``hold_bonus`` the exit of a held name."""
    BELOW_SCORE = "below_score"
    CORRELATED = "correlated"
    """Too correlated with a name of better rank."""
    NO_CORRELATION = "no_correlation"
    """The correlation with a chosen name is unknown, because the returns of one are constant."""
    OUT_OF_TOP = "out_of_top"
    """``top_n`` better names are chosen."""
    CHOSEN = "chosen"


Correlation = Callable[[int, int], float]
"""Correlation of two columns, the smaller first; NaN where unknown."""


def rank(candidates: Sequence[int], scores: Sequence[float], kept: Sequence[bool], hold_bonus: float) -> list[int]:
    """Return the candidates' columns by score, descending; equal scores stay in universe order.

    Args:
        candidates: Columns, ascending.
        scores: (S,) known for every candidate.
        kept: (S,) names that have the bonus.
        hold_bonus: Added to their scores.
    """

    def standing(column: int) -> float:
        return -(scores[column] + hold_bonus) if kept[column] else -scores[column]

    # ``sorted`` is stable, which is what keeps ties in universe order.
    return sorted(candidates, key=standing)


def choose(
    ranked: Sequence[int],
    correlation: Correlation,
    parameters: RotationParameters,
    reasons: dict[int, RotationReason] | None = None,
) -> list[int]:
    """Return at most ``top_n`` chosen columns, best first, no two of them correlated above the cap.

    Args:
        ranked: Columns by rank.
        correlation: Asked only for the pairs that matter.
        parameters: ``top_n``, ``corr_cap`` and ``signed_correlation``.
        reasons: Filled with one reason for each ranked column, if given.
    """
    chosen: list[int] = []
    for column in ranked:
        if len(chosen) == parameters.top_n:
            if reasons is None:
                break
            reasons[column] = RotationReason.OUT_OF_TOP
            continue
        refusal = _refusal(column, chosen, correlation, parameters)
        if refusal is None:
            chosen.append(column)
        if reasons is not None:
            reasons[column] = RotationReason.CHOSEN if refusal is None else refusal
    return chosen


def _refusal(
    column: int, chosen: Sequence[int], correlation: Correlation, parameters: RotationParameters
) -> RotationReason | None:
    for other in chosen:
        value = correlation(min(column, other), max(column, other))
        compared = value if parameters.signed_correlation else abs(value)
        if compared <= parameters.corr_cap:
            continue
        # A NaN fails every comparison, so an unknown correlation is refused like a high one.
        return RotationReason.CORRELATED if compared > parameters.corr_cap else RotationReason.NO_CORRELATION
    return None
