"""Owns the exhibit of decision bits: one recorded day decided anew by every kernel level and under other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from walstreet.kernels.forest import native_forest_problem
from walstreet.testing.arbiter_journal import VARIANTS, Outcome, record, write
from walstreet.testing.exhibits.row import Exhibit, Row

NAME = "hashes"
REPLAY_S_MAX = 240
HASH_SEEDS = ("0", "4242")
SHOWN_DIGITS = 16


class ReplayError(RuntimeError):
    """A replay did not end well: the text says which and what it wrote."""


def exhibit() -> Exhibit:
    """Record a day under each set of parameters, replay it in one process per way, and count the different logs."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in sorted(VARIANTS):
            path = Path(folder) / f"{variant}.msgpack"
            write(path, record(variant))
            outcomes = {name: _replay(path, variant, **way) for name, way in _ways().items()}
            logs = {(outcome.outputs_sha256, outcome.state_digest) for outcome in outcomes.values()}
            first = next(iter(outcomes.values()))
            rows += [
                Row(
                    exhibit="decision log, different hashes",
                    case=f"parameters {variant}",
                    value=float(len(logs)),
                    low=1.0,
                    high=1.0,
                    note=f"{first.outputs_sha256[:SHOWN_DIGITS]} from {', '.join(outcomes)}",
                ),
                Row(
                    exhibit="decision log, orders in it",
                    case=f"parameters {variant}",
                    value=float(first.intents),
                    low=1.0,
                    note=f"{first.decisions} decisions, {len(first.verdicts)} kinds of verdict",
                ),
            ]
    return Exhibit(name=NAME, title="The same decisions from every machine", rows=tuple(rows))


def _ways() -> dict[str, dict[str, str]]:
    """Return the ways to replay: reference kernels, and each native level under each hash seed."""
    ways = {f"reference/seed {HASH_SEEDS[0]}": {"kernels": "reference", "level": "", "hash_seed": HASH_SEEDS[0]}}
    if native_forest_problem():
        return ways | {
            f"reference/seed {seed}": {"kernels": "reference", "level": "", "hash_seed": seed} for seed in HASH_SEEDS
        }
    import walstreet_native  # noqa: PLC0415 - an optional wheel

    for level in walstreet_native.available_levels():
        for hash_seed in HASH_SEEDS:
            ways[f"{level}/seed {hash_seed}"] = {"kernels": "native", "level": level, "hash_seed": hash_seed}
    return ways


def _replay(path: Path, variant: str, *, kernels: str, level: str, hash_seed: str) -> Outcome:
    command = [sys.executable, "-m", "walstreet.testing.arbiter_journal", "replay", str(path), variant, kernels]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "WALSTREET_NATIVE_LEVEL": level}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=REPLAY_S_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ReplayError(f"the replay with {kernels} {level} took longer than {REPLAY_S_MAX} s") from error
    if done.returncode != 0:
        raise ReplayError(f"the replay with {kernels} {level} ended with {done.returncode}: {done.stderr[-2_000:]}")
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    if level and not outcome.kernels.endswith(f"/{level}"):
        raise ReplayError(f"level {level} was asked for, {outcome.kernels} ran")
    return outcome
