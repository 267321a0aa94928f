"""``config.local.yaml`` holds both worlds: sessions and the swing portfolio; what neither knows is refused by both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from walstreet.research.swing_config import SwingConfig, load_swing_config, session_keys
from walstreet.runtime.config import LOCAL_FILE, SWING_KEYS, known_keys, without
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import Settings, load_settings

pytestmark = pytest.mark.spec("004.cli")

CONFIG = Path(__file__).resolve().parents[3] / "config"
BOTH = """
broker: {port: 4004}
features: {ema_fast: 15, session_minutes: 390, macd: {enabled: true}}
execution: {max_orders_per_day: 3, cross_ticks: 2}
weights: {band: 0.1}
ibkr: {port: 4002}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the shipped configuration."""
    for name in ("base.yaml", "config.yaml"):
        shutil.copy(CONFIG / name, tmp_path / name)
    return tmp_path


def sessions(folder: Path) -> Settings:
    """Return what `walstreet up` reads."""
    return load_settings([folder / "base.yaml", folder / LOCAL_FILE], environment={})


def test_one_file_serves_both_programs(folder: Path) -> None:
    """Each takes its own keys, also where a section has keys of both."""
    (folder / LOCAL_FILE).write_text(BOTH, encoding="utf-8")
    settings, swing = sessions(folder), load_swing_config(folder, {})
    assert (settings.broker.port, settings.execution.cross_ticks) == (4004, 2)
    assert settings.features.session_minutes == 390
    assert (swing.ibkr.port, swing.execution.max_orders_per_day) == (4002, 3)
    assert (swing.features.ema_fast, swing.features.macd.enabled, swing.weights.band) == (15, True, 0.1)


def test_the_documented_copy_works(folder: Path) -> None:
    """Document 004 begins with a copy of config.yaml as the local file; sessions still start on it."""
    shutil.copy(folder / "config.yaml", folder / LOCAL_FILE)
    assert load_swing_config(folder, {}) == SwingConfig()
    assert sessions(folder) == load_settings([folder / "base.yaml"], environment={})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("wieghts: {band: 0.1}", "wieghts"),
        ("execution: {max_orders: 3}", "execution.max_orders"),
        ("features: {ema_fats: 3}", "features.ema_fats"),
    ],
)
def test_what_neither_knows_is_refused_by_both(folder: Path, text: str, key: str) -> None:
    """A typing mistake outside of the other world's own sections stops both programs, with path and remedy."""
    (folder / LOCAL_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"unknown key '{key}'.*docs/CONFIGURATION\.md"):
        sessions(folder)
    with pytest.raises(UsageError, match=rf"unknown key '{key}'.*config/config\.yaml"):
        load_swing_config(folder, {})


def test_a_mistake_inside_a_section_is_refused_by_its_owner(folder: Path) -> None:
    """Each program checks its own sections to the last key."""
    (folder / LOCAL_FILE).write_text("broker: {prot: 1}\n", encoding="utf-8")
    assert load_swing_config(folder, {}) == SwingConfig()
    with pytest.raises(UsageError, match=r"unknown key 'broker\.prot'"):
        sessions(folder)
    (folder / LOCAL_FILE).write_text("weights: {bnd: 1}\n", encoding="utf-8")
    assert sessions(folder).broker.port == 4002
    with pytest.raises(UsageError, match=r"unknown key 'weights\.bnd'; did you mean 'weights\.band'"):
        load_swing_config(folder, {})


def test_only_the_local_file_may_hold_both(folder: Path) -> None:
    """A profile with the other world's keys is a mistake."""
    (folder / "profile.yaml").write_text("weights: {band: 0.1}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="unknown key 'weights'"):
        load_settings([folder / "base.yaml", folder / "profile.yaml"], environment={})
    (folder / "config.yaml").write_text("broker: {port: 1}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="unknown key 'broker'"):
        load_swing_config(folder, {})


def test_the_list_of_swing_keys_is_complete() -> None:
    """It has exactly the paths that only the swing portfolio knows, each the shortest."""
    sessions_know = frozenset(known_keys(Settings))
    own = [path for path in known_keys(SwingConfig) if path not in sessions_know]
    parents = frozenset(own)
    shortest = [path for path in own if path.rpartition(".")[0] not in parents]
    assert sorted(shortest) == sorted(SWING_KEYS)


def test_no_key_belongs_to_both() -> None:
    """A leaf that both programs knew could not be set for one alone; only two sections are shared."""
    shared = sorted(frozenset(known_keys(Settings)) & frozenset(known_keys(SwingConfig)))
    assert shared == ["execution", "features"]
    assert "broker" in session_keys()
    assert "execution.live" not in session_keys()


def test_without_leaves_the_rest() -> None:
    """Absent paths are passed over, a section that is no mapping stays to be refused, the input is not changed."""
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": 3, "f": [1]}
    assert without(tree, ["a.b", "a.c.d", "e", "f.g", "h.i"]) == {"a": {"c": {}}, "f": [1]}
    assert tree["a"] == {"b": 1, "c": {"d": 2}}
