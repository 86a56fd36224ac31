from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from models.candidates import NeighbourCandidates
from models.generators.forms import restore
from models.generators.trending import ClusterTrendCandidates, RegionTrendCandidates
from models.interactions import Interactions


def two_regions() -> Interactions:
    """Columns 0 to 3 are trends, 4 and 5 regions; creators of the first took up trend 0 today, others trend 1."""
    used = np.zeros((20, 6))
    used[:10, 0] = used[10:, 1] = used[::5, 2] = 1
    based = np.zeros((20, 6))
    based[:10, 4] = based[10:, 5] = 1
    return replace(Interactions.undated(sp.csr_matrix(used), np.arange(4)), based=sp.csr_matrix(based))


def test_a_region_proposes_what_its_creators_took_up() -> None:
    region = RegionTrendCandidates(5, 3, 9).fit(two_regions())
    first, second, nowhere = region.scores(sp.csr_matrix(np.vstack([np.eye(6)[4:], np.zeros((1, 6))])))
    assert first.argmax() == 0
    assert second.argmax() == 1
    assert not nowhere.any()


def test_few_adoptions_are_drawn_towards_what_everybody_did() -> None:
    """A region with one adoption of its own says little against many of everybody's."""
    known = two_regions()
    based = np.zeros((20, 6))
    based[0, 4] = based[1:, 5] = 1
    scores = (
        RegionTrendCandidates(5, 1000, 9)
        .fit(replace(known, based=sp.csr_matrix(based)))
        .scores(sp.csr_matrix(np.eye(6)[4:]))
    )
    np.testing.assert_allclose(scores[0], scores[1], rtol=0.02)


def test_an_old_adoption_counts_less() -> None:
    known = two_regions()
    first_age = known.used.copy()
    first_age.data = np.where(first_age.indices == 0, 50.0, 1.0)
    found = RegionTrendCandidates(5, 1, 9).fit(replace(known, first_age=first_age))
    assert found.scores(sp.csr_matrix(np.eye(6)[4:5]))[0].argmax() == 2


def two_tastes(seed: int = 0) -> Interactions:
    """Sixty creators of two tastes over twelve trends each; one trend of each taste is new, the others are old."""
    rng = np.random.default_rng(seed)
    used = np.zeros((60, 24))
    used[:30, :11] = rng.random((30, 11)) < 0.5
    used[30:, 12:23] = rng.random((30, 11)) < 0.5
    used[:15, 11] = used[30:45, 23] = 1
    used = sp.csr_matrix(used)
    age = used.copy()
    age.data = np.where(np.isin(age.indices, (11, 23)), 0.5, 90.0)
    return replace(Interactions.undated(used), first_age=age)


def clusters(known: Interactions) -> ClusterTrendCandidates:
    return ClusterTrendCandidates(NeighbourCandidates(8, 8).fit(known), 30, 8, 5, 1)


def test_a_cluster_proposes_what_creators_of_its_taste_took_up() -> None:
    known = two_tastes()
    scores = clusters(known).fit(known).scores(known.used)
    assert (scores[:30].argmax(axis=1) == 11).all()
    assert (scores[30:].argmax(axis=1) == 23).all()


def test_who_is_nowhere_gets_what_everybody_took_up_and_everything_survives_being_written_down() -> None:
    known = two_tastes()
    fitted = clusters(known).fit(known)
    nobody = fitted.scores(sp.csr_matrix((1, 24)))[0]
    assert set(np.argsort(-nobody)[:2]) == {11, 23}
    np.testing.assert_array_equal(restore(fitted.arrays()).scores(known.used), fitted.scores(known.used))
    for row in range(0, 60, 7):
        np.testing.assert_array_equal(fitted.scores(known.used[row])[0], fitted.scores(known.used)[row])
