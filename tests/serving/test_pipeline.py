from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from features.sources.simulated_files import truth_keys
from features.sources.simulated_population import REGIONS
from features.sources.simulator import adoption_probability, simulate
from serving.candidates import source
from serving.filters import eligible
from serving.hydrate import GivenStates, hydrate
from serving.pipeline import Pipeline
from serving.schemas import RankQuery
from serving.score import score
from tests.worlds import SMALL


def keys(pipeline: Pipeline, query: RankQuery) -> list[str]:
    return pipeline.snapshot.market.keys[pipeline.recommend(query)[1].rows].tolist()


def test_a_slate_is_as_long_as_asked_best_first_and_without_the_generic_or_used(served: Pipeline, regular: str) -> None:
    creator, scored = served.recommend(RankQuery(regular, 15))
    market = served.snapshot.market
    assert creator.known and len(scored.rows) == 15
    assert (np.diff(scored.raw) <= 0).all()
    assert market.recommendable[scored.rows].all()
    assert not {*market.keys[scored.rows]} & {*creator.trend_keys}
    assert len({*market.variant_group[scored.rows]}) == 15


def test_there_are_generic_and_used_trends_that_could_have_been_served(served: Pipeline, regular: str) -> None:
    market, creator = served.snapshot.market, served.states.get(regular)
    assert not market.recommendable.all()
    assert creator is not None and len(creator.rows_used(market))


def test_a_shorter_slate_is_the_head_of_a_longer_one_of_the_same_kind(served: Pipeline, regular: str) -> None:
    only = ("hashtag",)
    assert keys(served, RankQuery(regular, 5, only)) == keys(served, RankQuery(regular, 12, only))[:5]


def test_excluding_the_first_item_lets_the_others_move_up(served: Pipeline, regular: str) -> None:
    first, *others = keys(served, RankQuery(regular, 8, ("hashtag",)))
    without = keys(served, RankQuery(regular, 8, ("hashtag",), exclude=frozenset({first})))
    assert first not in without and without[: len(others) - 1] == others[:-1]


def test_what_was_used_comes_back_when_asked_for(served: Pipeline, regular: str) -> None:
    creator = served.states.get(regular)
    assert creator is not None
    everything = keys(served, RankQuery(regular, 100, include_used=True))
    assert {*everything} & {*creator.trend_keys}


def test_no_kind_exceeds_its_share_of_the_slate(served: Pipeline) -> None:
    market, share = served.snapshot.market, served.settings.max_share_of_kind
    for name in list(served.states.ids())[:40]:
        kinds = market.types[served.recommend(RankQuery(name, 10))[1].rows]
        assert all((kinds == kind).sum() <= 10 * share for kind in ("sound", "hashtag"))


def test_the_same_query_gets_the_same_slate(served: Pipeline, regular: str) -> None:
    assert keys(served, RankQuery(regular, 10)) == keys(served, RankQuery(regular, 10))


def test_the_runner_is_its_stages_in_a_row(served: Pipeline, regular: str) -> None:
    query, market = RankQuery(regular, 10, ("hashtag",)), served.snapshot.market
    creator, degraded = hydrate(query, served.states)
    assert not degraded
    allowed = eligible(query, creator, market, source(query, market)).kept
    scored = score(served.prepared, creator, allowed, 100)
    best = [key for key, group in zip(market.keys[scored.rows], market.variant_group[scored.rows], strict=True)]
    assert keys(served, query) == best[:10]


@dataclasses.dataclass(frozen=True)
class Truth:
    """How probable it is that each creator of the small world takes up each trend on its last day."""

    chance: np.ndarray
    creators: dict[str, int]
    trends: dict[str, int]
    regions: np.ndarray

    def mean(self, keys: list[str], creators: list[str]) -> float:
        rows, columns = [self.creators[c] for c in creators], [self.trends[k] for k in keys if k in self.trends]
        return float(self.chance[np.ix_(rows, columns)].mean())


@pytest.fixture(scope="module")
def truth() -> Truth:
    world = simulate(SMALL)
    names = world.creators.username.tolist()
    return Truth(
        adoption_probability(world, names, SMALL.days - 1),
        {name: row for row, name in enumerate(names)},
        {key: column for column, key in enumerate(truth_keys(world))},
        np.array(REGIONS)[world.creators.region],
    )


