"""Owns the `execution` entry point."""
