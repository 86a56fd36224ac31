"""What can go wrong with a request, and the HTTP status each maps to at the edge.

ServingError            500
├── NotReady            503  nothing has been published yet
├── Unknown             404
│   ├── UnknownTrend
│   ├── UnknownCreator
│   └── UnknownStrategy
├── TooMany             413  more candidates than one request may bring
├── BodyTooLarge        413  a body longer than the service reads
├── Unauthorized        401  no credential, or one that does not hold
├── Forbidden           403  a credential that does not reach so far
├── TooManyRequests     429  over the rate limit
├── AuthUnavailable     503  nobody can be asked whether the credential holds
├── WrongKind           422  a body that is not JSON
├── NoEvent             422  not one of the events of a request is valid
├── EventsUnavailable   503  events cannot be made durable now
├── StatesUnavailable   503  no creator can be read now
├── OutcomesUnavailable 503  strategies that were given cannot be read or kept now
├── UnknownKey          404  no API key of that id
├── OpenService         403  a service for everybody, without having to say who one is
├── ConsumerRuns        503  another consumer of events works on this state folder
├── PortTaken           503  another program listens where the service would
└── BenchmarkFault      500  a benchmark could not be run, or what it measured is not worth telling
"""

from __future__ import annotations


class ServingError(Exception):
    """The root; `status` and `title` make its problem details (RFC 9457)."""

    status = 500
    title = "The request could not be served"

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's headers say beyond the problem's body."""
        return {}


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


class UnknownStrategy(Unknown):
    """No strategy of that id was given to anybody whom the caller may name."""

    title = "Unknown strategy"


class TooMany(ServingError):
    """More candidates than one request may bring."""

    status = 413
    title = "Too many candidates"


class BodyTooLarge(ServingError):
    """A body longer than the service reads."""

    status = 413
    title = "Body too large"


class Unauthorized(ServingError):
    """No credential, or one that does not hold; the message never repeats it."""

    status = 401
    title = "Not authorized"

    @property
    def headers(self) -> dict[str, str]:
        """The challenge of RFC 6750."""
        return {"WWW-Authenticate": 'Bearer realm="harmonic"'}


class Forbidden(ServingError):
    """A credential that does not reach so far."""

    status = 403
    title = "Forbidden"


class _Later(ServingError):
    """Something that may work after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """When to come back."""
        return {"Retry-After": str(self.retry_after)}


class TooManyRequests(_Later):
    """Over the rate limit."""

    status = 429
    title = "Too many requests"


class AuthUnavailable(_Later):
    """The key store or the issuer cannot be asked; the credential may well hold."""

    status = 503
    title = "Cannot check the credential"


class WrongKind(ServingError):
    """A body that is not JSON."""

    status = 422
    title = "Not a valid request"


class NoEvent(ServingError):
    """Not one of the events of a request is valid."""

    status = 422
    title = "No valid event"


class EventsUnavailable(_Later):
    """Events cannot be made durable now; none of the request was acknowledged, and all may be sent again."""

    status = 503
    title = "Events cannot be stored"


class StatesUnavailable(ServingError):
    """The store of creators does not answer; a slate can be made without."""

    status = 503
    title = "Creators cannot be read"


class OutcomesUnavailable(_Later):
    """Strategies that were given cannot be read or kept now."""

    status = 503
    title = "Outcomes cannot be told"


class UnknownKey(ServingError):
    """No API key of that id."""

    status = 404
    title = "Unknown API key"


class OpenService(ServingError):
    """A service that would answer everybody; only the command line meets it."""

    status = 403
    title = "The service would be open"


class ConsumerRuns(ServingError):
    """Another consumer of events works on this state folder; only the command line meets it."""

    status = 503
    title = "A consumer runs already"


class PortTaken(ServingError):
    """Another program listens where the service would; only the command line meets it."""

    status = 503
    title = "Port taken"


class BenchmarkFault(ServingError):
    """A benchmark could not be run, or what it measured is not worth telling; only the command line meets it."""

    title = "The benchmark failed"
