"""Owns the chaos suite: plans of crashes, their judgement by the broker's own record, results and their picture."""
