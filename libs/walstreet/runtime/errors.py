"""Owns the errors that end a process with a message for its operator."""

from __future__ import annotations

EXIT_OK = 0
EXIT_BROKEN = 1
"""The run ended, and an invariant did not hold."""
EXIT_USAGE = 2
"""Bad input: configuration, file, address. The message says what to change."""
EXIT_TIMEOUT = 3
EXIT_FALLBACK = 4
"""The log did not take it; another way was used, and the text says which and what it cannot promise."""
EXIT_SIGNAL_BASE = 128
"""A session that a signal ended early returns this plus the signal's number: 130 for SIGINT, 143 for SIGTERM."""


class UsageError(Exception):
    """The operator's input cannot be used; the text names the value, the place and the remedy."""
