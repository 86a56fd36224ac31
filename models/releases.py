"""Released models: how the registry hands one over in a folder, and how a reader knows that it is the same model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.compiled.prepared import compiled_forest
from models.errors import BrokenRelease, IncompatibleModel
from models.interactions import Floats
from models.pairs import TRENDS
from models.ranker import Ranker
from models.schema import Schema

EXAMPLES: Final = "examples.npz"
MANIFEST: Final = "release.json"
TOLERANCE: Final = 1e-9
"""How far a prediction may lie from the logged one, as a share of it where it is larger than 1."""

DRAWN: Final = 256
"""Example rows beside the real ones, so that most leaves are reached."""

KEPT: Final = 3
"""How many releases stay on disk beside those that are pointed to, so that a slow reader is not cut off."""

FEATURES_VERSION: Final = TRENDS.version
"""Of the names and the order of what the ranker of trends takes in."""


@dataclass(frozen=True)
class LoggedPredictions:
    """What a ranker said of some rows when it was trained.

    Attributes:
        features: of the trees, the linear inputs among them, shape (m, len(schema.features)).
        linear: the linear stage's score, shape (m,).
        correction: what the trees add to it, shape (m,).
        probability: of the sum, for a creator of whom nothing is known, shape (m,).
    """

    features: Floats
    linear: Floats
    correction: Floats
    probability: Floats

    @classmethod
    def of(cls, ranker: Ranker, rows: Floats) -> LoggedPredictions:
        """Ask a ranker about real rows, shape (m, len(schema.features)), and about rows drawn around its own splits."""
        features = np.concatenate([rows, _drawn(ranker, DRAWN)])
        return cls._asked(ranker, features, ranker.correction(features, threads=1))

    @classmethod
    def _asked(cls, ranker: Ranker, features: Floats, correction: Floats) -> LoggedPredictions:
        linear = features[:, ranker.schema.inputs_at] @ ranker.weights
        terms = np.zeros(len(ranker.calibration.pace))
        return cls(features, linear, correction, ranker.calibration.probability(linear + correction, terms))

    def save(self, folder: Path) -> None:
        """Write them beside the ranker that they are of."""
        np.savez(folder / EXAMPLES, allow_pickle=False, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> LoggedPredictions:
        """The inverse of `save`.

        Raises:
            IncompatibleModel: there are none, or they cannot be read.
        """
        try:
            with np.load(folder / EXAMPLES, allow_pickle=False) as stored:
                return cls(**{name: stored[name] for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            raise IncompatibleModel(f"model {folder.name} carries no example predictions: train again") from None
        except (KeyError, ValueError, EOFError) as error:
            raise BrokenRelease(f"model {folder.name}: its example predictions cannot be read ({error})") from None

    def check(self, ranker: Ranker, folder: Path) -> None:
        """Make sure that a ranker, its trees compiled as they serve, says today what it said then.

        Raises:
            BrokenRelease: it says something else, or something that is no number.
        """
        today = self._asked(ranker, self.features, self._correction(ranker))
        for name in ("linear", "correction", "probability"):
            self.compare(name, getattr(today, name), folder)

    def _correction(self, ranker: Ranker) -> Floats:
        forest = compiled_forest(ranker)
        if forest is None:
            return ranker.correction(self.features, threads=1)
        trend, creator, cross = (self.features[:, forest.columns(side)] for side in ("trend", "creator", "cross"))
        prepared, rows = forest.prepare(trend), np.arange(len(trend))
        scores = [prepared.score(creator[row], rows[row : row + 1], cross[row : row + 1])[0] for row in rows]
        return np.asarray(ranker.trust * np.array(scores))

    def compare(self, name: str, today: Floats, folder: Path) -> None:
        """Compare one column with what is predicted now, shape (m,); raises as `check` does."""
        logged: Floats = getattr(self, name)
        if not np.isfinite(today).all():
            raise BrokenRelease(f"model {folder.name}: its {name} of the example rows is not finite")
        apart = float((np.abs(today - logged) / np.maximum(np.abs(logged), 1)).max(initial=0))
        if apart > TOLERANCE:
            raise BrokenRelease(f"model {folder.name}: its {name} differs from the logged examples by {apart:.3g}")


@dataclass(frozen=True)
class Release:
    """What an alias points to.

    Attributes:
        alias, version: of the registry.
        folder: the ranker's files.
        stamp: changes whenever the folder is written anew, also under the same version.
    """

    alias: str
    version: str
    folder: Path
    stamp: tuple[int, int]


def released(root: Path, alias: str) -> Release | None:
    """What is released under an alias, None where nothing is; nothing is read but where it lies."""
    try:
        version = (root / alias).read_text()
    except FileNotFoundError:
        return None
    try:
        about = (root / version / MANIFEST).stat()
    except FileNotFoundError:
        return Release(alias, version, root / version, (0, 0))
    return Release(alias, version, root / version, (about.st_ino, about.st_mtime_ns))


def write_release(ranker: Ranker, rows: Floats, folder: Path) -> None:
    """Write a ranker into an empty folder as it is released: with example predictions, and its files' checksums.

    Args:
        rows: real ones to predict, shape (m, len(ranker.schema.features)).
    """
    ranker.save(folder)
    LoggedPredictions.of(ranker, rows).save(folder)
    _seal(folder, ranker.schema)


def load_checked(folder: Path, schema: Schema = TRENDS) -> Ranker:
    """A ranker that `write_release` left, whose files, features and predictions are those that were logged.

    Args:
        schema: of what it ranks.

    Raises:
        IncompatibleModel: it was trained on other features, or carries no examples.
        BrokenRelease: files are missing or altered, or it predicts something else than at training.
    """
    _check_files(folder)
    logged = LoggedPredictions.load(folder)
    try:
        ranker = Ranker.load(folder, schema)
        logged.check(ranker, folder)
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenRelease(f"model {folder.name} cannot be used: {error}") from None
    return ranker


def trouble(release: Release) -> str | None:
    """Why a release would not be let in to serve, None where it would."""
    try:
        load_checked(release.folder)
    except IncompatibleModel as error:
        return str(error)
    return None


def publish(root: Path, alias: str, version: str, fill: Callable[[Path], None], schema: Schema = TRENDS) -> None:
    """Put a version's folder in its place and point the alias to it; a reader sees the old or the new, never half.

    Args:
        fill: writes what `write_release` does into an empty folder; what lies there stays where it is the same.
        schema: of what the ranker ranks.

    Raises:
        IncompatibleModel: what was written is not fit to be released; nothing has changed then.
    """
    with _locked(root):
        target = root / version
        with tempfile.TemporaryDirectory(dir=root, prefix=".") as temporary:
            staged = Path(temporary) / version
            staged.mkdir()
            fill(staged)
            load_checked(staged, schema)
            if not _is_same(target, staged):
                if target.exists():
                    target.rename(Path(temporary) / "old")
                staged.rename(target)
        point(root, alias, version)
        _forget(root)


def point(root: Path, alias: str, version: str) -> None:
    """Let an alias point to a version whose folder is there; a reader sees the old name or the new, never half."""
    pointer = root / f".{alias}.{os.getpid()}"
    pointer.write_text(version)
    pointer.replace(root / alias)


def withdraw(root: Path, alias: str) -> None:
    """Let an alias point nowhere."""
    if (root / alias).exists():
        with _locked(root):
            (root / alias).unlink(missing_ok=True)
            _forget(root)


def _locked(root: Path) -> Any:
    from filelock import FileLock

    root.mkdir(parents=True, exist_ok=True)
    return FileLock(root.with_name(f".{root.name}.lock"))


def _seal(folder: Path, schema: Schema) -> None:
    sums = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    (folder / MANIFEST).write_text(json.dumps({"features": schema.version, "files": sums}, indent=1))


def _check_files(folder: Path) -> None:
    """A file that was cut or altered must not reach a parser written in C++."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        wrong = sorted(name for name, digest in files.items() if _digest(folder / name) != digest)
    except FileNotFoundError as error:
        raise BrokenRelease(f"model {folder.name}: {Path(str(error.filename)).name} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BrokenRelease(f"model {folder.name}: {MANIFEST} cannot be read") from None
    if wrong:
        raise BrokenRelease(f"model {folder.name}: {', '.join(wrong)} altered since the release")


def _is_same(folder: Path, other: Path) -> bool:
    """Whether a folder is whole and holds what another one does: a version's number says it of one registry only."""
    try:
        _check_files(folder)
    except BrokenRelease:
        return False
    return (folder / MANIFEST).read_text() == (other / MANIFEST).read_text()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _forget(root: Path) -> None:
    """Remove all but the newest releases and those pointed to, and whatever a killed writer left."""
    present = {path.read_text() for path in root.iterdir() if path.is_file() and not path.name.startswith(".")}
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    whole = [path for path in folders if not path.name.startswith(".")]
    for path in folders:
        if path not in whole[-KEPT:] and path.name not in present:
            shutil.rmtree(path, ignore_errors=True)


def _drawn(ranker: Ranker, count: int) -> Floats:
    """Rows whose values lie on, just above and far from the thresholds of the trees, some missing; always the same."""
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(count, len(ranker.schema.features)))
    for feature, thresholds in _thresholds(ranker):
        picked = chance.choice(thresholds, count)
        rows[:, feature] = np.where(chance.random(count) < 0.5, picked, np.nextafter(picked, np.inf))
    optional = np.ones(len(ranker.schema.features), bool)
    optional[ranker.schema.inputs_at] = False  # the linear stage takes no missing values
    rows[(chance.random(rows.shape) < 0.1) & optional] = np.nan
    return rows


def _thresholds(ranker: Ranker) -> Iterator[tuple[int, Floats]]:
    """Each feature that any tree splits on, with its thresholds."""
    found: dict[int, set[float]] = {}
    for booster in ranker.boosters:
        nodes = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
        while nodes:
            node = nodes.pop()
            if "split_feature" in node:
                found.setdefault(int(node["split_feature"]), set()).add(float(node["threshold"]))
                nodes += [node["left_child"], node["right_child"]]
    return ((feature, np.array(sorted(found[feature]))) for feature in sorted(found))
