"""What `harmonic up` serves and `harmonic score` ranks by: a champion that fits, mended or trained again if it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import training.commands
import training.run
from models.baseline import popularity_baselines
from models.errors import NoChampion
from models.pairs import FEATURES, TRENDS
from models.ranker import Ranker
from models.registry import CHALLENGER, CHAMPION
from models.releases import load_checked, released, trouble
from models.workspace import Workspace
from tests.models.test_registry import plain, record
from tests.worlds import NOW, small_settings
from training.evaluate import METRICS, Figures
from training.judge import NOT_JUDGED
from training.run import release
from training.train import Trained

Training = Callable[..., list[datetime]]
WIDER = replace(TRENDS, features=(*FEATURES, "one more"))


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A released champion, and nothing to train from."""
    made = Workspace(small_settings(tmp_path / "home"))
    made.registry.promote(made.registry.log(record(plain()), "first"), "first", NOW)
    release(made.registry, made.settings)
    return made


@pytest.fixture
def training_finds(monkeypatch: pytest.MonkeyPatch) -> Training:
    """Lets every training find a ranker, better or worse than popularity; lists the instants that are trained as of."""

    def finds(ranker: Ranker, *, better: bool) -> list[datetime]:
        told: list[datetime] = []

        def train(_lake: object, _features: object, as_of: datetime, *_: object) -> Trained:
            told.append(as_of)
            figures = {"ranker": of(0.9 if better else 0.1), **{name: of(0.5) for name in popularity_baselines()}}
            made = record(ranker)
            made = replace(made, parameters={**made.parameters, "as_of": as_of.isoformat()})
            return Trained(made, replace(NOT_JUDGED, figures=figures))

        monkeypatch.setattr(training.run, "train", train)
        return told

    return finds


def of(value: float) -> Figures:
    return Figures({metric: np.full(4, value) for metric in METRICS}, 1.0, 0.0)


def lying(work: Workspace) -> Path:
    found = released(work.settings.released_models, CHAMPION)
    assert found is not None
    return found.folder


def code_moves_on(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Ranker:
    """As after an update: what was released and what is registered do not fit any more; a ranker that does."""
    monkeypatch.setattr("models.releases.load_checked.__defaults__", (WIDER,))
    monkeypatch.setattr(work.registry, "_schema", WIDER)
    monkeypatch.setattr("tests.models.test_registry.FEATURES", WIDER.features)
    return replace(plain(2.0), schema=WIDER)


def test_a_released_champion_stays_as_it_is(
    work: Workspace, training_finds: Training, capsys: pytest.CaptureFixture
) -> None:
    trained = training_finds(plain(), better=True)
    training.commands.release_visibly(work, NOW)
    assert not trained and not capsys.readouterr().out


def test_an_altered_release_is_mended_from_the_registry(work: Workspace, training_finds: Training) -> None:
    trained = training_finds(plain(), better=True)
    (lying(work) / "ranker.json").write_text("{}")
    assert trouble(released(work.settings.released_models, CHAMPION) or pytest.fail("nothing released"))
    training.commands.release_visibly(work, NOW)
    assert not trained
    assert trouble(released(work.settings.released_models, CHAMPION) or pytest.fail("nothing released")) is None


@pytest.mark.parametrize("better", [True, False])
def test_a_champion_of_other_features_gives_way_to_what_beats_popularity(
    work: Workspace,
    training_finds: Training,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    better: bool,
) -> None:
    trained = training_finds(code_moves_on(work, monkeypatch), better=better)
    if better:
        training.commands.release_visibly(work, NOW)
        assert work.registry.version(CHAMPION) == "2" == lying(work).name
        load_checked(lying(work), WIDER)
        training.commands.release_visibly(work, NOW)
    else:
        with pytest.raises(NoChampion, match="ingest more posts"):
            training.commands.release_visibly(work, NOW)
        assert work.registry.version(CHAMPION) == "1" == lying(work).name
    assert trained == [NOW]
    assert "cannot be served: model 1 was trained on other features (['one more'])" in capsys.readouterr().out


def test_what_learned_from_nothing_gives_way_once_there_is_more(
    tmp_path: Path, training_finds: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workspace(small_settings(tmp_path / "home"))
    trained = training_finds(replace(plain(), learned=0), better=True)
    training.commands.release_visibly(work, NOW)
    assert work.registry.version(CHAMPION) == "1" and trained == [NOW]

    # not as long as the lake is as it was
    monkeypatch.setattr("features.lake.Lake.fingerprint", lambda _: "of the first posts")
    assert training.commands.model_before(work, NOW).version == "2"  # its run does not say what it was trained on
    assert work.registry.version(CHAMPION) == "1"
    parameters = work.registry.parameters
    monkeypatch.setattr(work.registry, "parameters", lambda v: parameters(v) | {"data_hash": "of the first posts"})
    training.commands.release_visibly(work, NOW)
    assert training.commands.model_before(work, NOW).version == "1" and len(trained) == 2

    monkeypatch.setattr("features.lake.Lake.fingerprint", lambda _: "of more")
    trained = training_finds(plain(2.0), better=True)
    training.commands.release_visibly(work, NOW)
    assert work.registry.version(CHAMPION) == "3" == lying(work).name and trained == [NOW]
    training.commands.release_visibly(work, NOW)
    assert trained == [NOW]


def test_scoring_an_earlier_instant_moves_no_champion_to_it(
    work: Workspace, training_finds: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the champion, though of a later instant, does not fit any more."""
    earlier = NOW - timedelta(days=30)
    trained = training_finds(plain(2.0), better=True)
    assert training.commands.model_before(work, NOW).version == "1"
    assert training.commands.model_before(work, earlier).version == "2"
    assert trained == [earlier]

    trained = training_finds(code_moves_on(work, monkeypatch), better=True)
    assert training.commands.model_before(work, earlier).version == "3"
    assert trained == [earlier]
    assert (work.registry.version(CHAMPION), work.registry.version(CHALLENGER)) == ("1", "3")
    assert lying(work).name == "1"
