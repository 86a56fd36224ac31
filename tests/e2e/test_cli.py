"""Every verb of the command line, as a user and as a machine call it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import configs
import harmonic
from features.lake import Lake
from features.materialize import latest_instant
from models.workspace import Workspace
from serving.batch import COLUMNS
from serving.show import show_slate
from tests.e2e.conftest import Shell
from tests.worlds import small_environment

pytestmark = pytest.mark.e2e

TOOLS = Path(__file__).parents[3] / "shared" / "tools"

VERBS = {
    "up", "ingest", "simulate", "materialize", "train", "evaluate", "promote", "rollback", "audit", "score",
    "recommend", "serve", "consume",
}  # fmt: skip
REGISTERED = sorted(str(command.name or command.callback.__name__) for command in harmonic.app.registered_commands)
GROUPED = [
    f"{group} {command.name or command.callback.__name__}"
    for group, verbs in harmonic.GROUPS.items()
    for command in verbs.registered_commands
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command line inside this process: libraries are imported once. Gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harmonic", *map(str, arguments)])
        configs.current.cache_clear()
        capfd.readouterr()
        try:
            harmonic.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        finally:
            configs.current.cache_clear()
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def own_home(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained home that verbs may change."""
    home = tmp_path_factory.mktemp("cli") / "home"
    shutil.copytree(trained_home, home)
    return home


@pytest.fixture
def at_home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in small_environment(own_home).items():
        monkeypatch.setenv(name, value)
    return own_home


@pytest.fixture
def at_new_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMONIC_HOME", str(home))
    return home


def answer(done: tuple[int, str, str], code: int = 0) -> Any:
    """What a verb printed with --json: JSON and nothing else."""
    assert done[0] == code, done[2]
    return json.loads(done[1])


def refused(done: tuple[int, str, str]) -> str:
    """The one line on stderr that a user's mistake ends in."""
    code, out, err = done
    assert code == 1 and out == ""
    assert err.startswith("harmonic: ") and len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    return err


# Help


@pytest.mark.parametrize("verb", REGISTERED + GROUPED)
def test_help_shows_an_example(run: Run, verb: str) -> None:
    code, out, _ = run(*verb.split(), "--help")
    assert code == 0 and f"harmonic {verb}" in out and "Example" in out


def test_help_lists_every_verb_of_the_design(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0 and all(verb in out for verb in [*REGISTERED, *harmonic.GROUPS])
    assert set(REGISTERED) >= VERBS


def test_starting_up_imports_no_heavy_library() -> None:
    code = "import sys, harmonic; sys.exit(bool({'feast', 'mlflow', 'lightgbm', 'sklearn', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(harmonic.__file__).parent, check=False).returncode == 0


# Ingest and simulate

BAD: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "no username": {"username": ""},
    "no create_time": {"create_time": None},
    "NUL byte": {"video_description": "a\0b"},
    "is negative": {"view_count": -1},
    "is not a whole number": {"view_count": 1.5},
    "is not a number": {"like_count": "many"},
    "is too large": {"share_count": 2**63},
    "is in the future": {"observed_at": "2100-01-01"},
    "is before create_time": {"observed_at": "2025-12-31"},
    "is not a time": {"create_time": "soon"},
    "unknown column": {"colour": "red"},
}


def post(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "create_time": "2026-01-01T00:00:00Z",
        "observed_at": "2026-02-01T00:00:00Z",
        "username": f"creator_{number % 3}",
        "view_count": 10 * number,
        "hashtag_names": ["dance", f"t{number}"],
        **more,
    }


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    rows = [post(n) for n in range(1, 21)] + [post(100 + n, **fault) for n, fault in enumerate(BAD.values())]
    file = tmp_path / "posts.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_twelve_kinds_of_bad_rows_are_told_and_the_good_ones_loaded(
    run: Run, at_new_home: Path, bad_file: Path
) -> None:
    code, out, err = run("ingest", bad_file)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "rows 32 · new 20 · duplicates 0 · quarantined 12"
    for reason in BAD:
        assert any(reason in line for line in out.splitlines()[1:]), (reason, out)
    where = out.splitlines()[-1].removeprefix("each refused row, with its file and line: ")
    assert where == str(at_new_home / "lake" / "quarantine" / "*.parquet")
    assert list((at_new_home / "lake" / "quarantine").glob("*.parquet"))
    quarantined = (
        Lake(at_new_home / "lake").connect().sql("SELECT line, reason FROM quarantine ORDER BY line").fetchall()
    )
    assert [line for line, _ in quarantined] == list(range(21, 33))
    assert all(part in reason for part, (_, reason) in zip(BAD, quarantined, strict=True))


