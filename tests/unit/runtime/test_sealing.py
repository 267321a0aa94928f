"""Owns the tests of the key's file and of the journal that seals intents on their way out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from walstreet.adapters.nats.server import write_credentials
from walstreet.domain.signing import KEY_BYTES_MIN, KEY_NAME, sign, unsealed
from walstreet.runtime.errors import UsageError
from walstreet.runtime.sealing import SealingJournal, read_intent_keys
from walstreet.runtime.settings import LogSettings, Settings
from walstreet.testing.execution_world import KEY, block, clock, intent
from walstreet_events import AnyEvent


class Kept:
    """A journal that keeps what it is given."""

    epoch = 4

    def __init__(self) -> None:
        """Begin empty."""
        self.events: list[AnyEvent] = []

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Keep the event."""
        self.events.append(event)
        return through + len(self.events)


def settings(folder: Path | str = "", file: Path | str = "") -> Settings:
    """Return settings that name a folder or a file."""
    return Settings(log=LogSettings(credentials_dir=str(folder), intent_key_file=str(file)))


async def test_every_block_of_intents_is_sealed_and_nothing_else() -> None:
    """Epoch and signature are the journal's, the sequence is the inner one's, and other events pass untouched."""
    inner = Kept()
    journal = SealingJournal(inner, KEY)
    plain = msgspec.structs.replace(block(intent()), epoch=0, signature=b"")
    assert await journal.append(plain, through=7) == 8
    assert await journal.append(clock(1), through=7) == 9
    assert journal.epoch == 4
    assert inner.events == [sign(msgspec.structs.replace(plain, epoch=4), KEY), clock(1)]
    assert unsealed(inner.events[0]) == plain
    assert unsealed(clock(1)) == clock(1)


def test_the_key_is_made_with_the_passwords_kept_and_private(tmp_path: Path) -> None:
    """It has the digest's size, nobody else may read it, a second start keeps it, and two folders differ."""
    write_credentials(tmp_path / "one")
    key = read_intent_keys(settings(tmp_path / "one"))
    write_credentials(tmp_path / "one")
    write_credentials(tmp_path / "two")
    assert read_intent_keys(settings(tmp_path / "one")) == key
    assert read_intent_keys(settings(tmp_path / "two")) != key
    assert [len(item) for item in key] == [KEY_BYTES_MIN]
    assert (tmp_path / "one" / KEY_NAME).stat().st_mode & 0o777 == 0o600


def test_a_file_may_be_named_and_the_previous_key_stands_beside_it(tmp_path: Path) -> None:
    """The named file wins over the folder; the old key comes second."""
    file = tmp_path / "mine"
    file.write_text("ab" * 32 + "\n", encoding="ascii")
    file.with_name("mine.previous").write_text("cd" * 40, encoding="ascii")
    assert read_intent_keys(settings(tmp_path, file)) == (b"\xab" * 32, b"\xcd" * 40)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), ("secret stuff", "no hexadecimal"), ("ab" * 31, "has 31 bytes"), ("", "has 0 bytes")],
)
def test_a_bad_key_is_refused_without_showing_it(tmp_path: Path, content: str | None, words: str) -> None:
    """The error names the file, the fault and the remedy, and never the content."""
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="ascii")
    with pytest.raises(UsageError, match=words) as caught:
        read_intent_keys(settings(file=file))
    assert str(file) in str(caught.value)
    assert "intent_key_file" in str(caught.value)
    assert not content or content not in str(caught.value)


def test_without_a_key_neither_side_starts() -> None:
    """There is no unsigned mode."""
    with pytest.raises(UsageError, match="neither be signed nor verified"):
        read_intent_keys(settings())
