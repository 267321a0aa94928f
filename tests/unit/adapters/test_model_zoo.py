"""Tests of loading model files: the shipped zoo answers, and every damaged one is refused with its reason."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from walstreet.adapters.lightgbm_models import LightGbmModel
from walstreet.adapters.lightgbm_text import checked_text
from walstreet.adapters.model_zoo import Deadline, ModelZoo, load_zoo
from walstreet.adapters.onnx_models import OnnxModel
from walstreet.domain.inference import ModelLateError
from walstreet.domain.model_manifest import ManifestError, ModelRefusedError, Target, probe_matrix
from walstreet.features import FEATURE_COUNT, FEATURES, FeatureParameters, schema_hash

SHIPPED = Path(__file__).parents[3] / "models"
SCHEMA = schema_hash(FEATURES, FeatureParameters(), bar_ns=60_000_000_000)
SIZE_BYTES_MAX = 1_500_000
Edit = Callable[[dict[str, Any], Path], None]


def _load(folder: Path, **changes: Any) -> ModelZoo:
    return load_zoo(folder, **{"schema_hash": SCHEMA, "feature_count": FEATURE_COUNT, **changes})


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """Return a copy of the shipped zoo."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "zoo"))


def _edit(folder: Path, change: Edit) -> None:
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    change(manifest, folder)
    path.write_text(yaml.safe_dump(manifest))


def _model(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in manifest["models"] if entry["name"] == name)


def _replace_file(name: str, content: bytes) -> Edit:
    def change(manifest: dict[str, Any], folder: Path) -> None:
        entry = _model(manifest, name)
        (folder / entry["file"]).write_bytes(content)
        entry["sha256"] = hashlib.sha256(content).hexdigest()

    return change


def test_the_shipped_zoo_loads_and_answers() -> None:
    """The zoo fits the feature code in use, is small, and every model answers rows of its shape."""
    zoo = _load(SHIPPED)
    assert zoo.schema_hash == SCHEMA
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < SIZE_BYTES_MAX
    rng = np.random.default_rng(1)
    kinds = set()
    for index, entry in enumerate(zoo.entries):
        shape = (5, entry.sequence_length, FEATURE_COUNT) if entry.sequence_length else (5, FEATURE_COUNT)
        values = zoo.predict(index, rng.normal(size=shape))
        assert values.shape == (5,)
        assert np.isfinite(values).all()
        assert entry.target is Target.RETURN or ((values >= 0) & (values <= 1)).all()
        kinds.add((entry.file_format, entry.input_kind, entry.target))
    assert len(kinds) >= 5


def test_an_answer_does_not_depend_on_its_batch() -> None:
    """A symbol's value is the same alone as among others, within float32 rounding."""
    zoo = _load(SHIPPED)
    rng = np.random.default_rng(2)
    for index, entry in enumerate(zoo.entries):
        shape = (7, entry.sequence_length, FEATURE_COUNT) if entry.sequence_length else (7, FEATURE_COUNT)
        matrix = rng.normal(size=shape)
        alone = np.concatenate([zoo.predict(index, matrix[row : row + 1]) for row in range(7)])
        np.testing.assert_allclose(zoo.predict(index, matrix), alone, atol=1e-6)


def test_values_are_raw_outputs_times_the_calibration_slope(folder: Path) -> None:
    """The manifest's slope is applied by the zoo and by nothing else."""
    before = _load(folder)
    _edit(folder, lambda manifest, _: manifest["models"][0].update(calibration_slope=3.0))
    matrix = np.random.default_rng(3).normal(size=(4, FEATURE_COUNT))
    ratio = _load(folder).predict(0, matrix) / before.predict(0, matrix)
    np.testing.assert_allclose(ratio, 3.0 / before.entries[0].calibration_slope, rtol=1e-12)


@pytest.mark.parametrize("name", ["lightgbm_return_15", "mlp_return_15", "cnn1d_return_30"])
def test_a_changed_file_is_refused_by_its_hash(folder: Path, name: str) -> None:
    """One flipped bit is enough."""
    path = next(path for path in folder.iterdir() if path.stem == name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelRefusedError, match=rf"model '{name}' .* has sha256") as caught:
        _load(folder)
    assert "train the zoo again" in str(caught.value)


