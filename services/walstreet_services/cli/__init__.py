"""Owns the `cli` entry point."""
