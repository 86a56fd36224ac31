"""Benchmarks of serving: commands that print figures, on a market made for them."""
