"""Owns a stand-alone check: the vendor's client connects to a running simulator, streams, trades and cancels.

Usage: ``python ibapi_check.py HOST PORT SYMBOL``. Prints one JSON object; exit code 0 means that all passed. The
vendor's package is the third, independent judge of the protocol; its licence allows it in tests only.
"""

# The vendor's callbacks dictate their own names and arguments.
# ruff: noqa: N802, N803, ARG002, SIM905

import json
import logging
import sys
import threading
import time
from collections import defaultdict

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.order_cancel import OrderCancel
from ibapi.wrapper import EWrapper

SECONDS_MAX = 30.0
NOTICES = {202, 2104, 2106, 2158}
CONTRACT_ID, QUOTES_ID, HISTORY_ID, BARS_ID, EXECUTIONS_ID, SUMMARY_ID, HEAD_ID, PNL_ID = range(9001, 9009)


class Problems(logging.Handler):
    """Collects what the client's own log complains about."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line; notices are logged as errors by this client and are none."""
        text = record.getMessage()
        if not any(str(code) in text for code in NOTICES):
            self.found.append(f"{record.name}: {text[:300]}")


class Client(EWrapper, EClient):
    """Records every callback by name."""

    def __init__(self) -> None:
        EClient.__init__(self, self)
        self.seen: dict[str, list] = defaultdict(list)

    def error(self, reqId, errorTime, errorCode, errorString, advancedOrderRejectJson="") -> None:
        """Record an error."""
        self.seen["error"].append((reqId, errorCode, errorString))

    def nextValidId(self, orderId) -> None:
        """Record the next valid id."""
        self.seen["nextValidId"].append(orderId)

    def managedAccounts(self, accountsList) -> None:
        """Record the accounts."""
        self.seen["managedAccounts"].append(accountsList)


def _recorder(name: str):
    def record(self, *arguments) -> None:
        self.seen[name].append(arguments)

    return record


for _name in (
    "contractDetails contractDetailsEnd tickPrice tickSize tickString tickGeneric marketDataType tickReqParams "
    "historicalData historicalDataEnd realtimeBar openOrder openOrderEnd orderStatus execDetails execDetailsEnd "
    "commissionAndFeesReport position positionEnd updateAccountValue updatePortfolio updateAccountTime "
    "accountDownloadEnd accountSummary accountSummaryEnd completedOrder completedOrdersEnd currentTime "
    "headTimestamp pnl marketRule symbolSamples"
).split():
    setattr(Client, _name, _recorder(_name))


