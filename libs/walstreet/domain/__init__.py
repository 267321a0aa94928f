"""Owns the decisions: pure functions and values, no I/O, time as an argument."""
