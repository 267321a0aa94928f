"""Owns the proof that bad input gets one clear message: what was wrong, where, and what to do; nothing is lost."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import socket
from pathlib import Path

import pytest
import yaml

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import Connection, ConnectOptions
from walstreet.adapters.nats.journal import ChainHead, ChainWriter
from walstreet.adapters.nats.server import ADMIN
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_USAGE
from walstreet.testing.stack import Ended, Stack, command, tape
from walstreet_events import DeadLetter, EventId, OperatorCommand, decode, encode
from walstreet_events import headers as names
from walstreet_events.subjects import Service, Stream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MINUTES = ("--minutes", "5", "--symbols", "SYN01", "--set", "session.warmup_days=1")
READERS_OF_COMMANDS = {"gateway", "inference", "arbiter", "execution", "reconciler"}


def refused(ended: Ended, *words: str) -> None:
    """Check that a command was refused in one line for people, which holds ``words``."""
    assert ended.code == EXIT_USAGE, ended.text
    assert "Traceback" not in ended.text
    for word in words:
        assert word in ended.text, f"{word!r} is not in {ended.text!r}"


def test_a_wrong_key_is_named_with_its_neighbour(tmp_path: Path) -> None:
    """A spelling mistake in a file is refused with its path, its file and the nearest key."""
    layer = tmp_path / "mine.yaml"
    layer.write_text("arbiter:\n  limits:\n    gros_max: 0.4\n", encoding="utf-8")
    ended = command("up", "--no-view", "--state", str(tmp_path / "state"), "--config", str(layer))
    refused(ended, "mine.yaml", "unknown key 'arbiter.limits.gros_max'", "did you mean 'arbiter.limits.gross_max'?")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "{tmp}/none", "--day", "2019-02-13"), ("--data", "none is no folder")),
        (("--data", "{data}", "--day", "2019-02-16"), ("2019-02-16 (Saturday) is no trading day", "2019-02-15")),
        (("--data", "{data}", "--day", "2019-02-13", "--symbols", "SPY,NOPE"), ("NOPE.parquet does not exist", "SPY")),
        (("--data", "{data}", "--day", "13.02.2019"), ("13.02.2019", "YYYY-MM-DD")),
    ],
)
def test_missing_data_are_named(
    tmp_path: Path, market_data: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """A folder, a day or a symbol that is not there is named, with what is there instead."""
    filled = [word.format(tmp=tmp_path, data=market_data) for word in arguments]
    ended = command("up", "--no-view", "--state", str(tmp_path / "state"), "--market", "recorded", *filled)
    refused(ended, *words)


def test_a_port_in_use_is_named() -> None:
    """The simulator says which address is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = command("sim", "--host", "127.0.0.1", "--port", str(port), "--market", "synthetic")
    refused(ended, f"127.0.0.1:{port}", "address already in use", "choose another --port")


def test_an_unreachable_server_is_named() -> None:
    """A log that does not answer is named with its address and what to do."""
    ended = command("tape", "verify", "--url", "nats://127.0.0.1:1")
    assert ended.code == EXIT_BROKEN
    assert "no NATS server answers" in ended.text
    assert "nats://127.0.0.1:1" in ended.text
    assert "walstreet up" in ended.text
    assert "Traceback" not in ended.text


def test_a_corrupt_model_file_is_named(tmp_path: Path) -> None:
    """One changed byte in a model file stops the session before it trades, and names the file."""
    models = tmp_path / "models"
    shutil.copytree("models", models)
    file = models / "lightgbm_return_15.txt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    ended = command(
        "up", "--no-view", "--state", str(tmp_path / "state"), "--set", f"inference.folder={models}", *MINUTES
    )
    assert ended.code == EXIT_BROKEN
    assert "did not reach its close: inference ended with code 2" in ended.text
    assert "model 'lightgbm_return_15'" in ended.text
    assert "its file has sha256" in ended.text
    assert "train the zoo again" in ended.text
    assert "Traceback" not in ended.text


