"""Owns what reads a recorded TAPE again: verification, replay and explanation."""
