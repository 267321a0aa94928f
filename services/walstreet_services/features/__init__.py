"""Owns the `features` entry point."""
