"""Owns the tables of `bot`: rows of text from a verb's metrics, the same for the terminal and for the tear sheet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Heads, and the rows below them."""
MISSING = "n/a"
NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+%?|n/a")
"""A column of nothing else is aligned to the right."""
SHARES = ("CAGR", "MaxDD", "cost")
HEADLINE = (
    ("CAGR", "yearly growth"),
    ("Sharpe", "annualised, against a rate of 0"),
    ("Calmar", "CAGR over the largest drawdown"),
    ("MaxDD", "largest fall from a peak"),
    ("PF", "profit factor: gains over losses"),
    ("Turnover", "sum of absolute changes of weight"),
    ("turnover_per_year", "the same a year"),
    ("rebalances_per_month", "days on which the book changed, a month"),
    ("cost", "sum of the daily costs, of equity"),
    ("equity", "at the end, from 1"),
)
COMPARED = ("CAGR", "Sharpe", "Calmar", "MaxDD", "PF")
TRADED = ("turnover_per_year", "rebalances_per_month", "cost")
PARAMETERS = ("ema_fast", "ema_slow", "top_n", "corr_cap")


def headline_rows(content: Mapping[str, Any], only: Sequence[str] = ()) -> Rows:
    """Return the metrics with what they are; ``only`` leaves the documented ones that are not asked for out."""
    asked = frozenset(only)
    documented = {name for name, _ in HEADLINE[:6]}
    rows = [
        (name, number(name, content[name]), text)
        for name, text in HEADLINE
        if not asked or name in asked or name not in documented
    ]
    return ("metric", "value", "meaning"), rows


def variant_rows(content: Mapping[str, Any]) -> Rows:
    """Return the simulation and its variants, one a row."""
    names = (*COMPARED, *TRADED)
    every = {"as configured" if content["verb"] == "backtest" else "walk-forward": content, **content["variants"]}
    return ("variant", *names), [
        (label, *(number(name, values[name]) for name in names)) for label, values in every.items()
    ]


def benchmark_rows(content: Mapping[str, Any]) -> Rows:
    """Return the strategy and its benchmarks, one a row."""
    rows = [("strategy", *(number(name, content[name]) for name in COMPARED), "1.000")]
    for label, values in content["benchmarks"].items():
        shared = number("correlation", values["correlation"])
        rows.append((label, *(number(name, values[name]) for name in COMPARED), shared))
    return ("", *COMPARED, "correlation with the strategy"), rows


def interval_rows(content: Mapping[str, Any]) -> Rows:
    """Return the bootstrap intervals."""
    found = content["intervals"]
    rows = [
        (name, number(name, content[name]), number(name, found[name]["low"]), number(name, found[name]["high"]))
        for name in COMPARED
        if name in found
    ]
    level = f"{found['level']:.0%}"
    return (
        f"bootstrap, {found['runs']} runs of {found['block_days']}-day blocks",
        "value",
        f"{level} from",
        "to",
    ), rows


def sharpe_rows(content: Mapping[str, Any]) -> Rows:
    """Return the probabilistic and the deflated Sharpe ratio."""
    test = content["sharpe_test"]
    trials = f"{test['trials']} trials without skill would show a best ratio of {test['threshold']:.2f}"
    rows = [
        ("probabilistic", f"{test['probabilistic']:.4f}", "probability that the true ratio is above 0"),
        ("deflated", f"{test['deflated']:.4f}", f"probability that it is above luck: {trials}"),
    ]
    return ("Sharpe ratio", "value", "meaning"), rows


def window_rows(content: Mapping[str, Any]) -> Rows:
    """Return the windows of a walk-forward with what they chose and how it went on."""
    rows = [
        (
            str(index),
            f"{window['train_first']} to {window['train_last']}",
            f"{window['test_first']} to {window['test_last']}",
            *(f"{window['chosen'][name]:g}" for name in PARAMETERS),
            f"{window['objective']:.3f}",
            f"{window['test']['return']:+.2%}",
            number("Sharpe", window["test"]["Sharpe"]),
            number("MaxDD", window["test"]["MaxDD"]),
        )
        for index, window in enumerate(content["windows"])
    ]
    heads = (
        "",
        "training",
        "test",
        *PARAMETERS,
        f"{content['objective']} in training",
        "test return",
        "Sharpe",
        "MaxDD",
    )
    return heads, rows


def permutation_rows(content: Mapping[str, Any]) -> Rows:
    """Return the windows of a permutation test."""
    rows = [
        (
            str(index),
            f"{window['train_first']} to {window['train_last']}",
            str(window["symbols"]),
            f"{window['real']:.3f}",
            f"{window['permuted_median']:.3f}",
            f"{window['permuted_q95']:.3f}",
            f"{window['p_value']:.4f}",
            f"{window['adjusted']:.4f}",
            "yes" if window["discovery"] else "no",
        )
        for index, window in enumerate(content["windows"])
    ]
    heads = ("", "training", "symbols", "real best", "permuted median", "95 %", "p", "adjusted p", "discovery")
    return heads, rows


def number(name: str, value: float | None) -> str:
    """Return a metric as text: shares as percentages, all others with three digits."""
    if value is None:
        return MISSING
    return f"{value:.2%}" if name in SHARES else f"{value:,.3f}"
