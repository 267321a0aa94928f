"""Whatever a configuration, a model, a fault script or a data file holds, it is read or refused with a reason.

``make fuzz COUNT=12000`` runs the same with as many inputs, spread over the kinds; the seed is printed on a failure.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from walstreet.adapters.lightgbm_models import LightGbmModel
from walstreet.adapters.model_zoo import read_manifest
from walstreet.domain.model_manifest import ManifestError
from walstreet.research.swing_data import read_bars
from walstreet.runtime.config import setting
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import load_settings
from walstreet.testing.events import every_event
from walstreet_events import EventDecodeError, decode, encode
from walstreet_services.ibsim.fault_load import FaultError, load_script
from walstreet_services.ibsim.market_errors import MarketDataError
from walstreet_services.ibsim.market_files import read_minute_file

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("WALSTREET_FUZZ_SEED", "20261121"))
COUNT = int(os.environ.get("WALSTREET_FUZZ_COUNT", "600"))
SHARES = {
    "events": 0.4,
    "configs": 0.2,
    "scripts": 0.15,
    "manifests": 0.1,
    "forests": 0.1,
    "minutes": 0.025,
    "days": 0.025,
}
"""Of the count; files of data cost more each."""
SECONDS_MAX = 5.0
"""One input that takes longer counts as a hang."""
WORDS = (
    "",
    "null",
    "~",
    "-1",
    "1e400",
    ".nan",
    "[]",
    "{}",
    "!!python/object:os.system {}",
    "\x00",
    "\U0001f4a5",
    "0x",
    "'",
)

pytestmark = pytest.mark.timeout(900)

Damage = Callable[[bytes, random.Random], bytes]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return ``content`` with bits flipped, pieces cut, doubled, exchanged, or words put in."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        if not data:
            break
        place = draw.randrange(len(data))
        match draw.randrange(6):
            case 0:
                data[place] ^= 1 << draw.randrange(8)
            case 1:
                del data[place : place + draw.randint(1, 64)]
            case 2:
                data[place:place] = data[place : place + draw.randint(1, 64)]
            case 3:
                del data[place:]
            case 4:
                data[place:place] = draw.choice(WORDS).encode()
            case _:
                data[place : place + 4] = draw.randbytes(4)
    return bytes(data)


class Tally:
    """Counts outcomes of one kind, and fails on a crash, a hang, or a refusal without a reason."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.outcomes: Counter[str] = Counter()
        self.count = max(20, round(COUNT * SHARES[kind]))
        self.draw = random.Random(f"{SEED}:{kind}")

    def numbers(self) -> Iterator[int]:
        """Yield one number for each input."""
        yield from range(self.count)

    def read(self, number: int, read: Callable[[], object], refusals: tuple[type[Exception], ...]) -> None:
        """Read one input."""
        started = time.perf_counter()
        place = f"seed {SEED}, {self.kind} number {number}"
        try:
            read()
            self.outcomes["read"] += 1
        except refusals as error:
            self.outcomes["refused" if str(error).strip() else "silent"] += 1
        except Exception as error:
            raise AssertionError(f"{place}: {type(error).__name__}: {error}") from error
        elapsed_s = time.perf_counter() - started
        assert elapsed_s < SECONDS_MAX, f"{place}: {elapsed_s:.1f} s"

    def finish(self) -> None:
        """Check that the inputs were truly malformed, and tell the count."""
        assert self.outcomes["silent"] == 0, f"{self.kind}: refused without a reason: {dict(self.outcomes)}"
        assert self.outcomes["refused"] > self.count // 10, f"{self.kind}: {dict(self.outcomes)}"
        if path := os.environ.get("WALSTREET_FUZZ_OUT"):
            with Path(path).open("a", encoding="utf-8") as sink:
                sink.write(f"{self.kind} {self.count} {self.outcomes['read']} {self.outcomes['refused']} {SEED}\n")


def test_events() -> None:
    """Damaged payloads of every type of event are decoded or refused."""
    tally = Tally("events")
    payloads = [encode(event) for event in every_event().values()]
    for number in tally.numbers():
        payload = damaged(tally.draw.choice(payloads), tally.draw)
        tally.read(number, lambda payload=payload: decode(payload), (EventDecodeError,))  # type: ignore[misc]
    tally.finish()


def test_configurations(tmp_path: Path) -> None:
    """Damaged layers and settings with odd values give settings, or a message about the key or the file."""
    tally = Tally("configs")
    base = (ROOT / "config" / "base.yaml").read_bytes()
    keys = [
        line.split("`")[1] for line in (ROOT / "docs/CONFIGURATION.md").read_text().splitlines() if line[:3] == "| `"
    ]
    path = tmp_path / "layer.yaml"
    for number in tally.numbers():
        odd = number % 2 == 1
        path.write_bytes(damaged(base, tally.draw) if odd else base)
        text = "" if odd else f"{tally.draw.choice(keys)}={tally.draw.choice(WORDS)}"

        def read(text: str = text) -> object:
            return load_settings([path], environment={}, over=[setting(text)] if text else [])

        tally.read(number, read, (UsageError,))
    tally.finish()


