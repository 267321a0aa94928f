"""Owns the groups of fields that several requests share: the contract, its legs and its delta-neutral part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.requests import ContractSpec

if TYPE_CHECKING:
    from walstreet_services.ibsim.wire import FieldReader


def contract(reader: FieldReader) -> ContractSpec:
    """Return the twelve contract fields."""
    con_id, symbol, sec_type = reader.integer(), reader.text(), reader.text()
    reader.skip(4)  # Expiry, strike, right and multiplier belong to derivatives, which are not offered.
    return ContractSpec(
        con_id=con_id,
        symbol=symbol,
        sec_type=sec_type,
        exchange=reader.text(),
        primary_exchange=reader.text(),
        currency=reader.text(),
        local_symbol=reader.text(),
        trading_class=reader.text(),
    )


def skip_legs(reader: FieldReader, spec: ContractSpec, *, fields_per_leg: int) -> None:
    """Pass over the legs that only a combination carries."""
    if spec.sec_type == "BAG":
        reader.skip(reader.count() * fields_per_leg)


def skip_delta_neutral(reader: FieldReader) -> bool:
    """Pass over the delta-neutral contract and say whether there was one."""
    present = reader.flag()
    if present:
        reader.skip(3)
    return present
