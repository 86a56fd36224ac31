from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

import configs
from models.candidates import (
    GENERATORS,
    CaptionCandidates,
    CoAdoptionCandidates,
    LongWalkCandidates,
    NeighbourCandidates,
    SamePostCandidates,
    TextCandidates,
    WalkCandidates,
    fit_generators,
)
from models.interactions import Interactions

AGES = np.array([[1, 30, np.nan, np.nan], [np.nan, 2, 20, np.nan], [np.nan, np.nan, 3, 40.0], [5, np.nan, np.nan, 6]])


def graph(
    ages: np.ndarray = AGES, targets: tuple[int, ...] = (0, 1, 2, 3), texts: tuple[str, ...] = ()
) -> Interactions:
    """A graph from the days since each creator's latest use of each trend, NaN where never; a post per use."""
    place = np.nonzero(~np.isnan(ages))
    uses = np.ones(len(place[0]))
    return Interactions(
        used=sp.csr_matrix((uses, place), ages.shape),
        age=sp.csr_matrix((ages[place], place), ages.shape),
        first_age=sp.csr_matrix((ages[place], place), ages.shape),
        posts=sp.csr_matrix((uses, (np.arange(len(uses)), place[1])), (len(uses), ages.shape[1])),
        texts=np.array(texts or ("",) * ages.shape[1], object),
        targets=np.array(targets),
        said=sp.csr_matrix(ages.shape),
        based=sp.csr_matrix(ages.shape),
    )


def big_graph(seed: int = 0, creators: int = 60, words: int = 50) -> Interactions:
    chance = np.random.default_rng(seed)
    ages = np.where(chance.random((creators, words)) < 0.15, chance.uniform(0.1, 60, (creators, words)), np.nan)
    texts = tuple(f"{chance.choice(['dance', 'recipe', 'football'])}{n}" for n in range(words))
    return graph(ages, tuple(range(0, words, 2)), texts)


def dense_walk(interactions: Interactions, half_life: float | None) -> np.ndarray:
    """Trend → creator → trend by the probabilities themselves, loop by loop."""
    used = interactions.used.toarray()
    last = used if half_life is None else np.where(used > 0, 0.5 ** (interactions.age.toarray() / half_life), 0)
    walk = np.zeros((used.shape[1], used.shape[1]))
    for start in range(used.shape[1]):
        for creator in np.flatnonzero(used[:, start]):
            reached = 1 / used[:, start].sum()
            walk[start] += reached * last[creator] / used[creator].sum()
    np.fill_diagonal(walk, 0)
    return walk


def test_a_walk_by_hand() -> None:
    matrix = WalkCandidates(None, 9).fit(graph()).matrix.toarray()
    assert matrix[0] == pytest.approx([0, 1 / 4, 0, 1 / 4])
    assert matrix[1] == pytest.approx([1 / 4, 0, 1 / 4, 0])


@pytest.mark.parametrize("half_life", [None, 14.0])
def test_a_walk_equals_its_dense_reference(half_life: float | None) -> None:
    known = big_graph()
    found = WalkCandidates(half_life, 99).fit(known).matrix.toarray()
    assert found == pytest.approx(dense_walk(known, half_life)[:, known.targets])


def test_a_recent_walk_prefers_what_was_used_lately() -> None:
    matrix = WalkCandidates(14, 9).fit(graph()).matrix.toarray()
    assert matrix[0, 3] > matrix[0, 1]  # 6 days ago against 30


def test_a_long_walk_equals_its_dense_reference() -> None:
    known = big_graph()
    used = known.used.toarray()
    there = (used / np.maximum(used.sum(axis=0), 1)).T
    round_trip = there @ (used / np.maximum(used.sum(axis=1, keepdims=True), 1))
    found = LongWalkCandidates(14, 99, 99).fit(known).matrix.toarray()
    assert found == pytest.approx(round_trip @ dense_walk(known, 14)[:, known.targets])


def test_a_long_walk_reaches_what_a_short_one_cannot() -> None:
    line = np.full((3, 4), np.nan)
    line[[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 3]] = 1.0
    assert WalkCandidates(None, 9).fit(graph(line)).matrix[0, 2] == 0
    assert LongWalkCandidates(14, 9, 9).fit(graph(line)).matrix[0, 2] > 0


def test_only_round_trips_and_groups_propose_a_trend_for_itself() -> None:
    known = big_graph()
    for name, generator in fit_generators(known, configs.load().candidates).items():
        if name not in ("neighbours", "long_walk", "cluster_trends"):
            own = generator.scores(sp.identity(50, format="csr"))[known.targets, np.arange(len(known.targets))]
            assert not own.any(), name


def test_what_stands_in_one_post_together_is_proposed_the_more_the_smaller_the_post() -> None:
    known = graph(AGES)
    together = sp.csr_matrix(np.array([[1.0, 1, 0, 0], [1, 0, 1, 1]]))
    matrix = SamePostCandidates(9).fit(Interactions(**{**vars(known), "posts": together})).matrix.toarray()
    users = known.used.sum(axis=0).A1[0]
    assert matrix[0] == pytest.approx(np.array([0, 2**-0.5, 3**-0.5, 3**-0.5]) / users**0.75)


