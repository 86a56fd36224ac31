"""The temporal split: cut-offs to learn from, to stop on and to report once, with an embargo between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from configs import RankerSettings


@dataclass(frozen=True)
class Split:
    """Cut-offs in ascending order; no label of one part reaches into the next part's cut-offs.

    Attributes:
        train, validation, test: instants, UTC; validation and test may be empty when the data are short.
        final: every cut-off whose label lies inside the data, for the model that serves.
        trained_through: end of the last training label.
    """

    train: tuple[datetime, ...]
    validation: tuple[datetime, ...]
    test: tuple[datetime, ...]
    final: tuple[datetime, ...]
    trained_through: datetime

    @property
    def all(self) -> tuple[datetime, ...]:
        """Every cut-off of any part, once."""
        return tuple(sorted({*self.train, *self.validation, *self.test, *self.final}))


def plan(start: datetime, as_of: datetime, settings: RankerSettings) -> Split:
    """Choose cut-offs backwards from `as_of`, all on one lattice of `cutoff_step_days`.

    The latest label ends at `as_of`. Held-out cut-offs lie at least a label's length apart, so that their labels do not
    overlap, and training cut-offs end a label's length before the first of them. Short data give up test and validation
    cut-offs until something is left to learn from.

    Args:
        start: first instant with data.
        as_of: everything after it is unknown.

    Returns:
        Empty parts where the data do not reach over one cut-off and its label.
    """
    step = timedelta(days=settings.cutoff_step_days)
    apart = -(-settings.horizon_days // settings.cutoff_step_days)
    latest, first = (
        as_of - timedelta(days=settings.horizon_days),
        start + timedelta(days=settings.min_history_days),
    )
    most = settings.max_cutoffs + apart * (settings.test_cutoffs + settings.validation_cutoffs)
    lattice = [latest - i * step for i in range(most) if latest - i * step >= first]
    if not lattice:
        return Split((), (), (), (), trained_through=start)
    label = timedelta(days=settings.horizon_days)
    final = tuple(reversed(lattice[: settings.max_cutoffs]))
    for tests, validations in ((settings.test_cutoffs, settings.validation_cutoffs), (1, 1), (1, 0)):
        held_out = lattice[: apart * (tests + validations) : apart]
        train = lattice[apart * (tests + validations) :][: settings.max_cutoffs]
        if train and len(held_out) == tests + validations:
            return Split(
                train=tuple(reversed(train)),
                validation=tuple(reversed(held_out[tests:])),
                test=tuple(reversed(held_out[:tests])),
                final=final,
                trained_through=train[0] + label,
            )
    return Split(final, (), (), final, trained_through=final[-1] + label)