def test_a_newcomer_gets_a_sensible_slate(served: Pipeline, truth: Truth) -> None:
    creator, scored = served.recommend(RankQuery("nobody-has-seen-me", 10))
    assert not creator.known and len(scored.rows) == 10 and np.isfinite(scored.raw).all()
    market, everybody = served.snapshot.market, list(truth.creators)
    anything = truth.mean(market.keys[market.recommendable].tolist(), everybody)
    assert truth.mean(market.keys[scored.rows].tolist(), everybody) > 1.3 * anything


def test_a_newcomers_slate_fits_the_region_they_declare(served: Pipeline, truth: Truth) -> None:
    plain, regional = 0.0, 0.0
    for region in REGIONS:
        there = [name for name, row in truth.creators.items() if truth.regions[row] == region]
        plain += truth.mean(keys(served, RankQuery("newcomer", 10)), there)
        regional += truth.mean(keys(served, RankQuery("newcomer", 10, region=region)), there)
    assert regional > plain


def test_a_newcomers_slate_fits_the_tags_they_declare(served: Pipeline, truth: Truth) -> None:
    """A known creator's hashtags stand for what a newcomer of the same taste declares."""
    plain = keys(served, RankQuery("newcomer", 10))
    gain = []
    for name in served.states.ids():
        creator = served.states.get(name)
        tags = (
            tuple(key.partition(":")[2] for key in creator.trend_keys if key.startswith("hashtag:")) if creator else ()
        )
        if 3 <= len(tags) <= 50:
            slate = keys(served, RankQuery("newcomer", 10, tags=tags))
            assert not {*slate} & {f"hashtag:{tag}" for tag in tags}
            gain.append(truth.mean(slate, [name]) - truth.mean(plain, [name]))
    assert len(gain) > 20 and np.mean(gain) > 0


def test_a_declared_region_reaches_the_features_of_a_newcomer(served: Pipeline) -> None:
    market = served.snapshot.market
    region = market.region_codes[0]
    creator, scored = served.recommend(RankQuery("newcomer", 10, region=region))
    assert creator.region == region
    elsewhere = served.recommend(RankQuery("newcomer", 10, region="ZZ"))[1]
    assert not np.array_equal(scored.cross, elsewhere.cross, equal_nan=True)


def test_unknown_tags_and_regions_change_nothing_for_a_newcomer(served: Pipeline) -> None:
    plain = keys(served, RankQuery("newcomer", 10))
    assert keys(served, RankQuery("newcomer", 10, region="ZZ", tags=("neverusedbyanybody",)))[:3] == plain[:3]


def test_ranking_the_callers_candidates_keeps_every_live_one_generic_or_used(served: Pipeline, regular: str) -> None:
    market, creator = served.snapshot.market, served.states.get(regular)
    assert creator is not None
    generic = market.keys[~market.recommendable][0]
    used = market.keys[creator.rows_used(market)[0]]
    fresh = keys(served, RankQuery(regular, 3))
    asked = (*fresh, generic, used, "sound:nobody-knows-it")
    scored = served.rank(RankQuery(regular, 9, only=asked)).scored
    assert {*market.keys[scored.rows]} == {*asked[:-1]}
    assert (np.diff(scored.raw) <= 0).all()


def test_ranking_nothing_that_is_live_is_an_empty_answer(served: Pipeline, regular: str) -> None:
    assert len(served.rank(RankQuery(regular, 1, only=("sound:gone",))).scored.rows) == 0


def test_excluding_everything_is_an_empty_slate(served: Pipeline, regular: str) -> None:
    everything = frozenset(served.snapshot.market.keys)
    assert len(served.recommend(RankQuery(regular, 10, exclude=everything))[1].rows) == 0


@pytest.mark.parametrize("k", [1, 100])
def test_any_length_of_slate_is_served(served: Pipeline, regular: str, k: int) -> None:
    assert 0 < len(served.recommend(RankQuery(regular, k))[1].rows) <= k


def test_a_creator_who_used_everything_live_gets_an_empty_slate(served: Pipeline, regular: str) -> None:
    creator = served.states.get(regular)
    assert creator is not None
    tireless = dataclasses.replace(creator, trend_keys=tuple(sorted(served.snapshot.market.keys)))
    pipeline = dataclasses.replace(served, states=GivenStates({regular: tireless}))
    assert len(pipeline.recommend(RankQuery(regular, 10))[1].rows) == 0
