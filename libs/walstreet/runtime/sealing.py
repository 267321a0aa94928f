"""Owns the key of the intents as a file, and the log through which the arbiter seals every block on its way out.

The seal, epoch and signature, belongs to a life of a process and to a folder's key, not to a decision: the core decides
the block, the journal seals it, and replay compares what was decided (docs/adr/0007).
"""

from __future__ import annotations

from pathlib import Path

from walstreet.domain.signing import KEY_BYTES_MIN, KEY_NAME, seal
from walstreet.ports import Journal
from walstreet.runtime.errors import UsageError
from walstreet.runtime.log_wrapper import LogWrapper
from walstreet.runtime.service import Log
from walstreet.runtime.settings import Settings
from walstreet_events import AnyEvent, IntentBlock

PREVIOUS_SUFFIX = ".previous"


def read_intent_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the present key, and behind it the previous one while its file exists.

    Raises:
        UsageError: No file is configured, or one cannot be read or holds no key; no text ever shows its content.
    """
    named, folder = settings.log.intent_key_file, settings.log.credentials_dir
    if not named and not folder:
        raise UsageError(
            "log.intent_key_file and log.credentials_dir are empty, so intents could neither be signed nor verified; "
            f"name a file with at least {2 * KEY_BYTES_MIN} random hexadecimal digits"
        )
    path = Path(named) if named else Path(folder) / KEY_NAME
    previous = path.with_name(path.name + PREVIOUS_SUFFIX)
    return tuple(_read_key(item) for item in (path, *([previous] if previous.exists() else [])))


def _read_key(path: Path) -> bytes:
    remedy = (
        f"it must hold at least {2 * KEY_BYTES_MIN} random hexadecimal digits; `walstreet up` and "
        "`walstreet bootstrap` write one, log.intent_key_file names another"
    )
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise UsageError(f"key of the intents {path}: {error.strerror or 'cannot be read'}; {remedy}") from error
    except ValueError:
        # The error's own text would quote the key.
        raise UsageError(f"key of the intents {path} is no hexadecimal number; {remedy}") from None
    if len(key) < KEY_BYTES_MIN:
        raise UsageError(f"key of the intents {path} has {len(key)} bytes; {remedy}")
    return key


class SealingJournal:
    """A journal that puts epoch and signature on every intent block; satisfies ``walstreet.ports.Journal``."""

    def __init__(self, journal: Journal, key: bytes) -> None:
        """Seal for ``journal`` under ``key``."""
        self._journal = journal
        self._key = key

    @property
    def epoch(self) -> int:
        """Return the producer's epoch."""
        return self._journal.epoch

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Append ``event``, sealed if it is an intent block, and return its stream sequence once it is fsynced."""
        if isinstance(event, IntentBlock):
            event = seal(event, epoch=self._journal.epoch, key=self._key)
        return await self._journal.append(event, through=through)


class SealedLog(LogWrapper):
    """The arbiter's log: the given one with a journal that seals."""

    def __init__(self, log: Log, key: bytes) -> None:
        """Wrap ``log``; everything but the journal is its own."""
        super().__init__(log)
        self._journal = SealingJournal(log.journal, key)

    @property
    def journal(self) -> Journal:
        """Return the durable output."""
        return self._journal
