"""Owns what every process shares: the loop, configuration, logs, health and supervision."""
