"""Owns the Python entry of document 002: one system or several strategies, started, asked and stopped from Python."""
