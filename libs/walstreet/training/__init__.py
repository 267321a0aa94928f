"""Owns training: datasets and labels from the live feature code, the zoo's models, their proof and export."""
