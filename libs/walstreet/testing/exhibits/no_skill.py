"""Owns the exhibit of the mean gate: how often it lets through a signal without skill, and one with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet.domain.conformal import gate
from walstreet.domain.conformal_learn import seed
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState
from walstreet.testing.exhibits.row import Exhibit, Panel, Row
from walstreet.testing.exhibits.worlds import history

NAME = "gate"
COST_SIGMA = 0.1
SKILL = 0.1
PASSED_MAX = 0.05
SKILLED_MIN = 0.3
"""A gate that never opens is a defect, too."""
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of history, ending at the moment at which the gate is asked."""

    name: str
    horizon: int
    rows: int
    symbols: int
    persistence: float
    histories: int


NO_SKILL = (
    Case(name="5 minutes, first moment", horizon=5, rows=100, symbols=20, persistence=0.9, histories=400),
    Case(
        name="15 minutes, first moment, slow scores", horizon=15, rows=300, symbols=20, persistence=0.999, histories=400
    ),
    Case(name="30 minutes, first moment", horizon=30, rows=600, symbols=20, persistence=0.97, histories=400),
    Case(name="5 minutes, full window", horizon=5, rows=2_730, symbols=10, persistence=0.97, histories=200),
    Case(
        name="60 minutes, full window, slow scores",
        horizon=60,
        rows=2_730,
        symbols=10,
        persistence=0.999,
        histories=200,
    ),
    Case(name="120 minutes, full window", horizon=120, rows=2_730, symbols=10, persistence=0.97, histories=200),
)
"""The first moment is twenty horizons side by side, the least with which the gate answers."""
WITH_SKILL = (
    Case(name="5 minutes, full window", horizon=5, rows=2_730, symbols=20, persistence=0.97, histories=50),
    Case(name="60 minutes, full window", horizon=60, rows=2_730, symbols=20, persistence=0.97, histories=50),
)


def exhibit() -> Exhibit:
    """Ask the gate after every history whether any of the symbols passes a cost of .1 sigma."""
    rows: list[Row] = []
    for number, case in enumerate(NO_SKILL):
        share = passed_share(case, np.random.default_rng([SEED, number]), histories=case.histories, skill=0.0)
        rows.append(
            Row(
                exhibit="gate, no skill",
                case=case.name,
                value=share,
                high=PASSED_MAX,
                note=f"{case.histories} histories of {case.rows:,} minutes, {case.symbols} symbols; any passing counts",
            )
        )
    for number, case in enumerate(WITH_SKILL):
        share = passed_share(case, np.random.default_rng([SEED, 100 + number]), histories=case.histories, skill=SKILL)
        rows.append(
            Row(
                exhibit=f"gate, IC {SKILL:g}",
                case=case.name,
                value=share,
                low=SKILLED_MIN,
                note=f"{case.histories} histories; the gate must open where there is skill",
            )
        )
    bars = tuple((f"{row.exhibit}: {row.case}", row.value) for row in rows)
    panel = Panel(
        title="share of histories after which any symbol passes a cost of .1 sigma (shade: allowed without skill)",
        x_label="share",
        y_label="",
        bars=bars,
        allowed=(0.0, PASSED_MAX),
    )
    return Exhibit(name=NAME, title="The mean gate with and without skill", rows=tuple(rows), panels=(panel,))


def passed_share(case: Case, rng: np.random.Generator, *, histories: int, skill: float) -> float:
    """Return the share of histories right after which at least one symbol passes.

    Raises:
        RuntimeError: The gate does not answer after such a history, so nothing would be measured.
    """
    parameters = ConformalParameters()
    passed = 0
    for _ in range(histories):
        made = history(
            rng,
            rows=case.rows,
            symbols=case.symbols,
            horizon=case.horizon,
            persistence=case.persistence,
            skill=skill,
        )
        state = ConformalState()
        seed(
            state,
            horizon_minutes=case.horizon,
            scores=made.scores[:-1],
            outcomes=made.outcomes,
            parameters=parameters,
        )
        if state.horizons[case.horizon].mean_fit is None:
            raise RuntimeError(f"{case.name}: {case.rows} rows do not calibrate the gate; give the case more")
        answer = gate(
            state,
            horizons_minutes=np.array([case.horizon]),
            scores=made.scores[-1:],
            cost_sigma=np.full((1, case.symbols), COST_SIGMA),
            parameters=parameters,
        )
        passed += bool((answer.conf_long | answer.conf_short).any())
    return passed / histories
