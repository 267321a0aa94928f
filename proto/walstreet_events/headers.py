"""Owns the message headers: identity of the producer, the hash chain and what may differ between two runs."""

from __future__ import annotations

import hashlib

MSG_ID = "Nats-Msg-Id"
PRODUCER = "Ws-Producer"
EPOCH = "Ws-Epoch"
SEQ = "Ws-Seq"
CHAIN = "Ws-Chain"
THROUGH = "Ws-Through"
"""Stream sequence of the last input that the producer had processed when it wrote the message."""
WALL_NS = "Ws-Wall-Ns"
HOST = "Ws-Host"
VERSION = "Ws-Version"

CHAIN_DIGEST_BYTES = 16
CHAIN_START = ""
"""Chain value before the first message of a producer's first epoch."""


def chain_next(previous: str, *, producer: str, epoch: int, seq: int, subject: str, payload: bytes) -> str:
    """Return the chain value of a message: BLAKE2b-128 over the previous value, the identity and the payload."""
    digest = hashlib.blake2b(digest_size=CHAIN_DIGEST_BYTES)
    digest.update(f"{previous}\n{producer}\n{epoch}\n{seq}\n{subject}\n".encode())
    digest.update(payload)
    return digest.hexdigest()
