"""From a moment and its labels to a panel: which creators ask, and what each adopted."""

from __future__ import annotations

import numpy as np

from models.moment import Moment
from models.pairs import INPUTS, allowed, linear_inputs, proposals, trend_inputs
from models.panel import Panel
from training.labels import Adoptions


def panel(
    moment: Moment, labels: Adoptions, weight: float, most_cells: int, seed: int, everybody: bool = False
) -> Panel | None:
    """The creators known at the moment who then adopted something that was allowed; None where there are none.

    Args:
        moment: the market and its creators at the cut-off.
        labels: adoptions after it.
        weight: how much these queries count in training.
        most_cells: creators × trends at the most; creators beyond that are sampled.
        seed: of the sample.
        everybody: also creators who adopted nothing.
    """
    market = moment.market
    adopted = {
        name: grades
        for name, keys in sorted(labels.by_creator().items())
        if name in moment.creators and (grades := _by_row(moment, name, keys))
    }
    names = _sample(
        sorted(moment.creators) if everybody else list(adopted),
        most_cells // max(len(market), 1),
        [seed, int(labels.cutoff.timestamp())],
    )
    if not names:
        return None
    creators = tuple(moment.creators[name] for name in names)
    scores, of_trends = proposals(market, creators), trend_inputs(market)
    inputs = np.empty((len(creators), len(market), len(INPUTS)), np.float32)
    table = np.zeros((len(creators), len(market)), np.int8)
    for i, creator in enumerate(creators):
        inputs[i] = linear_inputs(market, of_trends, creator, {name: of_all[i] for name, of_all in scores.items()})
        for row, grade in adopted.get(creator.creator_id, {}).items():
            table[i, row] = grade
    mask = np.stack([allowed(market, creator) for creator in creators])
    return Panel(labels.cutoff, market, creators, inputs, mask, table, weight)


def _by_row(moment: Moment, name: str, keys: dict[str, int]) -> dict[int, int]:
    """Row of the market → grade, of the adoptions that could have been recommended."""
    mask = allowed(moment.market, moment.creators[name])
    rows = {moment.market.row_of[key]: grade for key, grade in keys.items() if key in moment.market.row_of}
    return {row: grade for row, grade in rows.items() if mask[row]}


def _sample(names: list[str], most: int, seed: list[int]) -> list[str]:
    if len(names) <= most:
        return names
    return sorted(np.random.default_rng(seed).choice(names, max(most, 1), replace=False).tolist())
