"""Measures the server beside others, as ratios within one run."""
