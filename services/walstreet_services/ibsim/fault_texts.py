"""Owns the broker's words for the codes that faults send."""

from __future__ import annotations

TEXTS = {
    100: "Max rate of messages per second has been exceeded",
    101: "Max number of tickers has been reached",
    103: "Duplicate order id",
    104: "Cannot modify a filled order.",
    105: "Order being modified does not match original order.",
    110: "The price does not conform to the minimum price variation for this contract.",
    161: "Cancel attempted when order is not in a cancellable state",
    162: "Historical Market Data Service error message:Historical data request pacing violation",
    200: "No security definition has been found for the request",
    201: "Order rejected - reason:rejected by the system",
    202: "Order Canceled - reason:",
    321: "Error validating request: cause - the request is not valid",
    322: "Error processing request: Duplicate ticker id",
    326: "Unable to connect as the client id is already in use. Retry with a unique client id.",
    354: "Requested market data is not subscribed. Delayed market data is available.",
    366: "No historical data query found for ticker id",
    399: "Order Message: Warning: your order will not be placed at the exchange until the market opens",
    404: "Order held while securities are located.",
    420: "Invalid Real-time Query: pacing violation",
    434: "The order size cannot be zero.",
    502: "Couldn't connect to TWS.",
    504: "Not connected",
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and TWS has been restored - data lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data maintained.",
    1300: "Socket port has been reset and this connection is being dropped.",
    2103: "Market data farm connection is broken:usfarm",
    2104: "Market data farm connection is OK:usfarm",
    2105: "HMDS data farm connection is broken:ushmds",
    2106: "HMDS data farm connection is OK:ushmds",
    2107: "HMDS data farm connection is inactive but should be available upon demand.ushmds",
    2108: "Market data farm connection is inactive but should be available upon demand.usfarm",
    2109: "Order Event Warning: Attribute 'Outside Regular Trading Hours' is ignored based on the order type.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    2157: "Sec-def data farm connection is broken:secdefil",
    2158: "Sec-def data farm connection is OK:secdefil",
    10090: "Part of requested market data is not subscribed.",
    10091: "Part of requested market data requires additional subscription for API.",
    10147: "OrderId that needs to be cancelled is not found.",
    10148: "OrderId that needs to be cancelled cannot be cancelled.",
    10167: "Requested market data is not subscribed. Displaying delayed market data.",
    10197: "No market data during competing live session",
    10243: "Fractional-sized order cannot be placed via API.",
    10349: "Order TIF was set to DAY based on order preset.",
}
FARM_OK = {2103: 2104, 2105: 2106, 2107: 2106, 2108: 2104, 2110: 2104, 2157: 2158}
"""Which notice ends which trouble of a farm."""


def text_of(code: int, text: str = "") -> str:
    """Return the given text, or the broker's for the code."""
    return text or TEXTS.get(code, f"code {code}")
