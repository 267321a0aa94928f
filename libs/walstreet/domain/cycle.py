"""Owns the decision pipeline of one cycle as a pure function of arrays.

Order: unusable symbols → freshness of predictions → cost → conformal gate → arbitration → hard barrier gates →
sizing → limits → exits and soft gate → what mode and session allow → limits → band → limits → netting → rebalance
trigger → quantities. Limits, those of correlation among them, run again after every step that changes weights, and
nothing after sizing scales a weight up.

Symbols that cannot be traded this cycle are *fixed*: they keep their weight (the larger one of today's and of what
is at work) and use up room under the limits. A held symbol whose signal is gone is kept until the horizon of its
last signal has passed, because leaving early pays the cost of the exit without the return it was meant to earn;
then its target is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import arbitrate
from walstreet.domain.cycle_book import weigh, weights_of
from walstreet.domain.cycle_gates import (
    ask_conformal,
    choose_horizons,
    cycle_cost,
    judge_barriers,
    stop_unusable,
    stop_without_edge,
)
from walstreet.domain.cycle_inputs import CycleInputs
from walstreet.domain.cycle_orders import judge_orders, order_horizons, plan_orders
from walstreet.domain.cycle_record import book_columns, order_columns
from walstreet.domain.cycle_types import Choices, Run
from walstreet.domain.decision_record import VerdictBoard
from walstreet.domain.units import FloatArray, IntArray
from walstreet_events import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleResult:
    """What one cycle decided, (N,) each."""

    verdicts: tuple[Verdict, ...]
    columns: dict[str, FloatArray]
    quantity_micro: IntArray
    """Signed order quantity, 0 where nothing is sent."""
    order_horizon_minutes: IntArray
    """Horizon that the order serves and whose time in force it gets."""


def run_cycle(inputs: CycleInputs, parameters: ArbiterParameters) -> CycleResult:
    """Decide one cycle: a verdict, every number behind it, and an order quantity per symbol."""
    board = VerdictBoard(len(inputs.symbols))
    stop_unusable(board, inputs)
    movable = ~board.stopped
    alpha = np.where(inputs.prediction_fresh[:, None], inputs.alpha.blended_bps, np.nan)
    cost = cycle_cost(inputs, parameters)
    round_trip = cost.round_trip_bps
    ungated = arbitrate(alpha, round_trip, inputs.sigma_horizon_bps, inputs.spread_bps, parameters.arbitration)
    gate = ask_conformal(inputs, alpha, round_trip, parameters)
    # A blocked horizon counts as one without an edge, also where it would have backed up its neighbours.
    open_alpha = np.where(gate.passed | np.isnan(alpha), alpha, 0.0)
    winner = arbitrate(open_alpha, round_trip, inputs.sigma_horizon_bps, inputs.spread_bps, parameters.arbitration)
    choice, selection = choose_horizons(inputs, winner, parameters)
    stop_without_edge(board, inputs, alpha, Choices(ungated=ungated, gated=choice, gate=gate))
    barriers = judge_barriers(board, inputs, choice, parameters)
    run = Run(
        inputs=inputs,
        parameters=parameters,
        board=board,
        choice=choice,
        movable=movable,
        wanted=~board.stopped,
        selection=selection,
        current=weights_of(inputs, inputs.position_micro),
        barriers=barriers,
    )
    book = weigh(run)
    horizon = order_horizons(run)
    orders = plan_orders(run, book, gate)
    quantity = judge_orders(run, book, orders, horizon)
    return CycleResult(
        verdicts=board.verdicts(),
        columns=book_columns(run, cost, book, gate) | order_columns(run, orders, quantity),
        quantity_micro=quantity,
        order_horizon_minutes=horizon,
    )
