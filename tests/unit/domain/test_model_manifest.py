"""Tests of the rules by which a manifest is accepted or refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from walstreet.domain.model_manifest import (
    Family,
    FileFormat,
    InputKind,
    ManifestError,
    ModelEntry,
    ModelManifest,
    ModelRefusedError,
    Strategy,
    Target,
    probe_matrix,
    validate,
)

pytestmark = pytest.mark.spec("003.registry", "002.components")

ENTRY = ModelEntry(
    name="one",
    family=Family.MLP,
    strategy=Strategy.SINGLE_TASK,
    horizon_minutes=15,
    target=Target.RETURN,
    input_kind=InputKind.TABULAR,
    sequence_length=0,
    file_format=FileFormat.ONNX,
    file="one.onnx",
    sha256="a" * 64,
    schema_hash="b" * 64,
    calibration_slope=0.8,
    score_sigma=0.1,
    ic_in_sample=0.2,
    ic_out_of_sample=0.1,
    weight_oof=1.0,
    base_rate=0.0,
    probe_outputs=(0.0, 0.1, 0.2, 0.3),
    training_first="2023-06-01",
    training_last="2023-06-15",
    code_version="1",
)


def _manifest(*entries: ModelEntry, **changes: object) -> ModelManifest:
    manifest = ModelManifest(
        version=1, schema_hash="b" * 64, feature_count=3, trained_on="a test", models=entries or (ENTRY,)
    )
    return msgspec.structs.replace(manifest, **changes)


def test_a_sound_manifest_is_accepted() -> None:
    """Two models of one horizon whose weights give one, and a probability, pass."""
    other = msgspec.structs.replace(ENTRY, name="two", file="two.onnx", weight_oof=0.25)
    peak = msgspec.structs.replace(
        ENTRY, name="peak", file="peak.onnx", target=Target.PEAK, weight_oof=0.0, base_rate=0.3
    )
    validate(_manifest(msgspec.structs.replace(ENTRY, weight_oof=0.75), other, peak))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizon_minutes": 7}, "horizon_minutes 7 is none of"),
        ({"schema_hash": "c" * 64}, "schema_hash cccccccccccc"),
        ({"sha256": "xyz"}, "64 hexadecimal digits"),
        ({"file": "../one.onnx"}, "plain file name"),
        ({"name": "One!"}, "name must be"),
        ({"sequence_length": 60}, "does not fit input_kind tabular"),
        ({"input_kind": InputKind.SEQUENCE}, "does not fit input_kind sequence"),
        (
            {"input_kind": InputKind.SEQUENCE, "sequence_length": 60, "file_format": FileFormat.LIGHTGBM_TEXT},
            "tabular input only",
        ),
        ({"calibration_slope": -0.1}, "a negative slope means no prediction"),
        ({"calibration_slope": float("nan")}, "must be positive"),
        ({"score_sigma": 0.0}, "a constant score forecasts nothing"),
        ({"ic_in_sample": float("nan")}, "ic_in_sample nan"),
        ({"ic_out_of_sample": 1.5}, "ic_out_of_sample 1.5"),
        ({"weight_oof": 0.5}, "add up to 0.5"),
        ({"target": Target.PEAK, "weight_oof": 0.0}, "base_rate 0.0 of a probability"),
        ({"target": Target.PEAK, "base_rate": 0.3}, "takes no part in the blend"),
        ({"probe_outputs": ()}, "probe_outputs must be 4"),
        ({"probe_outputs": (0.0, 1.0, 2.0, float("inf"))}, "probe_outputs must be 4"),
        ({"family": Family.GAN}, "set research_only: true"),
    ],
)
def test_each_fault_of_a_model_is_named(changes: dict[str, object], words: str) -> None:
    """The refusal names the model and what is wrong with which value."""
    with pytest.raises(ManifestError, match=r"model .*one|One|horizon") as caught:
        validate(_manifest(msgspec.structs.replace(ENTRY, **changes)))
    assert words in str(caught.value)


def test_faults_of_the_manifest_itself_are_named() -> None:
    """Version, emptiness, feature count and duplicates are all listed at once."""
    with pytest.raises(ManifestError) as caught:
        validate(_manifest(ENTRY, ENTRY, version=9, feature_count=0))
    for words in ("version 9", "feature_count 0", "name 'one' is used twice", "file 'one.onnx' is used twice"):
        assert words in str(caught.value)
    with pytest.raises(ManifestError, match="0 models are outside"):
        validate(_manifest(models=()))


def test_probe_is_finite_fixed_and_of_the_right_shape() -> None:
    """The probe is the same everywhere, so recorded outputs can be compared."""
    flat, deep = probe_matrix(features=3, length=0), probe_matrix(features=3, length=60)
    assert (flat.shape, deep.shape) == ((4, 3), (4, 60, 3))
    np.testing.assert_allclose(flat[0], [-2.0, 1.7, 1.3])
    assert np.abs(deep).max() <= 2.0


def test_a_refused_model_names_model_file_fault_and_remedy() -> None:
    """The text of the refusal is enough to act on."""
    error = ModelRefusedError(model="one", file="one.onnx", what="it is torn", remedy="restore it")
    assert str(error) == "model 'one' (file one.onnx) is refused: it is torn; restore it"
