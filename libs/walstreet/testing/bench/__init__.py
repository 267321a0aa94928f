"""Owns the benchmark: rows that compare walstreet with what a user would pick instead, in the same run."""
