"""Owns the test that the page of old names points at settings, modules and files that exist."""

import importlib.util
import re
from pathlib import Path

import pytest

from walstreet.runtime.config import known_keys
from walstreet.runtime.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "OLD_NAMES.md"
SPELLED = re.compile(r"`([a-z0-9_.]+)`")
SECTIONS = tuple(key for key in known_keys(Settings) if "." not in key)

pytestmark = pytest.mark.spec("002.config", "003.config", "001.config")


def last_columns() -> list[str]:
    """Return the last column of every table row of the page."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| 0")]
    return [row.rstrip(" |").rsplit(" | ", 1)[1] for row in rows]


def test_every_setting_that_is_named_exists():
    """A renamed or removed setting must not live on in the page."""
    named = [
        name
        for column in last_columns()
        for name in SPELLED.findall(column)
        if name.split(".")[0] in SECTIONS and "." in name
    ]
    assert len(named) > 40
    keys = known_keys(Settings)
    assert [name for name in named if name not in keys] == []


def test_every_module_that_is_named_exists():
    """A module that was renamed is found here."""
    named = [name for column in last_columns() for name in SPELLED.findall(column) if name.startswith("walstreet.")]
    assert len(named) > 25
    assert [name for name in dict.fromkeys(named) if importlib.util.find_spec(name) is None] == []


def test_every_file_that_is_linked_exists():
    """Links of the page lead somewhere."""
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


@pytest.mark.parametrize(
    "name",
    [
        "model_dir", "blender_dir", "device", "update_interval", "g_min", "gamma", "delta", "z_max", "max_weight",
        "target_gross", "no_trade_band", "k1", "k2", "k3", "lookback_T", "num_features", "ttl_seconds",
        "blend_weights", "arbitration_mode", "softmax_beta", "use_risk_parity", "ridge_lambda", "symbols", "horizons",
    ],
)  # fmt: skip
def test_every_documented_option_is_listed(name: str):
    """Each configuration name of documents 002 and 003 stands on the page."""
    assert name in PAGE.read_text(encoding="utf-8")
