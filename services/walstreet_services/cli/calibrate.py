"""Owns `walstreet calibrate`: what the models forecast on sessions they have never seen, for the conformal gate.

The sessions are of synthetic worlds, or, for a recorded day, those before it. They run through the very code that
trades: features, inference and arbiter, with nothing decided. What matured is written beside the models, one file for
each market.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from walstreet.adapters.model_zoo import load_zoo, read_manifest
from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbiter_state import ArbiterState
from walstreet.domain.conformal_history import (
    VERSION,
    ConformalHistory,
    HistoryRows,
    encode_history,
    history_rows,
    models_digest,
)
from walstreet.domain.conformal_state import HorizonState
from walstreet.domain.inference import InferenceCore, InferenceParameters
from walstreet.domain.learning_parameters import GateSwitches, LearningParameters
from walstreet.domain.model_manifest import ManifestError, ModelRefusedError
from walstreet.domain.zoo_parameters import WeightParameters
from walstreet.features import FeatureParameters
from walstreet.features.core import FeaturesCore
from walstreet.features.schema import schema_hash
from walstreet.features.table import FEATURES
from walstreet.runtime.cores import barriers_of, calibrations_of
from walstreet.runtime.errors import EXIT_OK, EXIT_USAGE, UsageError
from walstreet_events import ROOT, AnyEvent, BarBlock, SessionRef, derive_id
from walstreet_services.cli.recorded import OUTCOMES_FOLDER
from walstreet_services.cli.synthetic_bars import BAR_NS, session_bars
from walstreet_services.ibsim.calendar_xnys import previous_sessions
from walstreet_services.ibsim.market_base import PathMarket
from walstreet_services.ibsim.market_errors import MarketDataError, MarketRequestError
from walstreet_services.ibsim.market_recorded import RecordedMarket, recorded_identity
from walstreet_services.ibsim.market_synthetic import PLANTED_DEFAULT, SyntheticMarket, synthetic_identity
from walstreet_services.ibsim.model import Session

CALIBRATION_SEED = 3001
"""A world that is neither trained on nor, with the default seeds, ever traded."""
CALIBRATION_DAY = date(2023, 9, 28)
SESSIONS_DEFAULT = 8
"""The first only warms the features up; seven fill the gate's window."""
SESSIONS_MAX = 40
SESSIONS_MIN = 2
RECORDED_STEP_NS = 5_000_000_000
"""The simulator's own default, so that what happens inside a minute is made alike."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="walstreet calibrate",
        description="Let the models forecast sessions they have never seen; the conformal gate starts from what came.",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of manifest and models")
    parser.add_argument(
        "--planted",
        type=float,
        action="append",
        help=f"information coefficient of a market's signal; may be repeated (default: {PLANTED_DEFAULT} and 0)",
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS_DEFAULT, help=f"2 to {SESSIONS_MAX}")
    parser.add_argument("--seed", type=int, default=CALIBRATION_SEED, help="of the world")
    parser.add_argument("--data", type=Path, help="folder with minute/SYMBOL.parquet: calibrate for a recorded day")
    parser.add_argument(
        "--day", type=_day, metavar="YYYY-MM-DD", help="the day to be played; only earlier ones are used"
    )
    parser.add_argument("--symbols", help="of the recorded day, separated by commas")
    try:
        return run(parser.parse_args(argv))
    except UsageError as error:
        sys.stderr.write(f"walstreet calibrate: {error}\n")
        return EXIT_USAGE


def run(options: argparse.Namespace) -> int:
    """Write one history per market and say what was found.

    Raises:
        UsageError: An argument or the model folder cannot be used.
    """
    if not SESSIONS_MIN <= options.sessions <= SESSIONS_MAX:
        raise UsageError(f"--sessions {options.sessions} is outside {SESSIONS_MIN}..{SESSIONS_MAX}")
    console = Console(stderr=True)
    folder: Path = options.models / OUTCOMES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for world in [_recorded(options)] if options.data else _synthetic(options):
        state, models = _played(options.models, world.market, world.sessions, console)
        learned = state.learning.conformal.horizons
        history = ConformalHistory(
            version=VERSION,
            market=world.identity,
            models=models,
            made_from=f"seed {options.seed}, {world.sessions[1].date} to {world.sessions[-1].date}",
            horizons=tuple(_rows(learned[minutes]) for minutes in sorted(learned)),
        )
        path = folder / f"{history.market.replace(' ', '-').replace('=', '-')}.bin"
        data = encode_history(history)
        path.write_bytes(data)
        _say(state, history, path, len(data))
    return EXIT_OK


@dataclass(frozen=True, slots=True)
class World:
    """One market with the sessions that the models forecast, the first of which only warms the features up."""

    identity: str
    market: PathMarket
    sessions: tuple[Session, ...]


def _synthetic(options: argparse.Namespace) -> Iterator[World]:
    if options.day or options.symbols:
        raise UsageError("--day and --symbols belong to a recorded day: add --data DIR")
    for planted in options.planted or (PLANTED_DEFAULT, 0.0):
        market = SyntheticMarket(seed=options.seed, day=CALIBRATION_DAY, planted=planted)
        sessions = (*previous_sessions(CALIBRATION_DAY, options.sessions - 1), market.session)
        yield World(synthetic_identity(planted), market, sessions)


def _recorded(options: argparse.Namespace) -> World:
    """Return the sessions before a recorded day; the day itself and what follows it are never looked at."""
    if options.day is None or not options.symbols:
        raise UsageError("--data needs --day YYYY-MM-DD and --symbols A,B")
    if options.planted:
        raise UsageError("--planted belongs to synthetic markets; leave it out with --data")
    symbols = options.symbols.split(",")
    try:
        market = RecordedMarket(options.data, options.day, symbols, options.seed, RECORDED_STEP_NS)
    except (MarketDataError, MarketRequestError) as error:
        raise UsageError(str(error)) from error
    sessions = market.earlier_sessions[-options.sessions :]
    if len(sessions) < SESSIONS_MIN:
        raise UsageError(
            f"{options.symbols} share {len(sessions)} recorded sessions before {options.day}; at least "
            f"{SESSIONS_MIN} are needed: name fewer symbols or a later day"
        )
    return World(recorded_identity(options.day), market, sessions)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2019-02-14") from error


def _played(
    models: Path, market: PathMarket, sessions: Sequence[Session], console: Console
) -> tuple[ArbiterState, str]:
    parameters = FeatureParameters()
    try:
        manifest = read_manifest(models)
        zoo = load_zoo(
            models, schema_hash=schema_hash(FEATURES, parameters, bar_ns=BAR_NS), feature_count=len(FEATURES)
        )
    except (ManifestError, ModelRefusedError) as error:
        raise UsageError(str(error)) from error
    features, inference = FeaturesCore(parameters), InferenceCore(zoo, InferenceParameters())
    arbiter = ArbiterCore(
        # The forecasts of a first day: all models in service, weighed as their training says.
        ArbiterParameters(
            learning=LearningParameters(warmup_teaches=True, weights=WeightParameters(method="oof")),
            gates=GateSwitches(drift=False),
        ),
        calibrations_of(manifest),
        barriers_of(manifest),
    )
    built, answered, learned = features.initial(), inference.initial(), arbiter.initial()
    with Progress(console=console) as progress:
        task = progress.add_task(f"{len(sessions)} sessions", total=len(sessions) * 390)
        for event in _facts(market, sessions):
            built = features.evolve(built, event)
            learned = arbiter.evolve(learned, event) if isinstance(event, SessionRef) else learned
            for block in features.decide(built, event):
                answered, learned = inference.evolve(answered, block), arbiter.evolve(learned, block)
                for found in inference.decide(answered, block):
                    answered, learned = inference.evolve(answered, found), arbiter.evolve(learned, found)
                    for outcome in arbiter.decide(learned, found):
                        learned = arbiter.evolve(learned, outcome)
            progress.advance(task, int(isinstance(event, BarBlock)))
    return learned, models_digest((entry.file, entry.sha256) for entry in manifest.models)


def _facts(market: PathMarket, sessions: Sequence[Session]) -> Iterator[AnyEvent]:
    symbols = tuple(instrument.symbol for instrument in market.instruments)
    for session in sessions:
        yield SessionRef(
            id=derive_id(ROOT, f"calibrate:{session.date}", 0),
            cause=ROOT,
            ts_ns=session.open_ns,
            session_date=session.date.isoformat(),
            open_ns=session.open_ns,
            close_ns=session.close_ns,
            symbols=symbols,
            bar_ns=BAR_NS,
            market="synthetic",
        )
        for block in session_bars(market, session, quoted=True):
            # Marked as warm-up, so that the arbiter learns from them and decides nothing.
            yield msgspec.structs.replace(block, warmup=True)


def _rows(horizon: HorizonState) -> HistoryRows:
    ring = horizon.ring
    return history_rows(horizon.horizon_minutes, ring.chronological(ring.scores), ring.chronological(ring.outcomes))


def _say(state: ArbiterState, history: ConformalHistory, path: Path, size: int) -> None:
    sys.stdout.write(f"{path}: {history.market}, {history.made_from}, {size:,} bytes\n")
    for minutes, horizon in sorted(state.learning.conformal.horizons.items()):
        fit = horizon.mean_fit
        slope = "no interval of the mean" if fit is None else f"slope {fit.lower[0]:+.3f} to {fit.upper[0]:+.3f}"
        sys.stdout.write(f"  {minutes:3d} minutes: {horizon.ring.rows:,} decision times, {slope}\n")


if __name__ == "__main__":
    sys.exit(main())
