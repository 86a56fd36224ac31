"""The simulated world keeps the contract, never varies, resembles real metrics and knows its truth."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from features import contract, schemas
from features.errors import FeatureError
from features.sources.simulated_counts import tiktok_rounded
from features.sources.simulated_files import truth_keys, write
from features.sources.simulator import SimulatedWorld, WorldSpec, adoption_probability, simulate

SMALL = WorldSpec(creators=60, trends=80, days=30, seed=3)
T_DAY, HORIZON_DAYS = 98, 7
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@pytest.fixture(scope="module")
def small() -> SimulatedWorld:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate(WorldSpec())


def test_the_same_spec_gives_the_same_bytes(small: SimulatedWorld, tmp_path: Path) -> None:
    write(small, tmp_path / "a")
    write(simulate(SMALL), tmp_path / "b")
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_another_seed_gives_another_world(small: SimulatedWorld) -> None:
    other = simulate(WorldSpec(creators=60, trends=80, days=30, seed=4))
    assert not other.videos.equals(small.videos)
    assert not other.trend_snapshots.equals(small.trend_snapshots)


def test_the_files_have_exactly_the_contract_columns(small: SimulatedWorld) -> None:
    assert small.videos.schema.equals(schemas.OBSERVATION)
    assert small.trend_snapshots.schema.equals(schemas.TREND_SNAPSHOTS.schema)
    for table, key in (
        (small.videos, ("id", "observed_at")),
        (small.trend_snapshots, schemas.TREND_SNAPSHOTS.key),
    ):
        frame = table.select(list(key)).to_pandas()
        assert not frame.isna().any().any()
        assert not frame.duplicated().any()


def test_the_written_truth_names_its_spec_and_files(small: SimulatedWorld, tmp_path: Path) -> None:
    write(small, tmp_path)
    notes = json.loads((tmp_path / "truth" / "world.json").read_text(encoding="utf-8"))
    spec = notes["spec"] | {"start": datetime.fromisoformat(notes["spec"]["start"])}
    assert WorldSpec(**spec) == SMALL
    assert set(notes["files"]) == {p.name for p in (tmp_path / "truth").glob("*.parquet")}
    stored = pq.read_table(tmp_path / "truth" / "adoption.parquet").to_pandas()
    who, day = stored.username[0], 7
    chance = adoption_probability(small, [who], day, 7)[0]
    first = stored[(stored.username == who) & (stored["at"] == SMALL.start + timedelta(days=day))]
    assert first.probability.is_monotonic_decreasing
    assert first.probability.iloc[0] == pytest.approx(chance.max(), abs=1e-6)
    assert first.trend_key.iloc[0] == truth_keys(small)[int(chance.argmax())]


def test_posts_are_observed_after_they_are_made_and_within_the_world(small: SimulatedWorld) -> None:
    seen = small.videos.to_pandas()
    assert (seen.observed_at > seen.create_time).all()
    assert (seen.create_time >= SMALL.start).all()
    assert (seen.observed_at <= SMALL.start + timedelta(days=SMALL.days)).all()


def test_counts_are_never_negative_and_fall_seldom_and_little(world: SimulatedWorld) -> None:
    seen = world.videos.to_pandas()
    counts = seen[[*contract.COUNTS, "follower_count", "music_use_count"]]
    assert (counts >= 0).all().all()
    ordered = seen.sort_values(["id", "observed_at"])
    before = ordered.groupby("id").view_count.shift()
    fell = ordered.view_count < before
    assert 0.0001 < fell.sum() / before.notna().sum() < 0.02
    assert (ordered.view_count[fell] > 0.9 * before[fell]).mean() > 0.95
    assert (seen[seen.music_title != "original sound"].groupby("music_id").music_use_count.apply(_never_falls)).all()


def _never_falls(values: pd.Series[int]) -> bool:
    return bool(values.is_monotonic_increasing)


def test_an_original_sound_belongs_to_one_post_of_its_creator(world: SimulatedWorld) -> None:
    posts = world.videos.to_pandas().drop_duplicates("id")
    own = posts[posts.music_title == "original sound"]
    assert 0.4 < len(own) / len(posts) < 0.8
    assert (own.music_author == own.username).all()
    assert own.music_id.is_unique


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_rounding_is_exact_when_small_keeps_order_and_rounds_once(counts: list[int]) -> None:
    raw = np.sort(np.array(counts, dtype=np.float64))
    shown = tiktok_rounded(raw)
    assert (np.diff(shown) >= 0).all()
    assert (shown == tiktok_rounded(shown.astype(np.float64))).all()
    assert (shown[raw < 10_000] == raw[raw < 10_000]).all()
    assert (np.abs(shown - raw) <= 0.05 * raw).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 5), st.integers(4, 14), st.integers(1, 12), st.integers(0, 10**6))
def test_a_world_of_any_size_keeps_the_contract(creators: int, trends: int, days: int, seed: int) -> None:
    spec = WorldSpec(creators, trends, days, seed)
    tiny = simulate(spec)
    assert tiny.videos.schema.equals(schemas.OBSERVATION)
    chance = adoption_probability(tiny, tiny.creators.username.tolist(), days - 1, 7)
    assert chance.shape == (creators, trends)
    assert ((chance >= 0) & (chance <= 1)).all()


def test_impossible_worlds_and_questions_are_refused(small: SimulatedWorld) -> None:
    with pytest.raises(FeatureError, match="at least"):
        WorldSpec(creators=0)
    with pytest.raises(FeatureError, match="UTC"):
        WorldSpec(start=datetime(2025, 1, 1))
    for who, day in (("nobody", 0), (str(small.creators.username[0]), SMALL.days)):
        with pytest.raises(FeatureError, match="no such creator or day"):
            adoption_probability(small, [who], day)


# --- the truth


def _adoptions(world: SimulatedWorld) -> pd.DataFrame:
    """One row per use of a trend: creator, trend (truth order), day."""
    posts, trends = world.posts, world.trends
    by_tag = np.repeat(np.arange(len(posts)), np.diff(posts.tag_start))
    tag = posts.tags < trends.hashtags
    sound = (posts.sound >= 0) & (posts.sound < len(trends) - trends.hashtags)
    post = np.r_[by_tag[tag], np.flatnonzero(sound)]
    trend = np.r_[posts.tags[tag], posts.sound[sound] + trends.hashtags]
    return pd.DataFrame({"creator": posts.creator[post], "trend": trend, "day": posts.created[post] // 86_400})


def _counts(uses: pd.DataFrame, first_day: int, trends: int) -> np.ndarray:
    recent = uses[(uses.day >= first_day) & (uses.day < T_DAY)]
    return recent.groupby("trend").creator.nunique().reindex(range(trends), fill_value=0).to_numpy()


def _recall(scores: np.ndarray, wanted: np.ndarray, k: int = 20) -> float:
    """Mean share of a creator's wanted trends in their top k, over creators who want any."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    asked = wanted.any(axis=1)
    return float((np.take_along_axis(wanted, top, axis=1).sum(axis=1)[asked] / wanted.sum(axis=1)[asked]).mean())


