"""Owns the entry points: six services, the gateway simulator and the command line."""
