"""Owns the exceptions of the NATS adapter; the tree is drawn in the package's docstring."""

from __future__ import annotations


class LogError(RuntimeError):
    """The log cannot be used as asked."""


class LogUnreachableError(LogError):
    """No server answers at the address, or it stayed away longer than the bound."""


class NotDurableError(LogError):
    """The server does not sync before it acknowledges, so nothing may depend on it."""


class FencedError(LogError):
    """A newer epoch of this producer exists; this process is a zombie and must stop at once."""


class AppendRefusedError(LogError):
    """The server refused a message for a reason that repeating will not mend."""


class TapeRegressedError(LogError):
    """The stream ends before a sequence that was read already."""
