"""Owns the `inference` entry point."""