def test_ingest_reports_to_machines_and_the_second_time_adds_nothing(
    run: Run, at_new_home: Path, bad_file: Path
) -> None:
    report = answer(run("ingest", bad_file, "--json"))
    assert (report["rows"], report["new"], report["duplicates"], report["quarantined"]) == (32, 20, 0, 12)
    again = answer(run("ingest", bad_file, "--json"))
    assert (again["new"], again["duplicates"], again["quarantined"]) == (0, 20, 12)


def unreadable(folder: Path, kind: str) -> Path:
    """A path that ingest cannot read, of one kind of mistake."""
    path = folder / {"missing": "gone.parquet", "empty": "empty.parquet", "torn": "torn.parquet"}.get(kind, "notes.txt")
    content = {"empty": b"", "torn": b"PAR1 and then the disk was full", "another kind": b"shopping list"}
    if kind in content:
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "torn", "another kind"])
def test_what_cannot_be_read_ends_in_one_line(run: Run, at_new_home: Path, tmp_path: Path, kind: str) -> None:
    path = unreadable(tmp_path, kind)
    assert path.name in refused(run("ingest", path))
    assert Lake(at_new_home / "lake").latest_at() is None


def test_one_bad_path_among_good_ones_loads_nothing(
    run: Run, at_new_home: Path, bad_file: Path, tmp_path: Path
) -> None:
    refused(run("ingest", bad_file, tmp_path / "gone.csv"))
    assert Lake(at_new_home / "lake").latest_at() is None


def test_the_same_in_a_shell(tmp_path: Path) -> None:
    done = Shell(small_environment(tmp_path / "home"), tmp_path).run("ingest", "gone.parquet")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "gone.parquet" in done.stderr


def test_a_simulated_world_can_be_ingested(run: Run, at_new_home: Path, tmp_path: Path) -> None:
    size = ("--creators", 20, "--trends", 30, "--days", 30, "--seed", 3)
    written = answer(run("simulate", *size, "--out", tmp_path / "world", "--json"))
    assert written["videos"] > 100
    report = answer(run("ingest", tmp_path / "world", "--json"))
    assert report["new"] > 0 and report["quarantined"] == 0
    assert Lake(at_new_home / "lake").counts()["videos"] > 0


# What needs data, before there are any


@pytest.mark.parametrize("verb", ["materialize", "train", "score"])
def test_an_empty_lake_says_what_to_do(run: Run, at_new_home: Path, tmp_path: Path, verb: str) -> None:
    more = ("--out", tmp_path / "r.parquet") if verb == "score" else ()
    assert "harmonic ingest" in refused(run(verb, *more))
    assert not (tmp_path / "r.parquet").exists() and at_new_home


@pytest.mark.usefixtures("at_new_home")
def test_without_a_model_every_verb_says_what_to_do(run: Run) -> None:
    assert "harmonic materialize" in refused(run("recommend", "anna"))
    assert "harmonic train" in refused(run("evaluate"))
    assert "harmonic train" in refused(run("rollback"))
    assert answer(run("audit", "--json")) == []


@pytest.mark.usefixtures("at_home")
def test_an_instant_before_the_data_is_refused(run: Run) -> None:
    assert "2001" in refused(run("materialize", "--as-of", "2001-01-01"))


def test_a_setting_that_does_not_fit_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONIC_SERVING__PORT", "many")
    assert "serving.port" in refused(run("audit"))
    monkeypatch.setenv("HARMONIC_SERVING__PORT", "3000")
    monkeypatch.setenv("HARMONIC_PROFILE", "moon")
    assert "local" in refused(run("audit"))


