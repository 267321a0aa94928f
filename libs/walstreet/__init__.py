"""Owns the library of walstreet: pure domain, kernels, ports, adapters, runtime, research and replay."""

__version__ = "0.1.0"
