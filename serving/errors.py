"""What can go wrong with a request, and the HTTP status each maps to at the edge.

ServingError            500
├── NotReady            503  nothing has been published yet
├── Unknown             404
│   ├── UnknownTrend
│   └── UnknownCreator
├── TooMany             413  more candidates than one request may bring
└── PortTaken           503  another program listens where the service would
"""

from __future__ import annotations


class ServingError(Exception):
    """The root; `status` and `title` make its problem details (RFC 9457)."""

    status = 500
    title = "The request could not be served"


class NotReady(ServingError):
    """No market or no model has been published."""

    status = 503
    title = "Not ready"


class Unknown(ServingError):
    """Something that was asked for by name does not exist."""

    status = 404
    title = "Not found"


class UnknownTrend(Unknown):
    """No live trend of that type and id."""

    title = "Unknown trend"


class UnknownCreator(Unknown):
    """No post of that creator is known."""

    title = "Unknown creator"


class TooMany(ServingError):
    """More candidates than one request may bring."""

    status = 413
    title = "Too many candidates"


class PortTaken(ServingError):
    """Another program listens where the service would; only the command line meets it."""

    status = 503
    title = "Port taken"
