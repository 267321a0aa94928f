"""Owns the loading of a model zoo from a folder and its use: every file is proved before a model may answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from walstreet.adapters.lightgbm_models import LightGbmModel
from walstreet.adapters.onnx_models import OnnxModel
from walstreet.domain.inference import ModelLateError
from walstreet.domain.model_manifest import (
    FileFormat,
    ManifestError,
    ModelEntry,
    ModelManifest,
    ModelRefusedError,
    Target,
    probe_matrix,
    validate,
)

FloatArray = NDArray[np.float64]

MANIFEST_NAME = "manifest.yaml"
MANIFEST_BYTES_MAX = 1_000_000
MODEL_BYTES_MAX = 64_000_000
PROBE_TOLERANCE = 1e-4
"""Largest difference between recorded and repeated probe outputs; float32 sums differ between processors."""
TRAIN_AGAIN = "restore the file from its source or train the zoo again (walstreet train-zoo)"


class Runner(Protocol):
    """One loaded model file."""

    def predict(self, matrix: FloatArray) -> FloatArray:
        """Return one raw output per row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """How long one model may take; its clock never stands in an event, only the resulting status does."""

    monotonic_ns: Callable[[], int]
    late_ns_max: int


class ModelZoo:
    """Loaded models behind ``walstreet.domain.inference.Models``; values are calibrated."""

    def __init__(
        self, manifest: ModelManifest, runners: tuple[Runner, ...], *, deadline: Deadline | None = None
    ) -> None:
        assert len(manifest.models) == len(runners)
        self._manifest = manifest
        self._runners = runners
        self._deadline = deadline

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """Return the models in the order of their index."""
        return self._manifest.models

    @property
    def schema_hash(self) -> str:
        """Return the feature schema that every model was trained on."""
        return self._manifest.schema_hash

    @property
    def feature_count(self) -> int:
        """Return F."""
        return self._manifest.feature_count

    def predict(self, model_index: int, matrix: FloatArray) -> FloatArray:
        """Return one calibrated value per row.

        Raises:
            ModelLateError: The model took longer than the deadline.
        """
        deadline = self._deadline
        begin_ns = deadline.monotonic_ns() if deadline else 0
        slope = self._manifest.models[model_index].calibration_slope
        values = slope * self._runners[model_index].predict(matrix)
        if deadline and deadline.monotonic_ns() - begin_ns > deadline.late_ns_max:
            raise ModelLateError(f"the answer took longer than {deadline.late_ns_max / 1e6:.0f} ms")
        return values


def load_zoo(
    folder: Path,
    *,
    schema_hash: str,
    feature_count: int,
    allow_research: bool = False,
    deadline: Deadline | None = None,
) -> ModelZoo:
    """Load every model of ``folder/manifest.yaml`` after proving its file.

    Args:
        folder: Where manifest and model files stand.
        schema_hash: Schema of the features that will be fed.
        feature_count: Number of those features.
        allow_research: Also take models marked ``research_only``; never for live trading.
        deadline: Time limit per call; None means that no model is ever late.

    Raises:
        ManifestError: The manifest cannot be read or contradicts itself.
        ModelRefusedError: One model's file or declaration is unusable.
    """
    manifest = read_manifest(folder)
    runners: list[Runner] = []
    for entry in manifest.models:
        if entry.schema_hash != schema_hash or manifest.feature_count != feature_count:
            raise _refused(
                folder,
                entry,
                f"it was trained on feature schema {entry.schema_hash[:12]} with {manifest.feature_count} features, "
                f"the features in use have {schema_hash[:12]} with {feature_count}",
                "use the feature parameters it was trained with or train the zoo again",
            )
        if entry.research_only and not allow_research:
            raise _refused(folder, entry, "it is marked research_only", "take it out of the manifest of this profile")
        runners.append(_prove(folder, entry, manifest.feature_count))
    return ModelZoo(manifest, tuple(runners), deadline=deadline)


def read_manifest(folder: Path) -> ModelManifest:
    """Read and validate the manifest without opening a model file.

    Raises:
        ManifestError: Missing, too large, no YAML, unknown or missing fields, or contradictions.
    """
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"model manifest {path} cannot be read ({error}); point models.folder at a zoo") from error
    if len(content) > MANIFEST_BYTES_MAX:
        raise ManifestError(f"model manifest {path} has {len(content)} bytes, at most {MANIFEST_BYTES_MAX} are read")
    try:
        manifest = msgspec.convert(yaml.safe_load(content), ModelManifest)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"model manifest {path} is malformed: {error}; compare it with a trained one") from error
    validate(manifest)
    return manifest


def _prove(folder: Path, entry: ModelEntry, features: int) -> Runner:
    content = _content(folder, entry)
    try:
        if entry.file_format is FileFormat.LIGHTGBM_TEXT:
            runner: Runner = LightGbmModel(content, features=features)
        else:
            runner = OnnxModel(content, features=features, length=entry.sequence_length)
        probe = probe_matrix(features=features, length=entry.sequence_length)
        output = runner.predict(probe)
    except Exception as error:
        # Vendor libraries raise what they like for a damaged file; all of it means the same here.
        raise _refused(folder, entry, f"its file is unusable: {error}", TRAIN_AGAIN) from error
    if output.shape != (len(probe),):
        raise _refused(folder, entry, f"its output has shape {output.shape}, expected ({len(probe)},)", TRAIN_AGAIN)
    if not bool(np.isfinite(output).all()):
        raise _refused(folder, entry, f"its probe output {output.tolist()} is not finite", TRAIN_AGAIN)
    if entry.target is not Target.RETURN and not bool(((output >= 0.0) & (output <= 1.0)).all()):
        raise _refused(folder, entry, f"its probe output {output.tolist()} is no probability", TRAIN_AGAIN)
    if not np.allclose(output, entry.probe_outputs, rtol=0.0, atol=PROBE_TOLERANCE):
        raise _refused(
            folder,
            entry,
            f"its probe output {output.tolist()} differs from the recorded {list(entry.probe_outputs)}",
            "use the runtime versions of the lock file, or train the zoo again",
        )
    return runner


def _content(folder: Path, entry: ModelEntry) -> bytes:
    path = folder / entry.file
    try:
        size = path.stat().st_size
        if size > MODEL_BYTES_MAX:
            raise _refused(folder, entry, f"its file has {size} bytes, at most {MODEL_BYTES_MAX}", TRAIN_AGAIN)
        content = path.read_bytes()
    except OSError as error:
        raise _refused(folder, entry, f"its file cannot be read ({error})", TRAIN_AGAIN) from error
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise _refused(
            folder, entry, f"its file has sha256 {found[:16]}..., the manifest {entry.sha256[:16]}...", TRAIN_AGAIN
        )
    return content


def _refused(folder: Path, entry: ModelEntry, what: str, remedy: str) -> ModelRefusedError:
    return ModelRefusedError(model=entry.name, file=str(folder / entry.file), what=what, remedy=remedy)
