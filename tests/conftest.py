"""Owns what all tests share: the market data folder and the rule that CI must not skip for want of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Return the folder of real market data, or skip; fail instead where the data are required (CI)."""
    text = os.environ.get("WALSTREET_DATA", "")
    folder = Path(text) if text else None
    if folder is not None and (folder / "minute").is_dir():
        return folder.resolve()
    reason = f"no market data: WALSTREET_DATA={text!r} names no folder with minute/*.parquet"
    if os.environ.get("WALSTREET_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
