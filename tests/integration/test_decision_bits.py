"""Owns the proof that decisions are the same bytes whatever computes them: instruction sets, NumPy alone, hash seeds.

A recorded journal of the arbiter is decided on anew in one process for each way; all must write the same payloads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from walstreet.testing.arbiter_journal import TRADED_BARS, VARIANTS, Outcome, record, replay, write

pytestmark = [pytest.mark.integration, pytest.mark.spec("card.native", "002.native")]

native = pytest.importorskip("walstreet_native", reason="the native wheel is not installed")

REPLAY_S_MAX = 240
LEVELS = tuple(native.compiled_levels())
OTHER_HASH_SEED = "4242"
VERDICTS_MIN = 5
"""A journal in which everything ends alike would prove little."""


@pytest.fixture(scope="module", params=sorted(VARIANTS))
def journal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a journal recorded by this process, and its variant of parameters."""
    path = tmp_path_factory.mktemp("journal") / f"{request.param}.msgpack"
    write(path, record(request.param))
    return path, request.param


@pytest.fixture(scope="module")
def expected(journal: tuple[Path, str]) -> Outcome:
    """Return what the baseline level makes of the journal under hash seed 0."""
    return run(journal, level="baseline")


def run(
    journal: tuple[Path, str],
    *,
    level: str = "",
    kernels: str = "native",
    hash_seed: str = "0",
    disabled: str = "",
) -> Outcome:
    """Replay the journal in a process of its own."""
    path, variant = journal
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "WALSTREET_NATIVE_LEVEL": level}
    if disabled:
        environment["NPY_DISABLE_CPU_FEATURES"] = disabled
    done = subprocess.run(
        [sys.executable, "-m", "walstreet.testing.arbiter_journal", "replay", str(path), variant, kernels],
        env=environment,
        capture_output=True,
        text=True,
        timeout=REPLAY_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Outcome)


def same_decisions(left: Outcome, right: Outcome) -> bool:
    """Return whether two outcomes hold the same bytes and the same state."""
    return msgspec.structs.replace(left, kernels="") == msgspec.structs.replace(right, kernels="")


def test_the_journal_is_worth_replaying(expected: Outcome) -> None:
    """Every traded bar was decided, some symbols were traded, and the verdicts are of many kinds."""
    assert expected.decisions == TRADED_BARS
    assert expected.intents > 0
    assert len(expected.verdicts) >= VERDICTS_MIN, expected.verdicts


def test_one_bit_more_is_another_hash(journal: tuple[Path, str], expected: Outcome) -> None:
    """The comparison is no formality: an input left out changes the hash."""
    path, variant = journal
    payloads = msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])
    assert replay(payloads[:-10], variant).outputs_sha256 != expected.outputs_sha256


@pytest.mark.parametrize("level", LEVELS)
def test_every_instruction_set_decides_alike(journal: tuple[Path, str], expected: Outcome, level: str) -> None:
    """Each level of the native kernels, forced by the environment, writes the bytes of the baseline."""
    if level not in native.available_levels():
        pytest.skip(f"this processor lacks {level}; it offers {', '.join(native.available_levels())}")
    outcome = run(journal, level=level)
    assert outcome.kernels == f"native/{level}"
    assert same_decisions(outcome, expected)


def test_numpy_alone_decides_alike(journal: tuple[Path, str], expected: Outcome) -> None:
    """Without any native kernel the same bytes come out."""
    outcome = run(journal, kernels="reference")
    assert outcome.kernels == "reference/numpy"
    assert same_decisions(outcome, expected)


def test_another_hash_seed_decides_alike(journal: tuple[Path, str], expected: Outcome) -> None:
    """No order of a set or of hashes reaches a decision."""
    assert same_decisions(run(journal, hash_seed=OTHER_HASH_SEED), expected)


@pytest.mark.parametrize("kernels", ["native", "reference"])
def test_numpy_without_wide_registers_decides_alike(journal: tuple[Path, str], expected: Outcome, kernels: str) -> None:
    """NumPy's own choice of instructions does not reach a decision either: its dispatch is switched off."""
    disabled = dispatched_by_numpy()
    if not disabled:
        pytest.skip("NumPy uses nothing beyond its baseline on this processor")
    outcome = run(journal, level="baseline", kernels=kernels, disabled=" ".join(disabled))
    assert same_decisions(outcome, expected)


def dispatched_by_numpy() -> list[str]:
    """Return the processor features beyond its baseline that NumPy chooses at run time here."""
    chosen = {
        target["current"] for function in np.lib.introspect.opt_func_info().values() for target in function.values()
    }
    return sorted({name for text in chosen if text and not text.startswith("baseline") for name in text.split()})