def _task(world: SimulatedWorld) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Uses before T, who used what before T, and the first uses in the week after it."""
    uses = _adoptions(world)
    past, week = uses[uses.day < T_DAY], uses[(uses.day >= T_DAY) & (uses.day < T_DAY + HORIZON_DAYS)]
    shape = (world.spec.creators, len(world.trends))
    used, wanted = np.zeros(shape, bool), np.zeros(shape, bool)
    used[past.creator, past.trend] = True
    wanted[week.creator, week.trend] = True
    return past, used, wanted & ~used


def test_the_truth_ranks_better_than_popularity_and_popularity_better_than_chance(
    world: SimulatedWorld,
) -> None:
    past, used, wanted = _task(world)
    trends = len(world.trends)
    month = _counts(past, T_DAY - 28, trends)
    pool = (month >= 3) & (month <= 0.05 * past[past.day >= T_DAY - 28].creator.nunique())
    week = _counts(past, T_DAY - 7, trends)
    walk = sp.csr_matrix(used.astype(float))
    step = sp.diags(1 / np.maximum(used.sum(0), 1)) @ walk.T @ sp.diags(1 / np.maximum(used.sum(1), 1)) @ walk
    scores = {
        "truth": adoption_probability(world, world.creators.username.tolist(), T_DAY, HORIZON_DAYS),
        "walk × week": ((walk @ step).toarray() + 1e-4) * (week + 0.1),
        "week": np.tile(week, (len(used), 1)).astype(float),
        "chance": np.random.default_rng(0).random(used.shape),
    }
    recall = {name: _recall(np.where(used | ~pool, -np.inf, score), wanted & pool) for name, score in scores.items()}
    print("\nrecall@20 of new adoptions:", {name: round(value, 3) for name, value in recall.items()})
    assert recall["truth"] > 1.4 * recall["week"]
    assert recall["truth"] > recall["walk × week"] > 1.1 * recall["week"]
    assert recall["week"] > 1.5 * recall["chance"]
    assert recall["truth"] < 0.95, "a world without noise teaches nothing"


def test_true_probabilities_add_up_to_the_adoptions_that_happen(world: SimulatedWorld) -> None:
    _, used, wanted = _task(world)
    chance = adoption_probability(world, world.creators.username.tolist(), T_DAY, HORIZON_DAYS)
    expected = chance[~used].sum()
    print(f"\nfirst uses in {HORIZON_DAYS} days: expected {expected:.0f}, happened {wanted.sum()}")
    assert wanted.sum() == pytest.approx(expected, rel=0.15)


# --- likeness to real metrics


def _collected(videos: pd.DataFrame, creators: int | None) -> pd.DataFrame:
    """What the collector of famous-2020 keeps: each creator's latest 25 posts, of the last 120 days."""
    posts = videos.sort_values("observed_at").drop_duplicates("id", keep="last")
    names = np.sort(posts.username.unique())
    if creators:
        names = np.random.default_rng(0).choice(names, creators, replace=False)
    posts = posts[posts.username.isin(names)]
    posts = posts[posts.create_time > posts.create_time.max() - pd.Timedelta(days=120)]
    return posts.sort_values(["create_time", "id"]).groupby("username").tail(25)


