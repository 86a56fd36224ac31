from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.creator import CREATOR_COLUMNS, Creator
from serving.errors import UnknownCreator
from serving.hydrate import GivenStates, PackedStates, hydrate, most_active, pack, unpack
from serving.schemas import RankQuery

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def known(name: str, region: str = "DE") -> Creator:
    newcomer = Creator.newcomer(name, region, ["dance"])
    return Creator(**vars(newcomer) | {"known": True, "profile": np.arange(len(CREATOR_COLUMNS)) / 3})


def same(a: Creator, b: Creator) -> bool:
    floats = ("profile", "taste", "hour_profile", "weekday_profile")
    ours, theirs = vars(a), vars(b)
    return all(ours[n].tobytes() == theirs[n].tobytes() for n in floats) and all(
        ours[n] == theirs[n] for n in ours.keys() - set(floats)
    )


@settings(max_examples=80, deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    profile=arrays(np.float64, len(CREATOR_COLUMNS), elements=FINITE | st.just(np.nan)),
    taste=arrays(np.float64, 5, elements=FINITE),
    keys=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5),
)
def test_packing_keeps_every_bit(name: str, profile: np.ndarray, taste: np.ndarray, keys: list[str]) -> None:
    profile[np.isnan(profile)] = np.nan
    creator = Creator(**vars(known(name)) | {"profile": profile, "taste": taste, "trend_keys": tuple(keys)})
    assert same(unpack(pack(creator)), creator)


def test_creators_are_found_by_id_and_listed_in_order(tmp_path: Path) -> None:
    states = PackedStates(tmp_path / "serving" / "creators.sqlite")
    assert states.replace([known("zoe"), known("anna")], NOW) == 2
    assert list(states.ids()) == ["anna", "zoe"]
    found = states.get("zoe")
    assert found is not None and same(found, known("zoe"))
    assert states.get("nobody") is None


@pytest.mark.parametrize("folder", ["with space", "a#b", "a?b", "50%41"])
def test_the_state_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    states = PackedStates(tmp_path / folder / "creators.sqlite")
    states.replace([known("anna")], NOW)
    assert states.get("anna") is not None


def test_replacing_forgets_those_who_are_no_longer_known(tmp_path: Path) -> None:
    states = PackedStates(tmp_path / "creators.sqlite")
    states.replace([known("anna"), known("zoe")], NOW)
    assert states.get("anna") is not None
    states.replace([known("zoe", "FR")], NOW)
    assert states.get("anna") is None
    assert states.get("zoe").region == "FR"  # type: ignore[union-attr]


def test_a_replacement_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    states = PackedStates(tmp_path / "creators.sqlite")
    states.replace([known("anna")], NOW)
    with pytest.raises(sqlite3.IntegrityError):
        states.replace([known("zoe"), known("zoe")], NOW)
    assert list(states.ids()) == ["anna"]


def test_readers_see_all_old_or_all_new_creators_while_one_writes(tmp_path: Path) -> None:
    names = [f"creator_{n}" for n in range(50)]
    states = PackedStates(tmp_path / "creators.sqlite")
    states.replace([known(name, "AA") for name in names], NOW)
    done = threading.Event()

    def publish() -> None:
        for n in range(20):
            PackedStates(states.path).replace([known(name, "AA" if n % 2 else "BB") for name in names], NOW)
        done.set()

    writer = threading.Thread(target=publish)
    writer.start()
    reads = 0
    while not done.is_set() or reads == 0:
        assert list(states.ids()) == sorted(names)
        found = states.get(names[reads % len(names)])
        assert found is not None and found.region in ("AA", "BB")
        reads += 1
    writer.join()


def test_the_most_active_creator_has_the_most_posts_of_a_month(tmp_path: Path) -> None:
    with pytest.raises(UnknownCreator):
        most_active(GivenStates({}))
    calm, busy = known("anna"), known("zoe")
    busy.profile[CREATOR_COLUMNS.index("posts_28d")] = 99
    assert most_active(GivenStates({"anna": calm, "zoe": busy})).creator_id == "zoe"


def test_a_known_creator_keeps_their_state_and_a_declared_region_wins() -> None:
    states = GivenStates({"anna": known("anna")})
    assert hydrate(RankQuery("anna", 5), states).region == "DE"
    there = hydrate(RankQuery("anna", 5, region="FR"), states)
    assert (there.region, there.known) == ("FR", True)


def test_somebody_nobody_has_seen_is_a_newcomer_with_what_they_declare() -> None:
    newcomer = hydrate(RankQuery("nobody", 5, region="VN", tags=("#Dance", "dance", " ")), GivenStates({}))
    assert (newcomer.known, newcomer.region, newcomer.trend_keys) == (False, "VN", ("hashtag:dance",))
    assert np.isnan(newcomer.profile).all()
    assert np.linalg.norm(newcomer.taste) == pytest.approx(1)