def until(condition, name: str) -> None:
    """Wait for a condition, or fail with its name."""
    for _ in range(round(SECONDS_MAX / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError(f"{name} did not happen within {SECONDS_MAX:.0f} s")


def stock(symbol: str) -> Contract:
    """Return the contract of a symbol."""
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = symbol, "STK", "SMART", "USD"
    return contract


def order_of(action: str, quantity: int, kind: str, limit: float | None = None) -> Order:
    """Return an order of the day."""
    order = Order()
    order.action, order.totalQuantity, order.orderType, order.tif = action, quantity, kind, "DAY"
    if limit is not None:
        order.lmtPrice = limit
    return order


def trade(client: Client, symbol: str, facts: dict) -> None:
    """Rest and cancel one order, fill another, preview a third."""
    seen, contract = client.seen, stock(symbol)
    first = seen["nextValidId"][0]
    bid = next(row[2] for row in reversed(seen["tickPrice"]) if row[1] == 1)

    def statuses(order_id: int) -> list[str]:
        return [row[1] for row in seen["orderStatus"] if row[0] == order_id]

    client.placeOrder(first, contract, order_of("BUY", 10, "LMT", round(bid * 0.8, 2)))
    until(lambda: "Submitted" in statuses(first), "a resting order")
    client.reqOpenOrders()
    until(lambda: seen["openOrderEnd"], "the open orders")
    client.cancelOrder(first, OrderCancel())
    until(lambda: "Cancelled" in statuses(first), "the cancel")
    client.placeOrder(first + 1, contract, order_of("BUY", 50, "MKT"))
    until(lambda: "Filled" in statuses(first + 1), "the fill")
    until(lambda: seen["commissionAndFeesReport"], "the commission")
    preview = order_of("SELL", 10, "MKT")
    preview.whatIf = True
    client.placeOrder(first + 2, contract, preview)
    until(lambda: any(row[0] == first + 2 for row in seen["openOrder"]), "the preview")
    state = next(row[3] for row in seen["openOrder"] if row[0] == first + 2)
    facts["what_if_initial_margin"] = float(state.initMarginAfter)
    facts["filled"] = str(sum(row[2].shares for row in seen["execDetails"]))


def check(client: Client, symbol: str, facts: dict) -> None:
    """Run the whole check."""
    seen, contract = client.seen, stock(symbol)
    until(lambda: seen["nextValidId"] and seen["managedAccounts"], "the start of the session")
    facts["server_version"] = client.serverVersion()
    client.reqContractDetails(CONTRACT_ID, contract)
    until(lambda: seen["contractDetailsEnd"], "contract details")
    client.reqMatchingSymbols(CONTRACT_ID + 100, symbol[:3])
    client.reqMarketRule(26)
    client.reqMktData(QUOTES_ID, contract, "233,236", False, False, [])
    client.reqRealTimeBars(BARS_ID, contract, 5, "TRADES", False, [])
    until(lambda: {1, 2, 4} <= {row[1] for row in seen["tickPrice"]}, "quotes and a trade")
    until(lambda: len(seen["realtimeBar"]) >= 2, "two real-time bars")
    client.reqHistoricalData(HISTORY_ID, contract, "", "2 D", "15 mins", "TRADES", 1, 1, False, [])
    client.reqHeadTimeStamp(HEAD_ID, contract, "TRADES", 1, 1)
    until(lambda: seen["historicalDataEnd"] and seen["headTimestamp"], "history")
    facts["history_bars"] = len(seen["historicalData"])
    trade(client, symbol, facts)
    client.reqPositions()
    client.reqAccountUpdates(True, seen["managedAccounts"][0])
    client.reqAccountSummary(SUMMARY_ID, "All", "NetLiquidation,BuyingPower")
    client.reqExecutions(EXECUTIONS_ID, ExecutionFilter())
    client.reqCompletedOrders(False)
    client.reqPnL(PNL_ID, seen["managedAccounts"][0], "")
    client.reqCurrentTime()
    ends = (
        "positionEnd accountDownloadEnd accountSummaryEnd execDetailsEnd completedOrdersEnd currentTime pnl "
        "symbolSamples marketRule completedOrder accountSummary position updatePortfolio tickReqParams"
    ).split()
    for name in ends:
        until(lambda name=name: seen[name], name)
    client.reqScannerParameters()
    client.reqHistogramData(777, contract, True, "1 week")
    until(lambda: any(row[0] == 777 for row in seen["error"]), "an error for an unserved request")
    facts["callbacks"] = {name: len(rows) for name, rows in sorted(seen.items())}
    unexpected = [row for row in seen["error"] if row[1] not in NOTICES | {505}]
    assert not unexpected, f"errors: {unexpected}"


def main() -> int:
    """Run the check and print its summary."""
    problems = Problems()
    logging.getLogger().addHandler(problems)
    client = Client()
    facts: dict = {"client": "ibapi"}
    client.connect(sys.argv[1], int(sys.argv[2]), clientId=22)
    threading.Thread(target=client.run, daemon=True).start()
    try:
        check(client, sys.argv[3], facts)
    except (TimeoutError, AssertionError, StopIteration, ValueError) as failure:
        problems.found.append(f"{type(failure).__name__}: {failure}")
    client.disconnect()
    problems.found = [text for text in problems.found if " 505 " not in text and "505" not in text[:200]]
    facts["problems"] = problems.found
    facts["passed"] = not problems.found
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0 if facts["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
