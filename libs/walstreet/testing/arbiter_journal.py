"""Owns a recorded journal of the arbiter: made once from a synthetic world, replayed anywhere, reduced to hashes.

``python -m walstreet.testing.arbiter_journal replay FILE VARIANT KERNELS`` decides everything anew from the recorded
inputs and prints what came out as JSON. Two processes that print the same outputs hash have written the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import ArbitrationParameters
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.drift_parameters import DriftParameters
from walstreet.domain.learning_parameters import LearningParameters
from walstreet.domain.size import SizeParameters
from walstreet.domain.standardise import StandardiseParameters
from walstreet.domain.units import BPS, DAY_NS, MINUTE_NS, FloatArray
from walstreet.domain.zoo_parameters import WeightParameters
from walstreet.testing.arbiter_world import OPEN_NS, PRICE_USD, ArbiterWorld
from walstreet_events import (
    AnyEvent,
    Decision,
    FeatureBlock,
    IntentBlock,
    ModelColumn,
    ModelStatus,
    OrderState,
    PredictionBlock,
    decode,
    derive_id,
    encode,
    float_block,
)

SEED = 20_251_201
SYMBOLS = tuple(f"S{index:02d}" for index in range(12))
HORIZONS_MINUTES = (5, 15, 60)
FAMILIES = ("forest", "network")
WARM_UP_BARS = 200
TRADED_BARS = 180
MEMORY_BARS = 20
"""Bars over which the planted signal moves the prices."""
SIGNAL_BPS = 6.0
NOISE_BPS = 6.0
MISSING_SHARE = 0.03
OUTAGE_BARS = (40, 41, 42)
"""Traded bars in which the feed is down."""
BARRIER_HORIZON_MINUTES = 15
BARRIERS = tuple(
    BarrierModel(model=f"{target}15", horizon_minutes=BARRIER_HORIZON_MINUTES, target=target, base_rate=0.4)
    for target in ("peak", "valley")
)
CALIBRATIONS = tuple(
    ModelCalibration(model=f"{family}{horizon}", horizon_minutes=horizon, slope=0.8, weight=0.5, score_sigma=0.4)
    for horizon in HORIZONS_MINUTES
    for family in FAMILIES
)

_SHORT_MEMORY = LearningParameters(
    warmup_teaches=True,
    standardiser=StandardiseParameters(samples_min=60),
    weights=WeightParameters(decisions_min=60),
    conformal=ConformalParameters(disjoint_windows_min=4, outcomes_min=60),
    drift=DriftParameters(times_min=100, evaluate_every=20),
)
"""A day is not enough for the defaults; with these everything has learned something before the end."""
VARIANTS: dict[str, ArbiterParameters] = {
    "default": ArbiterParameters(learning=_SHORT_MEMORY),
    "other": ArbiterParameters(
        learning=LearningParameters(
            warmup_teaches=True,
            standardiser=StandardiseParameters(samples_min=60),
            weights=WeightParameters(method="hedge"),
            conformal=ConformalParameters(disjoint_windows_min=4, outcomes_min=60, mean_estimator="isotonic"),
            drift=DriftParameters(times_min=100, evaluate_every=20, error="absolute"),
        ),
        arbitration=ArbitrationParameters(method="softmax"),
        size=SizeParameters(method="vol_target"),
    ),
}
"""Sets of parameters whose code differs."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one replay came to."""

    outputs_sha256: str
    """Over the payloads of all outputs, in order."""
    state_digest: str
    outputs: int
    decisions: int
    intents: int
    verdicts: dict[str, int]
    kernels: str
    """Which kernels ran, at which level."""


def world_of(variant: str) -> ArbiterWorld:
    """Return a world in which nothing has happened, under one of ``VARIANTS``."""
    return ArbiterWorld.create(SYMBOLS, parameters=VARIANTS[variant], calibrations=CALIBRATIONS, barriers=BARRIERS)


def record(variant: str) -> list[bytes]:
    """Return the payloads of every input of one recorded day; its fills answer the intents of this very process."""
    world, rng = world_of(variant), np.random.default_rng(SEED)
    world.start(positions={SYMBOLS[0]: 100, SYMBOLS[1]: -100})
    price = np.full(len(SYMBOLS), float(PRICE_USD))
    signal = rng.normal(size=(MEMORY_BARS, len(SYMBOLS)))
    for bar in range(WARM_UP_BARS + TRADED_BARS):
        warmup = bar < WARM_UP_BARS
        signal = np.vstack([signal[1:], rng.normal(size=len(SYMBOLS))])
        step_bps = SIGNAL_BPS * signal.sum(axis=0) / np.sqrt(MEMORY_BARS) + rng.normal(
            scale=NOISE_BPS, size=len(SYMBOLS)
        )
        price = price * (1.0 + step_bps / BPS)
        start_ns = OPEN_NS - DAY_NS if warmup else OPEN_NS
        ts_ns = start_ns + (bar + 1 - (0 if warmup else WARM_UP_BARS)) * MINUTE_NS
        if not warmup:
            down = bar - WARM_UP_BARS in OUTAGE_BARS
            if down or bar - WARM_UP_BARS - 1 in OUTAGE_BARS:
                world.send(world.feed(healthy=not down, ts_ns=ts_ns))
            world.send(world.clock(ts_ns))
        prices = dict(zip(SYMBOLS, price.tolist(), strict=True))
        features = world.features(ts_ns, warmup=warmup, price_usd=prices)
        world.send(features)
        scores = _scores(signal, rng)
        _fill(world, world.send(_predictions(features, scores, rng)), ts_ns, part=bar % 3 == 0)
    return [encode(event) for event, _ in world.tape]


