"""Owns the `reconciler` entry point."""
