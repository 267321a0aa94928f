"""A signal ends the session also where the cancellation that it causes gets lost on the way."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

import pytest

from walstreet_services.cli import up


async def test_a_lost_cancellation_is_noticed_at_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session swallows its cancellation once, as `wait_for` may; the next look at what runs ends it."""
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    session = up.Session(parser.parse_args(["--no-view", "--state", str(tmp_path / "session")]))
    looks = 0

    async def swallowing() -> int:
        nonlocal looks
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            # Lost on purpose.
            await asyncio.sleep(0)
        while True:
            looks += 1
            await session._require_running(parts, follow)
            await asyncio.sleep(0.01)

    follow = asyncio.create_task(asyncio.Event().wait())
    keeper = asyncio.create_task(asyncio.Event().wait())
    parts = argparse.Namespace(keeper=keeper, processes={})
    monkeypatch.setattr(session, "_run", swallowing)
    asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGINT)
    try:
        assert await asyncio.wait_for(session.run(), 10) == 130
    finally:
        for task in (follow, keeper):
            task.cancel()
    assert looks == 1
