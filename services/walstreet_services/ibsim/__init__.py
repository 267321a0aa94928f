"""Owns the gateway simulator: a TCP server that speaks the TWS protocol over a recorded or synthetic market."""
