"""Owns how a process learns of an emergency without the log: the flag file, a signal, and what it remembers."""

from __future__ import annotations

from pathlib import Path

DETAIL_CHARACTERS_MAX = 500
"""Of the flag file's text; the first line may say who touched it and why."""


class PanicFlag:
    """The file that stops trading while it exists."""

    def __init__(self, path: Path) -> None:
        """Look for ``path``."""
        self.path = path

    def present(self) -> bool:
        """Return whether the file exists; a folder that cannot be read counts as not."""
        try:
            return self.path.exists()
        except OSError:
            return False

    def text(self) -> str:
        """Return what the file says, for the record."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")[:DETAIL_CHARACTERS_MAX].strip()
        except OSError:
            return ""


class Alarm:
    """Whether this process is in an emergency, as far as it can know by itself."""

    def __init__(self, flag: PanicFlag) -> None:
        """Begin quiet."""
        self.flag = flag
        self.raised = False
        """True from the beginning of an emergency until a person resumes."""

    def look(self) -> bool:
        """Return whether there is an emergency; the flag is looked for now."""
        return self.raised or self.flag.present()
