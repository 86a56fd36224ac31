"""The errors of metrics, the lake and the feature store; each message says what happened and what to do next.

FeatureError
├── UnreadableFile      a path that is no metrics file, or cannot be read
├── LakeBusy            another process is writing to the lake
├── EmptyLake           there is nothing to compute features from
├── NotMaterialized     features were asked for before they were computed
├── BadEvent            an event that breaks a rule
└── LogUnavailable      events cannot be made durable now; nothing was acknowledged
    ├── LogBusy         too many events are waiting to be written
    └── LogNotDurable   the server of the log may forget what it has acknowledged
"""


class FeatureError(Exception):
    """The root: a user's problem with data, told in one line."""


class UnreadableFile(FeatureError):
    """A path that does not exist, is no known kind of metrics file, or is damaged."""


class LakeBusy(FeatureError):
    """Another process holds the lake's write lock."""


class EmptyLake(FeatureError):
    """The lake has no posts as of the instant asked for."""


class NotMaterialized(FeatureError):
    """Features, or a view of them, that nothing has computed yet."""


class BadEvent(FeatureError):
    """An event that breaks a rule of the data contract."""


class LogUnavailable(FeatureError):
    """The event log cannot be written or read at this moment; what was not acknowledged may be sent again."""


class LogBusy(LogUnavailable):
    """More events are waiting to be written than the log lets wait."""


class LogNotDurable(LogUnavailable):
    """The log's server is not set up to keep what it acknowledges."""