def test_fault_scripts(tmp_path: Path) -> None:
    """Damaged fault scripts are read or refused."""
    tally = Tally("scripts")
    scripts = [path.read_bytes() for path in sorted((ROOT / "tests" / "faults").glob("*.yaml"))]
    path = tmp_path / "script.yaml"
    for number in tally.numbers():
        path.write_bytes(damaged(tally.draw.choice(scripts), tally.draw))
        tally.read(number, lambda: load_script(path), (FaultError,))
    tally.finish()


def test_model_manifests(tmp_path: Path) -> None:
    """Damaged manifests of a zoo are read or refused, before any model file is opened."""
    tally = Tally("manifests")
    content = (ROOT / "models" / "manifest.yaml").read_bytes()
    for number in tally.numbers():
        (tmp_path / "manifest.yaml").write_bytes(damaged(content, tally.draw))
        tally.read(number, lambda: read_manifest(tmp_path), (ManifestError,))
    tally.finish()


def test_forest_files() -> None:
    """Damaged forests never reach the vendor's parser, which would end the process; nor do they answer nonsense."""
    tally = Tally("forests")
    path = next(iter(sorted((ROOT / "models").glob("lightgbm_*.txt"))))
    content = path.read_bytes()
    features = yaml.safe_load((ROOT / "models" / "manifest.yaml").read_text())["feature_count"]
    probe = np.zeros((2, features))
    for number in tally.numbers():
        broken = damaged(content[: 40_000 if tally.draw.random() < 0.1 else None], tally.draw)
        if hashlib.sha256(broken).digest() == hashlib.sha256(content).digest():
            continue

        def read(broken: bytes = broken) -> object:
            return LightGbmModel(broken, features=features).predict(probe)

        tally.read(number, read, (ValueError, UnicodeDecodeError))
    tally.finish()


@pytest.mark.parametrize("kind", ["minutes", "days"])
def test_data_files(kind: str, tmp_path: Path) -> None:
    """Damaged Parquet files, and sound ones with impossible rows, are read or refused with their place."""
    tally = Tally(kind)
    folder = tmp_path / "minute"
    folder.mkdir()
    good = folder / "A.parquet"
    frame = minutes() if kind == "minutes" else days()
    for number in tally.numbers():
        if number % 2:
            spoiled(frame, tally.draw).write_parquet(good)
        else:
            frame.write_parquet(good)
            good.write_bytes(damaged(good.read_bytes(), tally.draw))
        shutil.copyfile(good, tmp_path / "A.parquet")
        if kind == "minutes":
            tally.read(number, lambda: read_minute_file(tmp_path, "A"), (MarketDataError,))
        else:
            tally.read(number, lambda: read_bars(tmp_path, ["A"]), (UsageError,))
    tally.finish()


def minutes() -> pl.DataFrame:
    """Return an hour of one-minute bars."""
    start = 1_718_199_000_000_000
    ts = pl.Series("ts", [start + 60_000_000 * minute for minute in range(60)]).cast(pl.Datetime("us", "UTC"))
    return prices(60).insert_column(0, ts)


def days() -> pl.DataFrame:
    """Return two months of daily bars."""
    return prices(60).insert_column(0, pl.Series("date", [date(2024, 1, 1) + timedelta(day) for day in range(60)]))


def prices(rows: int) -> pl.DataFrame:
    """Return sound bars."""
    close = [100.0 + 0.1 * row for row in range(rows)]
    return pl.DataFrame(
        {
            "open": close,
            "high": [value + 1.0 for value in close],
            "low": [value - 1.0 for value in close],
            "close": close,
            "volume": [1_000] * rows,
        }
    )


def spoiled(frame: pl.DataFrame, draw: random.Random) -> pl.DataFrame:
    """Return the frame with one impossible cell, a missing column, a wrong type, or rows out of order."""
    column = draw.choice([name for name in frame.columns if name not in ("ts", "date")])
    match draw.randrange(5):
        case 0:
            bad = draw.choice([float("nan"), float("inf"), -1.0, 0.0, 1e300])
            values = frame[column].cast(pl.Float64).to_list()
            values[draw.randrange(len(values))] = bad
            return frame.with_columns(pl.Series(column, values))
        case 1:
            return frame.drop(column)
        case 2:
            return frame.with_columns(pl.col(column).cast(pl.String))
        case 3:
            return frame.reverse()
        case _:
            return pl.concat([frame, frame.tail(1)])