def _uses(posts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    tags = posts[["id", "username", "create_time", "hashtag_names"]].explode("hashtag_names")
    tags = tags.rename(columns={"hashtag_names": "trend"})
    tags = tags[tags.trend.notna() & (tags.trend.astype(str).str.strip() != "")]
    named = posts[posts.music_id.notna() & (posts.music_title != "original sound")]
    sounds = named[["id", "username", "create_time", "music_id"]].rename(columns={"music_id": "trend"})
    return {"hashtag": tags.drop_duplicates(["id", "trend"]), "sound": sounds}


def _marginals(posts: pd.DataFrame) -> dict[str, list[float]]:
    """Each marginal's QUANTILES, or its one share."""
    by_creator = posts.groupby("username")
    found = {
        "posts per creator": by_creator.size(),
        "days between posts": by_creator.create_time.diff().dt.total_seconds() / 86_400,
        "log10 views per post": np.log10(posts.view_count.clip(lower=1).astype(float)),
        "tags per post": posts.hashtag_names.map(len),
    }
    uses = _uses(posts)
    for kind, table in uses.items():
        count, people = table.groupby("trend").size(), table.groupby("trend").username.nunique()
        found[f"uses per {kind}"] = count
        found[f"uses per {kind} of 3+ creators"] = count[people >= 3]
        times = table[table.trend.isin(count[count >= 5].index)].groupby("trend").create_time
        found[f"life of a {kind} (days)"] = (times.quantile(0.9) - times.quantile(0.1)).dt.total_seconds() / 86_400
    quantiles = {name: [float(x) for x in values.quantile(list(QUANTILES))] for name, values in found.items()}
    return quantiles | {name: [share] for name, share in _shares(posts, uses).items()}


def _shares(posts: pd.DataFrame, uses: dict[str, pd.DataFrame]) -> dict[str, float]:
    tags = uses["hashtag"]
    people = tags.groupby("trend").username.nunique()
    generic = people[people > 0.05 * posts.username.nunique()].index
    return {
        "share of generic tags": float(tags.trend.isin(generic).mean()),
        "share of posts with a named sound": len(uses["sound"]) / len(posts),
        "share of repeated tag uses": 1 - len(tags.drop_duplicates(["username", "trend"])) / len(tags),
        "share of repeated sound uses": float(uses["sound"].duplicated(["username", "trend"]).mean()),
    }


FACTORS = {
    "posts per creator": 2.0,
    "days between posts": 2.0,
    "tags per post": 2.0,
    "uses per hashtag": 2.0,
    "uses per hashtag of 3+ creators": 4.5,
    "life of a hashtag (days)": 2.5,
    "uses per sound": 2.0,
    "uses per sound of 3+ creators": 4.0,
    "life of a sound (days)": 2.5,
    "share of generic tags": 1.6,
    "share of posts with a named sound": 1.4,
    "share of repeated tag uses": 1.3,
    "share of repeated sound uses": 1.8,
}
"""How far a simulated quantile may lie from the real one. 600 trends lack TikTok's many rare ones."""
LOG10_VIEWS_APART = 0.5


@pytest.mark.data
def test_the_default_world_resembles_the_famous_creators(world: SimulatedWorld, data_folder: Path) -> None:
    real = _marginals(_collected(pd.read_parquet(data_folder / "famous-2020" / "videos.parquet"), 400))
    mine = _marginals(_collected(world.videos.to_pandas(), None))
    vietnam = pd.read_parquet(data_folder / "vn-2025" / "videos.parquet")
    other = _marginals(_collected(vietnam, None))
    print(f"\nquantiles {QUANTILES}: simulated | famous-2020 (400 creators) | vn-2025 (a sample of posts)")
    for name in mine:
        print(
            f"{name:34s}",
            *(" ".join(f"{x:6.2f}" for x in column[name]) for column in (mine, real, other)),
            sep=" | ",
        )
    for name, factor in FACTORS.items():
        floor = 0.0 if name.startswith("share") else 0.25
        ratio = (np.array(mine[name]) + floor) / (np.array(real[name]) + floor)
        assert ((ratio < factor) & (ratio > 1 / factor)).all(), (name, ratio.round(2).tolist())
    for theirs in (real, other):
        apart = np.abs(np.subtract(mine["log10 views per post"], theirs["log10 views per post"]))
        assert (apart < LOG10_VIEWS_APART).all(), apart.round(2).tolist()


def test_times_come_from_the_spec_and_never_from_the_clock() -> None:
    moved = WorldSpec(creators=20, trends=20, days=7, start=datetime(2019, 6, 3, tzinfo=UTC))
    seen = simulate(moved).videos
    first, last = (pa.compute.min(seen["create_time"]).as_py(), pa.compute.max(seen["observed_at"]).as_py())
    assert moved.start <= first <= last <= moved.start + timedelta(days=7)
