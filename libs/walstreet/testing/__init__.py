"""Owns test doubles (real adapters of the ports), strategies and the given/when/then helpers."""
