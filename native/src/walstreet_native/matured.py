"""Owns the public names of the compiled kernels of matured outcomes; shapes and units stand in walstreet.kernels."""

from walstreet_native._native import MATURED_INTERFACE_VERSION, contribution, matured_rows, row_medians

__all__ = ["MATURED_INTERFACE_VERSION", "contribution", "matured_rows", "row_medians"]
