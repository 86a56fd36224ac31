"""What `harmonic up` serves: the champion, mended or trained again where it could not be served as it lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import training.commands
from models.errors import NoChampion
from models.pairs import FEATURES, TRENDS
from models.registry import CHAMPION
from models.releases import released, trouble
from models.workspace import Workspace
from tests.models.test_registry import plain, record
from tests.worlds import NOW, small_settings
from training.run import release


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A released champion, and nothing to train from."""
    made = Workspace(small_settings(tmp_path / "home"))
    made.registry.promote(made.registry.log(record(plain()), "first"), "first", NOW)
    release(made.registry, made.settings)
    return made


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line each time something was trained, and did not beat popularity."""
    lines: list[str] = []

    def train(*_: object) -> SimpleNamespace:
        lines.append("trained")
        verdict = SimpleNamespace(promoted=False, message="worse than popularity")
        return SimpleNamespace(verdict=verdict, trained=SimpleNamespace(judged=SimpleNamespace(summary="judged")))

    monkeypatch.setattr(training.commands, "train_visibly", train)
    return lines


def lying(work: Workspace) -> Path:
    found = released(work.settings.released_models, CHAMPION)
    assert found is not None
    return found.folder


def test_a_released_champion_stays_as_it_is(work: Workspace, trained: list[str], capsys: pytest.CaptureFixture) -> None:
    training.commands.release_visibly(work, NOW)
    assert not trained and not capsys.readouterr().out


def test_an_altered_release_is_mended_from_the_registry(work: Workspace, trained: list[str]) -> None:
    (lying(work) / "ranker.json").write_text("{}")
    assert trouble(released(work.settings.released_models, CHAMPION) or pytest.fail("nothing released"))
    training.commands.release_visibly(work, NOW)
    assert not trained
    assert trouble(released(work.settings.released_models, CHAMPION) or pytest.fail("nothing released")) is None


def test_a_champion_of_other_features_is_trained_again(
    work: Workspace, trained: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update of the code: what was released and what is registered do not fit it any more."""
    wider = replace(TRENDS, features=(*FEATURES, "one more"))
    monkeypatch.setattr("models.releases.load_checked.__defaults__", (wider,))
    monkeypatch.setattr(work.registry, "_schema", wider)
    with pytest.raises(NoChampion, match="ingest more posts"):
        training.commands.release_visibly(work, NOW)
    assert trained == ["trained"]
    assert "model 1 was trained on other features (['one more'])" in capsys.readouterr().out
