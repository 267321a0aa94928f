"""Owns the training of the small zoo that the embedded default runs: which models, how proved, how written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import lightgbm
import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from walstreet.domain.model_manifest import (
    Family,
    FileFormat,
    InputKind,
    ModelEntry,
    ModelManifest,
    Strategy,
    Target,
    probe_matrix,
    validate,
)
from walstreet.features import FEATURE_COUNT
from walstreet.training.blending import blend_weights, correlation, slope_through_origin
from walstreet.training.boosting import Boosted, train_boosted
from walstreet.training.dataset import SEQUENCE_ROWS, Sample, World, sample
from walstreet.training.networks import Network, train_network
from walstreet.training.onnx_export import network_bytes

FloatArray = NDArray[np.float64]
Int64Array = NDArray[np.int64]

FOLDS = 3
SAMPLE_EVERY_BARS = 3
PERCEPTRON_EPOCHS = 4
CONVOLUTION_EPOCHS = 2
RETURN_HORIZONS = (5, 15, 30, 60)
BARRIER_HORIZONS = (15,)
MANIFEST_HEADER = "# Written by `walstreet train-zoo`; every value is checked at loading. Do not edit by hand.\n"


class Trained(Protocol):
    """A trained model with its file."""

    def scores(self, rows: Sample, numbers: Int64Array) -> FloatArray:
        """Return raw outputs for row numbers of a sample."""

    def content(self) -> bytes:
        """Return the model file."""

    def probe(self) -> FloatArray:
        """Return raw outputs for the manifest's probe."""


@dataclass(frozen=True, slots=True)
class _TrainedTrees:
    boosted: Boosted

    def scores(self, rows: Sample, numbers: Int64Array) -> FloatArray:
        return self.boosted.predict(_take(rows, numbers).matrix())

    def content(self) -> bytes:
        return self.boosted.content()

    def probe(self) -> FloatArray:
        return self.boosted.predict(probe_matrix(features=FEATURE_COUNT, length=0))


