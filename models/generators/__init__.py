"""Candidate generators, one family a file."""
