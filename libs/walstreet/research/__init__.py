"""Owns research on the daily rotation: data, backtest, walk-forward, permutation test, statistics, reports."""