def test_hashtags_spelled_alike_are_neighbours_and_sounds_have_no_spelling() -> None:
    known = graph(texts=("dance", "dancer", "cooking", ""))
    matrix = TextCandidates(0.25, 9).fit(known).matrix.toarray()
    assert matrix[0, 1] > 0.25 and matrix[0, 2] == 0 and not matrix[3].any() and not matrix[:, 3].any()


def test_coadoption_solves_its_least_squares_problem() -> None:
    known = big_graph()
    uses = known.recent(30).toarray()
    found = CoAdoptionCandidates(20, 30, 50, 99).fit(known).matrix.toarray()
    for column, target in enumerate(known.targets[:5]):
        others = np.delete(np.arange(50), target)
        gram = uses[:, others].T @ uses[:, others] + 20 * np.eye(49)
        weights = np.linalg.solve(gram, uses[:, others].T @ uses[:, target])
        assert found[others, column] == pytest.approx(np.maximum(weights, 0), abs=1e-9)


def test_neighbours_propose_what_creators_of_the_same_taste_took_up_lately() -> None:
    ages = np.full((8, 6), np.nan)
    ages[:4, :2], ages[4:, 3:5] = 20.0, 20.0
    ages[1:4, 2], ages[5:, 5] = 1.0, 1.0
    generator = NeighbourCandidates(2, 8).fit(graph(ages, tuple(range(6))))
    first, second = generator.scores(sp.csr_matrix(np.array([[1.0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0]])))
    assert first.argmax() == 2 and second.argmax() == 5
    assert first[5] < 1e-9 < first[2]


@pytest.mark.parametrize("seed", [66, 140])
def test_neighbours_of_a_small_graph_that_falls_apart(seed: int) -> None:
    """Sparse graphs of many parts, on which ARPACK gives up: a creator's place is a unit vector, or none."""
    chance = np.random.default_rng(seed)
    creators, words = int(chance.integers(20, 150)), int(chance.integers(20, 120))
    used = chance.random((creators, words)) < chance.choice([0.01, 0.02, 0.03])
    generator = NeighbourCandidates(32, 8).fit(graph(np.where(used, 5.0, np.nan), tuple(range(words))))
    placed = generator.placed(sp.csr_matrix(used.astype(float)))
    assert np.isfinite(placed).all() and np.isfinite(generator.market).all()
    lengths = np.linalg.norm(placed, axis=1)
    assert np.all(np.isclose(lengths, 1) | np.isclose(lengths, 0)) and lengths.sum() > 20


@pytest.mark.parametrize("creators", [60, 30])
def test_fitting_twice_gives_the_same_bits_even_where_there_are_fewer_tastes_than_dimensions(creators: int) -> None:
    chance = np.random.default_rng(0)
    taste = chance.integers(0, 3, creators)
    ages = np.where(taste[:, None] == np.arange(45) % 3, 5.0, np.nan)
    known = graph(ages, tuple(range(45)))
    options = configs.load().candidates
    for _ in range(3):
        a, b = fit_generators(known, options), fit_generators(known, options)
        for name in GENERATORS:
            assert all(
                x.tobytes() == y.tobytes()
                for x, y in zip(a[name].arrays().values(), b[name].arrays().values(), strict=True)
            ), name


def test_generators_keep_no_more_than_they_may() -> None:
    known = big_graph()
    for candidates in (
        WalkCandidates(None, 3),
        LongWalkCandidates(14, 5, 3),
        SamePostCandidates(3),
        TextCandidates(0, 3),
    ):
        assert np.diff(candidates.fit(known).matrix.indptr).max() <= 3


def test_who_says_the_same_rare_words_proposes_what_they_used() -> None:
    """Two creators share the word in column 3; the second used trend 1; everybody says column 4."""
    used = sp.csr_matrix(np.array([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]))
    said = sp.csr_matrix(np.array([[0.0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]))
    known = replace(Interactions.undated(used, np.arange(3)), said=said)
    scores = CaptionCandidates(60, 9).fit(known).scores(sp.csr_matrix([[0.0, 0, 0, 1, 1]]))[0]
    assert scores[1] > scores[2] > 0
    assert not CaptionCandidates(60, 9).fit(known).scores(sp.csr_matrix([[1.0, 1, 1, 0, 0]])).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("used", [0.0, 1.0])
@pytest.mark.parametrize(("creators", "words"), [(1, 5), (3, 1), (5, 0), (2, 2), (300, 5)])
def test_generators_of_hardly_anything(creators: int, words: int, used: float) -> None:
    """One's own posts alone, one hashtag, none at all; many creators who use the same."""
    known = Interactions.undated(sp.csr_matrix(np.full((creators, words), used)))
    fitted = fit_generators(known, configs.load().candidates)
    for name, generator in fitted.items():
        scores = generator.scores(sp.csr_matrix(np.ones((1, words))))
        assert scores.shape == (1, words) and np.isfinite(scores).all(), name
