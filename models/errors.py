"""The errors of models and their registry.

ModelError
├── TooLittleData      nothing can be learned from what is there
├── NoChampion         no model serves yet
└── IncompatibleModel  a model that does not fit these features
    └── BrokenRelease  a released model that is not what was logged
"""


class ModelError(Exception):
    """The root: told to a user in one line."""


class TooLittleData(ModelError):
    """There are no labelled queries to learn from or to evaluate on."""


class NoChampion(ModelError):
    """The registry has no model under the alias that was asked for."""


class IncompatibleModel(ModelError):
    """A model's features or examples do not agree with this code."""


class BrokenRelease(IncompatibleModel):
    """A released model's files or predictions are not those that were logged."""
