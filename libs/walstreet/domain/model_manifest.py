"""Owns what a model must declare about itself, and the rules by which a manifest is accepted or refused."""

from __future__ import annotations

import math
import re
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

HORIZONS_MINUTES = (5, 10, 15, 30, 60, 120, 390, 1950, 7800)
"""5m, 10m, 15m, 30m, 60m, 120m, 1d, 5d, 20d; a day is 390 trading minutes."""
MODELS_MAX = 400
"""Bound of a registry: 20 families times 9 horizons, with room for variants."""
SEQUENCE_LENGTH_MAX = 512
FEATURES_MAX = 2_000
BLEND_TOLERANCE = 1e-6
PROBE_ROWS = 4
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9_]{1,64}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class Family(StrEnum):
    """Kinds of models that a manifest may name."""

    LIGHTGBM = "lightgbm"
    XGBOOST = "xgboost"
    MLP = "mlp"
    RIDGE = "ridge"
    ENSEMBLE = "ensemble"
    QUANTILE_LIGHTGBM = "quantile_lightgbm"
    NGBOOST = "ngboost"
    FTRL = "ftrl"
    GMM_REGIME = "gmm_regime"
    CHANGE_POINT = "change_point"
    REWARD = "reward"
    CNN1D = "cnn1d"
    LSTM = "lstm"
    TRANSFORMER = "transformer"
    TABCNN = "tabcnn"
    TABLSTM = "tablstm"
    TABTRANSFORMER = "tabtransformer"
    MULTITASK = "multitask"
    VAE = "vae"
    META_LEARNING = "meta_learning"
    GAN = "gan"


RESEARCH_FAMILIES = (Family.VAE, Family.META_LEARNING, Family.GAN)
"""Always ``research_only`` until their shape and calibration checks pass."""


class Strategy(StrEnum):
    """How a model came to its horizon."""

    SINGLE_TASK = "single_task"
    MULTI_TASK = "multi_task"
    CASCADE = "cascade"


class Target(StrEnum):
    """What a model's output means."""

    RETURN = "return"
    """Forecast of r/sigma_h."""
    PEAK = "peak"
    """Probability that the lower barrier is hit first."""
    VALLEY = "valley"
    """Probability that the upper barrier is hit first."""


class InputKind(StrEnum):
    """Shape of a model's input."""

    TABULAR = "tabular"
    """(N, F): the newest feature row."""
    SEQUENCE = "sequence"
    """(N, T, F): the last T feature rows, oldest first."""


