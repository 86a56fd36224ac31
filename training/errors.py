"""The errors of training.

TrainingError
├── UnusableBenchmark  files of a public benchmark that do not fit each other (training/benchmark_data.py)
├── TooShort       the series do not reach over one cut-off and its horizon
└── NotComparable  champion and challenger cannot be judged on the same held-out queries
"""


class TrainingError(Exception):
    """The root: told to a user in one line."""


class TooShort(TrainingError):
    """There is no cut-off whose outcome lies inside the data."""


class NotComparable(TrainingError):
    """One of two models has seen the period they would be compared on."""
