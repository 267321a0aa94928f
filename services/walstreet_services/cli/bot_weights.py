"""Owns `bot weights`: the target weights of one day as JSON, with what was seen and why.

Held names have a bonus, so targets depend on what is held. Here that is the book of the simulation since the first
simulated day; the line of that day in a backtest's target_weights.csv has the same numbers.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys

import numpy as np

from walstreet.domain.rotation import decide_rotation, must_trade
from walstreet.research.swing_data import GAP_DAYS_MAX, date_of
from walstreet.runtime.errors import EXIT_OK, UsageError
from walstreet_services.cli.bot_audit import (
    ParityError,
    audit_table,
    correlation_plain,
    drifted_weights,
    named_weights,
    symbols_plain,
)
from walstreet_services.cli.bot_inputs import Inputs, load_inputs
from walstreet_services.cli.bot_judge import Plain

VERB = "weights"


def run(options: argparse.Namespace) -> int:
    """Run the command; see ``bot.add_arguments``."""
    inputs = load_inputs(options, end=options.asof, environment=os.environ)
    _require_fresh(inputs, options.asof)
    text = json.dumps(weights_of(inputs, options.asof), indent=None if options.json else 2, allow_nan=False)
    sys.stdout.write(text + "\n")
    return EXIT_OK


def weights_of(inputs: Inputs, asof: dt.date | None) -> Plain:
    """Return the last simulated day's targets.

    Raises:
        ParityError: The engine and the live decision disagree.
    """
    result = inputs.engine.engine.simulate(inputs.bars, [inputs.parameters])
    table, day, symbols = audit_table(inputs.bars), len(result.net) - 1, inputs.bars.symbols
    drifted = drifted_weights(table, result, day)
    signals = table.signals(inputs.parameters)
    decision = decide_rotation(signals, inputs.last, np.flatnonzero(drifted).tolist())
    if not np.array_equal(decision.target, result.target[day]):
        raise ParityError(
            f"{inputs.day(inputs.last)}: the engine ({inputs.engine.name}) and the live decision have different "
            "targets; this is a fault of walstreet"
        )
    invested = float(np.add.accumulate(decision.target)[-1])
    return {
        "asof": (asof or date_of(inputs.bars.dates[inputs.last])).isoformat(),
        "bar": inputs.day(inputs.last),
        "weights": named_weights(symbols, decision.target),
        "cash": 1.0 - invested,
        "trade": must_trade(decision.target.tolist(), drifted.tolist(), inputs.parameters.band),
        "band": inputs.parameters.band,
        "weights_before": named_weights(symbols, drifted),
        "selected": [symbols[column] for column in decision.chosen],
        "correlation": correlation_plain(symbols, decision),
        "exposure": decision.exposure,
        "symbols": symbols_plain(symbols, table, inputs.last, decision),
        "verb": VERB,
        "inputs": inputs.identity(),
    }


def _require_fresh(inputs: Inputs, asof: dt.date | None) -> None:
    """Refuse a day that the data do not reach: weights of an old bar would look like those of the day."""
    newest = date_of(inputs.bars.dates[inputs.last])
    if asof is not None and (asof - newest).days > GAP_DAYS_MAX:
        raise UsageError(
            f"--asof {asof}: the newest bar before it is of {newest}, {(asof - newest).days} days earlier; "
            f"run `bot fetch`, or ask for {newest}"
        )