@dataclass(frozen=True, slots=True)
class _TrainedNetwork:
    network: Network
    length: int

    def scores(self, rows: Sample, numbers: Int64Array) -> FloatArray:
        if self.length:
            return self.network.predict(rows.windows, numbers)
        matrix = _take(rows, numbers).matrix()
        return self.network.predict(lambda chosen: matrix[chosen], np.arange(len(numbers)))

    def content(self) -> bytes:
        return network_bytes(self.network, length=self.length)

    def probe(self) -> FloatArray:
        inputs = probe_matrix(features=FEATURE_COUNT, length=self.length).astype(np.float32)
        return self.network.predict(lambda chosen: inputs[chosen], np.arange(len(inputs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One model to be trained."""

    family: Family
    target: Target
    horizon_minutes: int
    length: int = 0

    @property
    def name(self) -> str:
        """Return the model's name, such as ``lightgbm_return_15``."""
        return f"{self.family.value}_{self.target.value}_{self.horizon_minutes}"

    @property
    def label(self) -> str:
        """Return the label's name in a world."""
        return f"{self.target.value}_{self.horizon_minutes}"

    @property
    def file(self) -> str:
        """Return the model's file name."""
        return f"{self.name}.txt" if self.family is Family.LIGHTGBM else f"{self.name}.onnx"


PLANS: tuple[Plan, ...] = (
    *(Plan(family=Family.LIGHTGBM, target=Target.RETURN, horizon_minutes=h) for h in RETURN_HORIZONS),
    Plan(family=Family.MLP, target=Target.RETURN, horizon_minutes=15),
    Plan(family=Family.MLP, target=Target.RETURN, horizon_minutes=60),
    Plan(family=Family.CNN1D, target=Target.RETURN, horizon_minutes=30, length=SEQUENCE_ROWS),
    Plan(family=Family.LIGHTGBM, target=Target.PEAK, horizon_minutes=15),
    Plan(family=Family.LIGHTGBM, target=Target.VALLEY, horizon_minutes=15),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """What training found out about one model, all out of fold unless it says otherwise."""

    plan: Plan
    model: Trained
    slope: float
    score_sigma: float
    ic_in_sample: float
    ic_out_of_sample: float
    base_rate: float
    values: FloatArray
    """Calibrated out-of-fold values, NaN where the label is missing."""


def train_zoo(
    out_dir: Path,
    worlds: Sequence[World],
    *,
    seed: int,
    trained_on: str,
    training_first: str,
    training_last: str,
    code_version: str,
    plans: Sequence[Plan] = PLANS,
) -> tuple[ModelManifest, tuple[ModelReport, ...]]:
    """Train, prove and write the zoo; a return model whose out-of-fold slope is not positive is left out.

    Folds are whole worlds, which share no noise, so no label overlaps another fold's and nothing needs an
    embargo.

    Args:
        out_dir: Where manifest and model files are written.
        worlds: At least three, from make_world with this module's horizons.
        seed: Of everything random.
        trained_on: What the data are, in words.
        training_first: ISO date of the first session.
        training_last: ISO date of the last session.
        code_version: Version of walstreet.
        plans: Models to train.

    Raises:
        ValueError: Fewer worlds than folds, or worlds of different feature schemas.
    """
    if len(worlds) < FOLDS:
        raise ValueError(f"{len(worlds)} worlds are fewer than the {FOLDS} folds; give more seeds")
    hashes = sorted({world.schema_hash for world in worlds})
    if len(hashes) != 1:
        raise ValueError(f"worlds have different feature schemas {hashes}; make them with the same parameters")
    rows = sample(worlds, every_bars=SAMPLE_EVERY_BARS)
    trained = [_prove(plan, rows, seed=seed) for plan in plans]
    reports = tuple(report for report in trained if report.slope > 0.0)
    weights = _weights(reports, rows)
    out_dir.mkdir(parents=True, exist_ok=True)
    entries: list[ModelEntry] = []
    for report in reports:
        content = report.model.content()
        (out_dir / report.plan.file).write_bytes(content)
        entries.append(
            _entry(
                report,
                content,
                schema_hash=hashes[0],
                weight=weights.get(report.plan.name, 0.0),
                window=(training_first, training_last),
                code_version=f"{code_version}, lightgbm {lightgbm.__version__}, numpy {np.__version__}",
            )
        )
    manifest = ModelManifest(
        version=1,
        schema_hash=hashes[0],
        feature_count=FEATURE_COUNT,
        trained_on=trained_on,
        models=tuple(entries),
    )
    validate(manifest)
    text = yaml.safe_dump(msgspec.to_builtins(manifest), sort_keys=False, allow_unicode=True, width=110)
    (out_dir / "manifest.yaml").write_text(MANIFEST_HEADER + text)
    return manifest, tuple(trained)


def _take(rows: Sample, numbers: Int64Array) -> Sample:
    return Sample(worlds=rows.worlds, world=rows.world[numbers], bar=rows.bar[numbers], symbol=rows.symbol[numbers])


def _fit(plan: Plan, rows: Sample, labels: FloatArray, numbers: Int64Array, *, seed: int) -> Trained:
    if plan.family is Family.LIGHTGBM:
        matrix = _take(rows, numbers).matrix()
        binary = plan.target is not Target.RETURN
        return _TrainedTrees(train_boosted(matrix, labels[numbers], binary=binary, seed=seed))
    if plan.length:
        network = train_network(rows.windows, labels, numbers, length=plan.length, epochs=CONVOLUTION_EPOCHS, seed=seed)
        return _TrainedNetwork(network, plan.length)
    whole = rows.matrix()
    network = train_network(
        lambda chosen: whole[chosen], labels, numbers, length=0, epochs=PERCEPTRON_EPOCHS, seed=seed
    )
    return _TrainedNetwork(network, 0)


def _prove(plan: Plan, rows: Sample, *, seed: int) -> ModelReport:
    labels = rows.label(plan.label)
    known = np.isfinite(labels)
    out_of_fold = np.full(len(rows), np.nan)
    for fold in range(FOLDS):
        held_out = rows.world % FOLDS == fold
        model = _fit(plan, rows, labels, np.flatnonzero(known & ~held_out), seed=seed)
        numbers = np.flatnonzero(known & held_out)
        out_of_fold[numbers] = model.scores(rows, numbers)
    numbers = np.flatnonzero(known)
    final = _fit(plan, rows, labels, numbers, seed=seed)
    is_return = plan.target is Target.RETURN
    slope = slope_through_origin(out_of_fold, labels) if is_return else 1.0
    values = slope * out_of_fold
    return ModelReport(
        plan=plan,
        model=final,
        slope=slope,
        score_sigma=float(np.nanstd(values)),
        ic_in_sample=correlation(final.scores(rows, numbers), labels[numbers]),
        ic_out_of_sample=correlation(out_of_fold, labels),
        base_rate=0.0 if is_return else float(np.nanmean(labels)),
        values=values,
    )


def _weights(reports: Sequence[ModelReport], rows: Sample) -> dict[str, float]:
    weights: dict[str, float] = {}
    returns = [report for report in reports if report.plan.target is Target.RETURN]
    for horizon in sorted({report.plan.horizon_minutes for report in returns}):
        members = [report for report in returns if report.plan.horizon_minutes == horizon]
        labels = rows.label(f"return_{horizon}")
        found = blend_weights(np.stack([member.values for member in members], axis=1), labels)
        weights |= {member.plan.name: float(weight) for member, weight in zip(members, found, strict=True)}
    return weights


def _entry(
    report: ModelReport,
    content: bytes,
    *,
    schema_hash: str,
    weight: float,
    window: tuple[str, str],
    code_version: str,
) -> ModelEntry:
    plan = report.plan
    return ModelEntry(
        name=plan.name,
        family=plan.family,
        strategy=Strategy.SINGLE_TASK,
        horizon_minutes=plan.horizon_minutes,
        target=plan.target,
        input_kind=InputKind.SEQUENCE if plan.length else InputKind.TABULAR,
        sequence_length=plan.length,
        file_format=FileFormat.LIGHTGBM_TEXT if plan.family is Family.LIGHTGBM else FileFormat.ONNX,
        file=plan.file,
        sha256=hashlib.sha256(content).hexdigest(),
        schema_hash=schema_hash,
        calibration_slope=report.slope,
        score_sigma=report.score_sigma,
        ic_in_sample=report.ic_in_sample,
        ic_out_of_sample=report.ic_out_of_sample,
        weight_oof=weight,
        base_rate=report.base_rate,
        probe_outputs=tuple(float(value) for value in report.model.probe()),
        training_first=window[0],
        training_last=window[1],
        code_version=code_version,
    )
