"""Kinds of strategy through the ranker: what it takes in, and how it is fitted."""
