"""Owns the honest look at trained models: information coefficients on worlds that no model has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.training.blending import correlation
from walstreet.training.dataset import World, sample
from walstreet.training.zoo import ModelReport


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenScore:
    """How one model did on an unseen world."""

    name: str
    rows: int
    ic: float
    """Correlation of value and label, pooled over symbols and minutes."""
    standard_error: float
    """Of the information coefficient if the (rows / overlap) labels were independent; overlap is the horizon in
    bars, so for minute bars the number of minutes. Correlation between symbols makes it optimistic."""


def unseen_scores(reports: Sequence[ModelReport], worlds: Sequence[World]) -> tuple[UnseenScore, ...]:
    """Return each model's score on ``worlds``, every bar of which counts."""
    rows = sample(worlds, every_bars=1)
    scores: list[UnseenScore] = []
    for report in reports:
        labels = rows.label(report.plan.label)
        numbers = np.flatnonzero(np.isfinite(labels))
        values = report.model.scores(rows, numbers)
        independent = max(len(numbers) / report.plan.horizon_minutes, 2.0)
        scores.append(
            UnseenScore(
                name=report.plan.name,
                rows=len(numbers),
                ic=correlation(values, labels[numbers]),
                standard_error=float(1.0 / np.sqrt(independent)),
            )
        )
    return tuple(scores)
