"""Owns the three results that a check of recorded facts can have."""

from __future__ import annotations

from enum import StrEnum


class CheckResult(StrEnum):
    """Result of one check, or of several together."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Too little, or too uncertain, to say anything."""
