"""Owns the `arbiter` entry point."""
