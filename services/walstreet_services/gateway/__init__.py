"""Owns the `gateway` entry point."""