# Slates


@pytest.mark.usefixtures("at_home")
def test_one_slate_for_people_and_for_machines(run: Run) -> None:
    slate = answer(
        run("recommend", "somebody", "--k", 3, "--kind", "sound", "--region", "US", "--tag", "dance", "--json")
    )
    assert [item["kind"] for item in slate["items"]] == ["sound"] * 3
    assert slate["known_creator"] is False
    code, out, _ = run("recommend", "somebody", "--k", 3)
    assert code == 0 and "nobody we know yet" in out
    assert "kinds" in refused(run("recommend", "somebody", "--kind", "artist"))
    assert "region" in refused(run("recommend", "somebody", "--region", "Germany"))


def test_batch_scores_are_the_contract_columns(run: Run, at_home: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "slates.parquet"
    summary = answer(run("score", "--k", 5, "--out", out, "--json"))
    table = pd.read_parquet(out)
    assert tuple(table) == COLUMNS
    assert summary["rows"] == len(table) == 5 * summary["creators"]
    assert datetime.fromisoformat(summary["as_of"]) == latest_instant(Lake(at_home / "lake"))
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_title_is_shown_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    item = {"rank": 1, "kind": "sound", "title": "[/b] so [red]", "author": "a [link=x]", "score": 0.1, "fit": 0.5}
    item |= {"heat": 0.5, "stage": "rising", "reasons": ["[one]", "two"]}
    slate = {
        "creator_id": "[dim]",
        "known_creator": True,
        "as_of": "2026-01-01T00:00:00Z",
        "model": "1",
        "items": [item],
    }
    show_slate(slate, Console())
    out = capsys.readouterr().out
    assert "[/b] so [red] – a [link=x]" in out and "[one]" in out and "[dim]" in out


@pytest.mark.usefixtures("at_home")
def test_materialising_what_is_published_does_nothing(run: Run) -> None:
    published = answer(run("materialize", "--json"))
    assert set(published) == {"market", "as_of", "trends"}
    assert answer(run("materialize", "--json"))["trends"] is None
    code, out, _ = run("materialize")
    assert code == 0 and "published already" in out


# Forecasts


@pytest.fixture
def counted(run: Run, at_new_home: Path, tmp_path: Path) -> None:
    """A lake with the public counts of two sounds over three weeks."""
    days = np.tile(np.arange(21), 2)
    rows = pd.DataFrame({"trend_type": "sound", "trend_id": ["a"] * 21 + ["b"] * 21, "region": "", "metric": "posts"})
    rows["observed_at"] = datetime(2025, 1, 1, 12, tzinfo=UTC) + pd.to_timedelta(days, unit="D")
    rows["value"] = np.round(5000 * np.exp(np.repeat([0.02, 0.05], 21) * days))
    rows.to_parquet(tmp_path / "trend_snapshots.parquet")
    assert answer(run("ingest", tmp_path / "trend_snapshots.parquet", "--json"))["new"] == 42


FORECAST_COLUMNS = ["cutoff", "trend_id", "log_growth", "lo80", "hi80"]


@pytest.mark.usefixtures("counted")
def test_a_forecast_is_written_in_the_columns_of_the_contract(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    said = answer(run("forecast", "--type", "sound", "--horizon", "7", "--out", out, "--json"))
    assert said == {"rows": 2, "cutoffs": 1, "out": str(out)}
    table = pd.read_parquet(out)
    assert list(table) == FORECAST_COLUMNS and table["trend_id"].tolist() == ["a", "b"]
    assert table["log_growth"].is_monotonic_increasing and (table["lo80"] <= table["hi80"]).all()
    assert "ingest trend snapshots" in refused(run("forecast", "--type", "hashtag", "--out", out))


@pytest.mark.usefixtures("counted")
def test_a_back_test_forecasts_at_every_weekly_cut_off(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "b.parquet"
    said = answer(run("backtest", "forecast", "--type", "sound", "--horizon", "3", "--out", out, "--json"))
    assert said == {"rows": 6, "cutoffs": 3, "out": str(out)}
    table = pd.read_parquet(out)
    assert list(table) == FORECAST_COLUMNS and table["cutoff"].diff().max() == pd.Timedelta(days=7)


# Models, in the order of their lives


@pytest.mark.usefixtures("at_home")
def test_a_model_lives_from_training_to_rollback(run: Run) -> None:
    (first,) = answer(run("audit", "--json"))
    assert (first["version"], first["until"]) == ("1", None)

    judged = answer(run("evaluate", "--json"))
    assert 0 < judged["test.ranker.ndcg"] < 1

    trained = answer(run("train", "--json"))
    assert trained["version"] == "2" and trained["promoted"] is False and "test.ranker.ndcg" in trained

    kept = answer(run("promote", "--json"), code=3)
    assert kept["promoted"] is False and "not proven" in kept["message"]
    assert len(answer(run("audit", "--json"))) == 1

    assert "nothing to go back to" in refused(run("rollback", "--json"))
    registry = Workspace().registry
    registry.promote("2", "by hand", datetime(2026, 2, 1, tzinfo=UTC))
    assert answer(run("rollback", "--json")) == {"champion": "1"}
    assert [tenure["version"] for tenure in answer(run("audit", "--json"))] == ["1", "2", "1"]
    code, out, _ = run("audit")
    assert code == 0 and len(out.splitlines()) == 3 and "now" in out


# Real metrics


def tool(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(TOOLS / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.mark.data
def test_slates_of_real_creators_beat_every_popularity_baseline(data_folder: Path, tmp_path: Path) -> None:
    videos, cut = data_folder / "famous-2020" / "videos.parquet", tmp_path / "cut.parquet"
    tool("adoption_eval.py", "cut", videos, "2020-11-01", cut, "--posts-known")
    fewer_cutoffs = {
        "HARMONIC_RANKER__MAX_CUTOFFS": "2",
        "HARMONIC_RANKER__CUTOFF_STEP_DAYS": "7",
        "HARMONIC_RANKER__TREES__SEEDS": "[0]",
    }
    shell = Shell({"HARMONIC_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "2"} | fewer_cutoffs, tmp_path)
    report = shell.json("ingest", cut)
    assert report["quarantined"] == 0 and report["new"] > 40_000
    out = tmp_path / "r.parquet"
    summary = shell.json("score", "--as-of", "2020-11-01T00:00:00Z", "--k", 20, "--out", out)

    table = pd.read_parquet(out)
    posted = pd.read_parquet(cut, columns=["username"])["username"].nunique()
    assert summary["creators"] == posted == table["creator_id"].nunique()
    assert (table.groupby("creator_id").size() == 20).all()
    assert not table.duplicated(["creator_id", "trend_type", "trend_id"]).any()
    assert not set(table["trend_id"]) & generic(cut)

    lines = tool("adoption_eval.py", "baselines", videos, "2020-11-01", 7).splitlines()
    baselines = {name: json.loads(rest.replace("'", '"')) for name, _, rest in (line.partition(" ") for line in lines)}
    ours = json.loads(tool("adoption_eval.py", "score", videos, "2020-11-01", 7, out).replace("'", '"'))
    popular = {name: figures for name, figures in baselines.items() if name.startswith(("popular", "velocity"))}
    print(f"ours {ours}", *(f"{name} {figures}" for name, figures in popular.items()), sep="\n")
    assert len(popular) == 4
    for figures in popular.values():
        assert ours["recall20"] > figures["recall20"] and ours["ndcg20"] > figures["ndcg20"]


def generic(videos: Path) -> set[str]:
    """Hashtags of more than 5 % of the creators who used any trend in the last 28 days, by hand."""
    posts = pd.read_parquet(videos, columns=["username", "create_time", "hashtag_names"])
    recent = posts[posts["create_time"] > pd.Timestamp("2020-11-01", tz="UTC") - pd.Timedelta(days=28)]
    used = recent.explode("hashtag_names").dropna(subset=["hashtag_names"])
    creators = used.groupby("hashtag_names")["username"].nunique()
    found = set(creators[creators > 0.05 * recent["username"].nunique()].index)
    assert {"fyp", "foryou"} <= found
    return found
