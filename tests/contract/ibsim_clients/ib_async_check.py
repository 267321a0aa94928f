"""Owns a stand-alone check: unmodified ib_async connects to a running simulator, streams, trades and cancels.

Usage: ``python ib_async_check.py HOST PORT SYMBOL``. Prints one JSON object; exit code 0 means that all passed.
"""

import asyncio
import json
import logging
import sys

from ib_async import IB, LimitOrder, MarketOrder, Stock

SECONDS_MAX = 30.0


class Problems(logging.Handler):
    """Collects what the client's own log complains about."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, except for the cancel that the check itself asks for."""
        text = record.getMessage()
        if "202" not in text and "Canceled order" not in text:
            self.found.append(f"{record.name}: {text[:300]}")


async def until(condition, name: str) -> None:
    """Wait for a condition, or fail with its name."""
    for _ in range(round(SECONDS_MAX / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{name} did not happen within {SECONDS_MAX:.0f} s")


async def check(host: str, port: int, symbol: str) -> dict[str, object]:
    """Run the whole check."""
    facts: dict[str, object] = {}
    ib = IB()
    await ib.connectAsync(host, port, clientId=21, timeout=5)
    facts["server_version"] = ib.client.serverVersion()
    (contract,) = await ib.qualifyContractsAsync(Stock(symbol, "SMART", "USD"))
    ticker = ib.reqMktData(contract)
    await until(lambda: ticker.bid and ticker.bid > 0 and ticker.ask and ticker.ask > ticker.bid, "a quote")
    facts["bid"], facts["ask"] = ticker.bid, ticker.ask
    bars = ib.reqRealTimeBars(contract, 5, "TRADES", False)
    await until(lambda: len(bars) >= 2, "two real-time bars")
    history = await asyncio.wait_for(
        ib.reqHistoricalDataAsync(contract, "", "2 D", "15 mins", "TRADES", True), SECONDS_MAX
    )
    facts["history_bars"] = len(history)
    assert history
    order = LimitOrder("BUY", 10, round(ticker.bid * 0.8, 2), tif="DAY", account=ib.managedAccounts()[0])
    resting = ib.placeOrder(contract, order)
    await until(lambda: resting.orderStatus.status == "Submitted", "a resting order")
    ib.cancelOrder(order)
    await until(lambda: resting.orderStatus.status == "Cancelled", "the cancel")
    bought = ib.placeOrder(contract, MarketOrder("BUY", 50, tif="DAY", account=ib.managedAccounts()[0]))
    await until(lambda: bought.orderStatus.status == "Filled", "the fill")
    await until(lambda: all(fill.commissionReport.commission > 0 for fill in bought.fills), "the commission")
    facts["filled"] = sum(fill.execution.shares for fill in bought.fills)
    await until(lambda: any(item.position == 50 for item in ib.positions()), "the position")
    state = await asyncio.wait_for(ib.whatIfOrderAsync(contract, MarketOrder("SELL", 10)), SECONDS_MAX)
    facts["what_if_initial_margin"] = float(state.initMarginAfter)
    facts["time"] = str(await asyncio.wait_for(ib.reqCurrentTimeAsync(), SECONDS_MAX))
    facts["completed_orders"] = len(await asyncio.wait_for(ib.reqCompletedOrdersAsync(False), SECONDS_MAX))
    ib.disconnect()
    return facts


def main() -> int:
    """Run the check and print its summary."""
    problems = Problems()
    logging.getLogger().addHandler(problems)
    facts: dict[str, object] = {"client": "ib_async"}
    try:
        facts |= asyncio.run(check(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
    except (TimeoutError, AssertionError, ConnectionError, OSError, ValueError) as failure:
        problems.found.append(f"{type(failure).__name__}: {failure}")
    facts["problems"] = problems.found
    facts["passed"] = not problems.found
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0 if facts["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