def _scores(signal: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (R, N) forecasts that know something, a few of them missing."""
    known = signal.sum(axis=0) / np.sqrt(MEMORY_BARS)
    scores: FloatArray = 0.4 * (known + rng.normal(size=(len(CALIBRATIONS), len(SYMBOLS))))
    scores[rng.random(scores.shape) < MISSING_SHARE] = np.nan
    return scores


def _predictions(features: FeatureBlock, scores: FloatArray, rng: np.random.Generator) -> PredictionBlock:
    columns = tuple(
        ModelColumn(
            model=item.model,
            family="test",
            horizon_minutes=item.horizon_minutes,
            target="return",
            status=ModelStatus.OK,
        )
        for item in CALIBRATIONS
    ) + tuple(
        ModelColumn(
            model=item.model,
            family="test",
            horizon_minutes=item.horizon_minutes,
            target=item.target,
            status=ModelStatus.OK,
        )
        for item in BARRIERS
    )
    barriers = rng.uniform(0.2, 0.7, size=(len(BARRIERS), len(SYMBOLS)))
    return PredictionBlock(
        id=derive_id(features.id, "predictions", 0),
        cause=features.id,
        ts_ns=features.ts_ns,
        symbols=features.symbols,
        warmup=features.warmup,
        features=features.id,
        models=columns,
        values=float_block(np.vstack([scores, barriers])),
    )


def _fill(world: ArbiterWorld, outputs: Sequence[AnyEvent], ts_ns: int, *, part: bool) -> None:
    for output in outputs:
        if not isinstance(output, IntentBlock):
            continue
        for intent in output.intents:
            world.send(world.submitting(intent, ts_ns=ts_ns))
            done = intent.quantity_micro // 2 if part else intent.quantity_micro
            world.send(world.filled(intent, ts_ns=ts_ns, quantity_micro=done))
            state = OrderState.CANCELLED if part else OrderState.FILLED
            world.send(world.updated(intent, state, filled_micro=done, ts_ns=ts_ns))


def replay(payloads: Sequence[bytes], variant: str) -> Outcome:
    """Decide on recorded inputs anew and return what came out."""
    world, digest = world_of(variant), hashlib.sha256()
    verdicts: Counter[str] = Counter()
    outputs = decisions = intents = 0
    for payload in payloads:
        for output in world.send(decode(payload)):
            written = encode(output)
            digest.update(len(written).to_bytes(8, "little"))
            digest.update(written)
            outputs += 1
            if isinstance(output, Decision):
                decisions += 1
                verdicts.update(verdict.value for verdict in output.verdicts)
            elif isinstance(output, IntentBlock):
                intents += len(output.intents)
    running = kernels.implementation()
    return Outcome(
        outputs_sha256=digest.hexdigest(),
        state_digest=world.state.digest(),
        outputs=outputs,
        decisions=decisions,
        intents=intents,
        verdicts=dict(sorted(verdicts.items())),
        kernels=f"{running.name}/{running.level}",
    )


def write(path: Path, payloads: Sequence[bytes]) -> None:
    """Write a journal."""
    path.write_bytes(msgspec.msgpack.encode(list(payloads)))


def read(path: Path) -> list[bytes]:
    """Return the payloads of a journal.

    Raises:
        msgspec.DecodeError: The file is no journal.
    """
    return msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])


def main(argv: Sequence[str] | None = None) -> int:
    """Replay a journal and print its outcome as JSON."""
    top = argparse.ArgumentParser(prog="python -m walstreet.testing.arbiter_journal", description=__doc__)
    top.add_argument("action", choices=["replay"])
    top.add_argument("file", type=Path)
    top.add_argument("variant", choices=sorted(VARIANTS))
    top.add_argument("kernels", choices=["native", "reference"])
    options = top.parse_args(argv)
    kernels.select(options.kernels)
    outcome = replay(read(options.file), options.variant)
    json.dump(msgspec.to_builtins(outcome), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
