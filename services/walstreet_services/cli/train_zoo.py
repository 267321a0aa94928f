"""Owns `walstreet train-zoo`: it trains the small zoo on synthetic worlds other than the one that is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import walstreet
from walstreet.features import FeatureParameters
from walstreet.training.dataset import World, make_world
from walstreet.training.evaluation import unseen_scores
from walstreet.training.zoo import BARRIER_HORIZONS, RETURN_HORIZONS, train_zoo
from walstreet_services.cli.synthetic_bars import session_bars
from walstreet_services.ibsim.calendar_xnys import previous_sessions
from walstreet_services.ibsim.market_synthetic import PLANTED_DEFAULT, SyntheticMarket

TRAINING_SEEDS = (1001, 1002, 1003, 1004, 1005, 1006)
UNSEEN_SEED = 2001
TRAINING_DAY = date(2023, 6, 15)
"""Last session of the training worlds; a run plays later days with other seeds."""
UNSEEN_DAY = date(2024, 3, 5)
SESSIONS_DEFAULT = 11
UNSEEN_SESSIONS = 3
UNQUOTED_EVERY = 4
"""Every fourth training session has bars as history gives them, without quotes and flow, so that the models
also know what the warm-up looks like."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="walstreet train-zoo", description="Train the small zoo on synthetic worlds, none of which is ever traded."
    )
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder for manifest and models")
    parser.add_argument("--seed", type=int, default=11, help="seed of the training itself")
    parser.add_argument("--sessions", type=int, default=SESSIONS_DEFAULT, help="sessions per world, 2 to 20")
    return run(parser.parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Train, write and print the zoo with its honest numbers."""
    worlds = [
        synthetic_world(seed, TRAINING_DAY, sessions=options.sessions, planted=PLANTED_DEFAULT, unquoted=UNQUOTED_EVERY)
        for seed in TRAINING_SEEDS
    ]
    first = previous_sessions(TRAINING_DAY, options.sessions - 1)[0].date
    manifest, reports = train_zoo(
        options.out,
        worlds,
        seed=options.seed,
        trained_on=f"synthetic market, seeds {TRAINING_SEEDS[0]} to {TRAINING_SEEDS[-1]}, planted {PLANTED_DEFAULT}",
        training_first=first.isoformat(),
        training_last=TRAINING_DAY.isoformat(),
        code_version=f"walstreet {walstreet.__version__}",
    )
    kept = frozenset(entry.name for entry in manifest.models)
    weights = {entry.name: entry.weight_oof for entry in manifest.models}
    print(f"{'model':24} {'IC in':>8} {'IC oof':>8} {'slope':>7} {'sigma':>7} {'weight':>7} {'base':>6}")
    for report in reports:
        name = report.plan.name
        left_out = "" if name in kept else "  left out: its slope is not positive"
        print(
            f"{name:24} {report.ic_in_sample:8.4f} {report.ic_out_of_sample:8.4f} {report.slope:7.3f} "
            f"{report.score_sigma:7.4f} {weights.get(name, 0.0):7.3f} {report.base_rate:6.3f}{left_out}"
        )
    for planted in (PLANTED_DEFAULT, 0.0):
        unseen = synthetic_world(UNSEEN_SEED, UNSEEN_DAY, sessions=1 + UNSEEN_SESSIONS, planted=planted, unquoted=0)
        print(f"\nunseen seed {UNSEEN_SEED}, {UNSEEN_SESSIONS} sessions to {UNSEEN_DAY}, planted {planted}")
        for score in unseen_scores(reports, [unseen]):
            print(f"{score.name:24} IC {score.ic:8.4f} +- {score.standard_error:.4f}  rows {score.rows}")
    return 0


def synthetic_world(seed: int, day: date, *, sessions: int, planted: float, unquoted: int) -> World:
    """Return features and labels of the sessions that end with ``day``; every ``unquoted``-th has no quotes."""
    market = SyntheticMarket(seed=seed, day=day, planted=planted)
    wanted = [*previous_sessions(day, sessions - 1), market.session]
    return make_world(
        f"seed {seed}",
        (
            tuple(session_bars(market, session, quoted=not unquoted or number % unquoted != unquoted - 1))
            for number, session in enumerate(wanted)
        ),
        FeatureParameters(),
        return_horizons=RETURN_HORIZONS,
        barrier_horizons=BARRIER_HORIZONS,
    )


if __name__ == "__main__":
    sys.exit(main())