def test_an_unknown_tag_is_kept_and_told(tmp_path: Path) -> None:
    """A command of a later version reaches nobody: each reader keeps it as a dead letter, and the end says so."""
    state = tmp_path / "session"
    with Stack(state, *MINUTES, "--set", "session.warmup_days=1") as stack:
        stack.wait_progress(10)
        payload = asyncio.run(_send_unknown(state))
        ended = stack.wait()
    letters = [letter for kept in tape(state, Stream.DEAD) if isinstance(letter := decode(kept.payload), DeadLetter)]
    assert {letter.service for letter in letters} == READERS_OF_COMMANDS
    assert {(letter.reason, letter.subject, letter.payload) for letter in letters} == {
        ("unknown_tag", "ctl.command", payload)
    }
    assert "operator_command.v9" in letters[0].detail
    assert ended.code == EXIT_BROKEN
    assert ended.summary["dead_letters"] == len(READERS_OF_COMMANDS)
    assert "dead letters" in " ".join(ended.summary["broken"])
    assert ended.summary["decisions"] == 5


async def _send_unknown(state: Path) -> bytes:
    """Append one operator's command of a version that nobody here knows, and return its payload."""
    settings = yaml.safe_load((state / "session.yaml").read_text(encoding="utf-8"))["log"]
    password = Path(settings["credentials_dir"]) / ADMIN
    connection = Connection(ConnectOptions(url=settings["url"], user=ADMIN, password_file=str(password)))
    await connection.open()
    try:
        writer = ChainWriter(service=Service.OPERATOR, wall=WallClock())
        stream = connection.client.jetstream()
        first = writer.draft(writer.epoch_event(ChainHead(), ts_ns=0, config_hash=""), through=0, fence_seq=0)
        fence = await stream.publish(first.subject, first.payload, headers=first.header)
        writer.stored(first, fence.seq)
        event = OperatorCommand(
            id=EventId("unknown"),
            cause=EventId("unknown"),
            ts_ns=0,
            command="arm",
            arguments={},
            operator="a newer program",
        )
        draft = writer.draft(event, through=0, fence_seq=fence.seq)
        payload = encode(event).replace(b"operator_command.v1", b"operator_command.v9")
        chain = names.chain_next(
            first.chain, producer="operator", epoch=1, seq=draft.seq, subject=draft.subject, payload=payload
        )
        await stream.publish(draft.subject, payload, headers={**draft.header, names.CHAIN: chain})
    finally:
        await connection.close()
    return payload


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_flipped_byte_is_found(reference_state: Path, tmp_path: Path, seed: int) -> None:
    """One bit of one stored message changed on the disk: `tape verify` names the place and ends with 1."""
    state = tmp_path / "copy"
    shutil.copytree(reference_state, state)
    victim = random.Random(seed).choice(tape(reference_state)[1:-1])
    file, place = _stored_at(state, victim.payload)
    content = bytearray(file.read_bytes())
    content[place + len(victim.payload) // 2] ^= 0x04
    file.write_bytes(content)
    ended = command("tape", "verify", "--state", str(state), "--json")
    report = json.loads(ended.out)
    assert ended.code == EXIT_BROKEN
    assert report["clean"] is False
    assert victim.seq in {fault["seq"] for fault in report["faults"]}
    told = command("tape", "verify", "--state", str(state))
    assert told.code == EXIT_BROKEN
    assert str(victim.seq) in told.out
    assert "do not replay or trade on this TAPE" in told.text


def _stored_at(state: Path, payload: bytes) -> tuple[Path, int]:
    """Return the block file that holds ``payload``, and where in it."""
    for file in sorted(state.rglob("*.blk")):
        place = file.read_bytes().find(payload)
        if place >= 0 and Stream.TAPE.value in file.parts:
            return file, place
    raise AssertionError("the payload is in no block")
