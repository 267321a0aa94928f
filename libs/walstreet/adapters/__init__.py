"""Owns the adapters: one sub-package or module for each vendor library."""
