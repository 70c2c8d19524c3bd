"""Repeatable measurements: paired in one run, medians of at least five rounds, CPU per request beside latency."""
