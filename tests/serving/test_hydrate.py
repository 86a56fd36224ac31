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

from features.eventlog.log import Overlay
from features.eventlog.redis import RedisEventLog
from features.eventlog.sqlite import SqliteEventLog
from features.events import Feedback
from models.creator import CREATOR_COLUMNS, Creator
from serving.errors import StatesUnavailable, UnknownCreator
from serving.hydrate import GivenStates, PackedStates, RedisStates, hydrate, most_active, pack, unpack
from serving.schemas import RankQuery
from tests.servers import RedisServer, redis_server

__all__ = ["redis_server"]

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
    assert hydrate(RankQuery("anna", 5), states)[0].region == "DE"
    there, _ = hydrate(RankQuery("anna", 5, region="FR"), states)
    assert (there.region, there.known) == ("FR", True)


def test_somebody_nobody_has_seen_is_a_newcomer_with_what_they_declare() -> None:
    newcomer, _ = hydrate(RankQuery("nobody", 5, region="VN", tags=("#Dance", "dance", " ")), GivenStates({}))
    assert (newcomer.known, newcomer.region, newcomer.trend_keys) == (False, "VN", ("hashtag:dance",))
    assert np.isnan(newcomer.profile).all()
    assert np.linalg.norm(newcomer.taste) == pytest.approx(1)


def test_a_late_write_of_an_early_state_changes_nothing(tmp_path: Path) -> None:
    states = PackedStates(tmp_path / "creators.sqlite")
    states.put([known("anna", "FR")], NOW, 7)
    states.put([known("anna", "DE")], NOW, 6)
    assert states.replace([known("anna", "DE"), known("ben")], NOW, 6) == 2
    assert {name: states.get(name).region for name in states.ids()} == {"anna": "FR", "ben": "DE"}  # type: ignore[union-attr]
    states.put([known("anna", "VN")], NOW, 7)
    assert states.replace([], NOW, 7) == 0
    assert list(states.ids()) == []


def test_a_creators_own_latest_posts_and_words_are_seen_before_their_state_holds_them(tmp_path: Path) -> None:
    did = {
        "anna": Overlay(used=("sound:1",), adopted=("hashtag:x",), dismissed=("hashtag:y",), seq=3),
        "new": Overlay(used=("hashtag:dance",), seq=4),
    }
    states = PackedStates(tmp_path / "creators.sqlite", did.get)
    states.replace([known("anna"), known("ben")], NOW)
    anna = states.get("anna")
    assert anna is not None and anna.known
    assert anna.trend_keys == ("hashtag:dance", "sound:1")
    assert (anna.adopted, anna.dismissed) == (("hashtag:x",), ("hashtag:y",))
    assert anna.taste.tobytes() == known("anna").taste.tobytes()
    assert states.get("ben").dismissed == ()  # type: ignore[union-attr]
    newcomer, _ = hydrate(RankQuery("new", 5, region="VN", tags=("beat",)), states)
    assert (newcomer.known, newcomer.region) == (False, "VN")
    assert newcomer.trend_keys == ("hashtag:beat", "hashtag:dance")
    assert np.linalg.norm(newcomer.taste) == pytest.approx(1)


def test_states_in_redis_are_read_with_the_overlay_at_once(redis_server: RedisServer) -> None:
    events = RedisEventLog(f"redis://{redis_server.address.partition(',')[0]}", shards=3)
    states = RedisStates(events)
    states.put([known("anna", "FR")], NOW, 7)
    assert states.replace([known("anna", "DE"), known("ben")], NOW, 6) == 2
    assert states.get("anna").region == "FR"  # type: ignore[union-attr]
    assert same(states.get("ben"), known("ben"))  # type: ignore[arg-type]
    assert states.get("nobody") is None
    assert {"anna", "ben"} <= set(states.ids())
    events.close()


def test_without_redis_the_store_says_so() -> None:
    states = RedisStates(RedisEventLog("redis://127.0.0.1:1", timeout_seconds=0.1))
    with pytest.raises(StatesUnavailable):
        states.get("anna")
    with pytest.raises(StatesUnavailable):
        states.put([known("anna")], NOW, 1)
    with pytest.raises(StatesUnavailable):
        list(states.ids())


def test_who_asks_again_is_not_read_again_until_something_is_written(tmp_path: Path) -> None:
    states, elsewhere = (PackedStates(tmp_path / "creators.sqlite") for _ in range(2))
    elsewhere.replace([known("anna"), known("ben")], NOW)
    states.get("anna")
    before = states.get("anna")
    assert states.get("anna") is before
    elsewhere.put([known("ben", "FR")], NOW, 1)
    assert states.get("anna") is before, "what was written concerns somebody else"
    assert states.get("ben").region == "FR"  # type: ignore[union-attr]
    elsewhere.put([known("anna", "VN")], NOW, 2)
    assert states.get("anna").region == "VN"  # type: ignore[union-attr]


def test_what_a_creator_does_is_seen_at_once_however_often_they_asked(tmp_path: Path) -> None:
    here, elsewhere = (SqliteEventLog(tmp_path / "events.db") for _ in range(2))
    states = PackedStates(tmp_path / "creators.sqlite", here.overlay, here.path)
    states.replace([known("anna")], NOW)
    for number in range(50):
        assert len(states.get("anna").dismissed) == number  # type: ignore[union-attr]
        assert states.get("anna") is states.get("anna")
        elsewhere.append([dismissal(number)], NOW)
    here.close()
    elsewhere.close()


def dismissal(number: int) -> Feedback:
    told = {"event_id": f"e{number}", "kind": "feedback", "feedback": "dismiss", "creator_id": "anna"}
    trend = {"trend_type": "sound", "trend_id": f"t{number}", "occurred_at": NOW}
    return Feedback.model_validate(told | trend)


def test_only_those_who_asked_lately_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.hydrate.MOST_KEPT", 2)
    states = PackedStates(tmp_path / "creators.sqlite")
    states.replace([known(name) for name in ("anna", "ben", "zoe")], NOW)
    for _ in range(2):
        first = states.get("anna")
        assert states.get("anna") is not None and states.get("ben") is not None
    states.get("zoe")
    assert states.get("anna") is not first and states.get("zoe") is not None