@pytest.mark.parametrize("name", ["lightgbm_return_15", "mlp_return_15"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\x00\xfe" * 99])
def test_a_file_that_is_no_model_is_refused_even_with_its_hash(folder: Path, name: str, content: bytes) -> None:
    """Damage that the manifest vouches for is still refused, with model, file and remedy."""
    _edit(folder, _replace_file(name, content))
    with pytest.raises(ModelRefusedError, match=rf"model '{name}' .* its file is unusable"):
        _load(folder)


def test_a_model_of_another_width_is_refused(folder: Path) -> None:
    """A sequence model's file under a tabular name does not pass for it."""
    _edit(folder, _replace_file("mlp_return_15", (SHIPPED / "cnn1d_return_30.onnx").read_bytes()))
    with pytest.raises(ModelRefusedError, match="its input is"):
        _load(folder)


def test_another_model_under_the_same_name_is_refused_by_its_probe(folder: Path) -> None:
    """A file of the right shape that gives other numbers than were recorded is another model."""
    _edit(folder, _replace_file("mlp_return_15", (SHIPPED / "mlp_return_60.onnx").read_bytes()))
    with pytest.raises(ModelRefusedError, match="differs from the recorded"):
        _load(folder)


TREE_FAULTS = [
    ("leaf_value=", "leaf_value=nan ", "leaf_value is not a list"),
    ("num_leaves=15", "num_leaves=16", "is not a list of 15 integers"),
    ("left_child=", "left_child=0 ", "left_child is not a list"),
    ("num_cat=0", "num_cat=1", "categorical splits"),
    ("max_feature_idx=73", "max_feature_idx=74", "max_feature_idx is '74'"),
    ("version=v4", "version=v9", "version is 'v9'"),
    ("objective=regression", "objective=poisson", "objective 'poisson' is none of"),
    ("Tree=3", "Tree=4", "tree 3 begins with"),
    ("end of trees", "end of trouble", "no whole LightGBM text"),
    ("tree_sizes=", "tree_sizes=1 ", "tree_sizes add up to"),
]


@pytest.mark.parametrize(("old", "new", "words"), TREE_FAULTS)
def test_each_fault_of_a_forest_is_found_before_the_native_parser(old: str, new: str, words: str) -> None:
    """The native parser would abort the process on some of these; the check names the place instead."""
    text = (SHIPPED / "lightgbm_return_15.txt").read_text()
    assert old in text
    damaged = text.replace(old, new, 1)
    if "Tree=" not in old and text.index(old) > text.index("Tree=0"):
        size = text.split("tree_sizes=")[1].split(" ")[0]
        damaged = damaged.replace(f"tree_sizes={size}", f"tree_sizes={int(size) + len(new) - len(old)}", 1)
    with pytest.raises(ValueError, match=words):
        checked_text(damaged.encode(), features=FEATURE_COUNT)


def test_a_forest_whose_nodes_go_in_a_circle_is_refused() -> None:
    """Child indices must form one tree, or prediction would never end or would leave the arrays."""
    text = (SHIPPED / "lightgbm_return_15.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("left_child="))
    children = line.removeprefix("left_child=").split(" ")
    inner = next(index for index, child in enumerate(children) if not child.startswith("-") and len(child) == 1)
    for wrong, words in (("0", "earlier node"), ("9", "do not form one tree")):
        if children[inner] == wrong:
            continue
        changed = "left_child=" + " ".join([*children[:inner], wrong, *children[inner + 1 :]])
        with pytest.raises(ValueError, match=words):
            checked_text(text.replace(line, changed, 1).encode(), features=FEATURE_COUNT)


@pytest.mark.parametrize("name", ["lightgbm_peak_15.txt", "mlp_return_60.onnx", "cnn1d_return_30.onnx"])
def test_damaged_files_never_bring_the_process_down(name: str) -> None:
    """Hundreds of seeded mutations are either read and run, or refused with a ValueError."""
    content = (SHIPPED / name).read_bytes()
    length = 60 if name.startswith("cnn") else 0
    rng = random.Random(20240305)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        position = rng.randrange(min(len(damaged), 6000))
        if rng.random() < 0.5:
            damaged[position] ^= 1 << rng.randrange(8)
        else:
            del damaged[position : position + rng.randrange(1, 40)]
        try:
            runner = (
                LightGbmModel(bytes(damaged), features=FEATURE_COUNT)
                if name.endswith(".txt")
                else OnnxModel(bytes(damaged), features=FEATURE_COUNT, length=length)
            )
        except ValueError:
            refused += 1
            continue
        probe = probe_matrix(features=FEATURE_COUNT, length=length)
        assert runner.predict(probe).shape == (len(probe),)
    assert refused > 30


def test_a_missing_file_is_refused(folder: Path) -> None:
    """The refusal says which file cannot be read."""
    (folder / "mlp_return_60.onnx").unlink()
    with pytest.raises(ModelRefusedError, match=r"mlp_return_60.onnx\) is refused: its file cannot be read"):
        _load(folder)


def test_other_features_than_trained_on_are_refused(folder: Path) -> None:
    """Schema hash and width must be those of the features in use."""
    with pytest.raises(ModelRefusedError, match="it was trained on feature schema"):
        _load(folder, schema_hash="d" * 64)
    with pytest.raises(ModelRefusedError, match="the features in use have"):
        _load(folder, feature_count=3)


def test_research_models_are_refused_unless_asked_for(folder: Path) -> None:
    """Live trading never loads a model that is marked research_only."""
    _edit(folder, lambda manifest, _: manifest["models"][1].update(research_only=True))
    with pytest.raises(ModelRefusedError, match="research_only"):
        _load(folder)
    assert len(_load(folder, allow_research=True).entries) == len(_load(SHIPPED).entries)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "malformed"),
        ("[]", "malformed"),
        ("version: 1\n", "missing required field"),
        ("\x00", "malformed"),
    ],
)
def test_a_malformed_manifest_is_refused(folder: Path, text: str, words: str) -> None:
    """Bad YAML and wrong fields name the manifest's path."""
    (folder / "manifest.yaml").write_text(text)
    with pytest.raises(ManifestError, match=words):
        _load(folder)


def test_a_typo_in_the_manifest_is_refused(folder: Path) -> None:
    """Unknown fields are errors, and so is a missing manifest."""
    _edit(folder, lambda manifest, _: manifest["models"][0].update(calibration_slop=1.0))
    with pytest.raises(ManifestError, match="calibration_slop"):
        _load(folder)
    with pytest.raises(ManifestError, match="cannot be read"):
        _load(folder / "nowhere")


def test_a_slow_answer_is_late() -> None:
    """With a deadline, time is taken from the given clock only."""
    ticks = iter([0, 5_000_000, 10_000_000, 13_000_000])
    zoo = _load(SHIPPED, deadline=Deadline(monotonic_ns=lambda: next(ticks), late_ns_max=4_000_000))
    matrix = np.zeros((2, FEATURE_COUNT))
    with pytest.raises(ModelLateError, match="longer than 4 ms"):
        zoo.predict(0, matrix)
    assert zoo.predict(0, matrix).shape == (2,)