class FileFormat(StrEnum):
    """Which runtime reads the file."""

    LIGHTGBM_TEXT = "lightgbm_text"
    ONNX = "onnx"


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model as its manifest describes it."""

    name: str
    family: Family
    strategy: Strategy
    horizon_minutes: int
    target: Target
    input_kind: InputKind
    sequence_length: int
    """T of a sequence model, 0 for a tabular one."""
    file_format: FileFormat
    file: str
    """File name beside the manifest, no folders."""
    sha256: str
    schema_hash: str
    """Feature schema on which it was trained."""
    calibration_slope: float
    """What the raw output is multiplied with, so that a return model's value is the forecast of r/sigma_h:
    the slope of r/sigma_h on the raw score through the origin, fitted out of fold. 1 for probabilities."""
    score_sigma: float
    """Standard deviation of the calibrated value out of fold. For a standardised score s = value/score_sigma it
    is also the slope of r/sigma_h on s through the origin, the prior of the arbiter's calibration."""
    ic_in_sample: float
    ic_out_of_sample: float
    """Correlation of value and label, pooled over symbols and minutes, in and out of fold."""
    weight_oof: float
    """Blend weight within its horizon from the out-of-fold ridge and simplex projection; 0 for probabilities."""
    base_rate: float
    """Share of positive labels of a probability model, which re-basing divides out; 0 for a return model."""
    probe_outputs: tuple[float, ...]
    """Raw outputs for ``probe_matrix``, as the trainer computed them; loading repeats them within a tolerance."""
    training_first: str
    training_last: str
    """ISO dates of the first and last session of the training window."""
    code_version: str
    """Version of walstreet and of the training library."""
    research_only: bool = False
    """Never loaded for live trading."""


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A zoo: the feature schema it was trained on and its models in the order of their rows."""

    version: int
    schema_hash: str
    feature_count: int
    trained_on: str
    """What market the models were trained on, in words; a model of a synthetic market must say so."""
    models: tuple[ModelEntry, ...]


class ManifestError(ValueError):
    """The manifest's fault: the text lists every problem with the model's name and the field."""


class ModelRefusedError(ValueError):
    """A model cannot be used: the text names model, file, what is wrong and the remedy."""

    def __init__(self, *, model: str, file: str, what: str, remedy: str) -> None:
        """Keep the parts beside the text."""
        super().__init__(f"model {model!r} (file {file}) is refused: {what}; {remedy}")
        self.model = model
        self.file = file
        self.what = what


def probe_matrix(*, features: int, length: int) -> NDArray[np.float64]:
    """Return the input on which every model is tried at loading: (4, F), or (4, T, F) for ``length`` T > 0.

    Entries are tenths from -2 to 2 in an order without a short period, the same everywhere.
    """
    shape = (PROBE_ROWS, features) if length == 0 else (PROBE_ROWS, length, features)
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    values: NDArray[np.float64] = ((index * 37 + index // 11 * 17) % 41 - 20) / 10.0
    return values.reshape(shape)


def validate(manifest: ModelManifest) -> None:
    """Check everything that can be checked without a model file.

    Raises:
        ManifestError: One line per problem.
    """
    problems = _manifest_problems(manifest)
    for entry in manifest.models:
        problems += [f"model {entry.name!r}: {text}" for text in _entry_problems(entry, manifest)]
    if problems:
        raise ManifestError("model manifest is refused:\n- " + "\n- ".join(problems))


def _manifest_problems(manifest: ModelManifest) -> list[str]:
    problems: list[str] = []
    if manifest.version != 1:
        problems.append(f"version {manifest.version} is unknown; this release reads version 1")
    if not 0 < len(manifest.models) <= MODELS_MAX:
        problems.append(f"{len(manifest.models)} models are outside 1..{MODELS_MAX}")
    if not 0 < manifest.feature_count <= FEATURES_MAX:
        problems.append(f"feature_count {manifest.feature_count} is outside 1..{FEATURES_MAX}")
    seen: dict[str, str] = {}
    for kind, values in (
        ("name", [entry.name for entry in manifest.models]),
        ("file", [entry.file for entry in manifest.models]),
    ):
        seen.clear()
        for value in values:
            if value in seen:
                problems.append(f"{kind} {value!r} is used twice; every model needs its own")
            seen[value] = value
    blends: dict[int, float] = {}
    for entry in manifest.models:
        if entry.target is Target.RETURN:
            blends[entry.horizon_minutes] = blends.get(entry.horizon_minutes, 0.0) + entry.weight_oof
    problems += [
        f"blend weights of horizon {horizon} add up to {total:.6f}; they must give 1, or 0 for none"
        for horizon, total in blends.items()
        if not (math.isclose(total, 1.0, abs_tol=BLEND_TOLERANCE) or total == 0.0)
    ]
    return problems


def _entry_problems(entry: ModelEntry, manifest: ModelManifest) -> list[str]:
    checks: list[tuple[bool, str]] = [
        (bool(_NAME.fullmatch(entry.name)), "name must be 1 to 64 of a-z, 0-9 and _"),
        (
            entry.horizon_minutes in HORIZONS_MINUTES,
            f"horizon_minutes {entry.horizon_minutes} is none of {HORIZONS_MINUTES}",
        ),
        (
            entry.schema_hash == manifest.schema_hash,
            (
                f"schema_hash {entry.schema_hash[:12]}... differs from the manifest's {manifest.schema_hash[:12]}...; "
                "train it on the same features"
            ),
        ),
        (bool(_SHA256.fullmatch(entry.sha256)), f"sha256 {entry.sha256!r} is not 64 hexadecimal digits"),
        (bool(_FILE.fullmatch(entry.file)), f"file {entry.file!r} must be a plain file name beside the manifest"),
        (
            (entry.input_kind is InputKind.SEQUENCE and 0 < entry.sequence_length <= SEQUENCE_LENGTH_MAX)
            or (entry.input_kind is InputKind.TABULAR and entry.sequence_length == 0),
            f"sequence_length {entry.sequence_length} does not fit input_kind {entry.input_kind.value}",
        ),
        (
            entry.file_format is not FileFormat.LIGHTGBM_TEXT or entry.input_kind is InputKind.TABULAR,
            "a LightGBM file takes tabular input only",
        ),
        (
            math.isfinite(entry.calibration_slope) and entry.calibration_slope > 0.0,
            f"calibration_slope {entry.calibration_slope} must be positive; a negative slope means no prediction",
        ),
        (
            math.isfinite(entry.score_sigma) and entry.score_sigma > 0.0,
            f"score_sigma {entry.score_sigma} must be positive; a constant score forecasts nothing",
        ),
        (-1.0 <= entry.ic_in_sample <= 1.0, f"ic_in_sample {entry.ic_in_sample} is outside -1..1"),
        (-1.0 <= entry.ic_out_of_sample <= 1.0, f"ic_out_of_sample {entry.ic_out_of_sample} is outside -1..1"),
        (0.0 <= entry.weight_oof <= 1.0, f"weight_oof {entry.weight_oof} is outside 0..1"),
        (
            entry.target is Target.RETURN or 0.0 < entry.base_rate < 1.0,
            f"base_rate {entry.base_rate} of a probability must be inside 0..1",
        ),
        (
            entry.target is Target.RETURN or entry.weight_oof == 0.0,
            "a probability takes no part in the blend; weight_oof must be 0",
        ),
        (
            len(entry.probe_outputs) == PROBE_ROWS and all(math.isfinite(value) for value in entry.probe_outputs),
            f"probe_outputs must be {PROBE_ROWS} finite numbers",
        ),
        (
            entry.research_only or entry.family not in RESEARCH_FAMILIES,
            f"family {entry.family.value} is for research; set research_only: true",
        ),
    ]
    return [text for good, text in checks if not good]
