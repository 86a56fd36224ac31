"""The stack that tutorials show, to compare with: Feast row by row, a DataFrame, MLflow's pyfunc, FastAPI."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import BaseModel

import configs
from features.store import FeatureRepository
from features.views import CREATOR_PROFILE, TREND_ACTIVITY
from models.creator import CREATOR_COLUMNS
from serving.bench.rankers import OF_CREATORS, OF_PAIRS, OF_TRENDS, REFERENCE_FEATURES, Reference, reference_rows
from serving.bench.world import AS_OF, World

if TYPE_CHECKING:
    import pandas as pd
    from fastapi import FastAPI

ABOUT: Final = "tutorial.json"
MODEL: Final = "tutorial-model"
CONFIG: Final = "tutorial-feast.yaml"
READY: Final = "/health"
ROUTE: Final = "/recommend"


class Asked(BaseModel):
    """Body of `POST /recommend`."""

    creator_id: str
    k: int


def prepare(world: World, reference: Reference, candidates: int, home: Path, redis: str | None) -> None:
    """Bring a world's features online and write down the model, for `create` in another process.

    Args:
        candidates: how many trends every request is about.
        home: the state folder.
        redis: `host:port` of the online store; SQLite in the state folder where absent.
    """
    with warnings.catch_warnings(record=True):  # MLflow speaks of type hints, which do not concern a benchmark
        from models.served import save_pyfunc

    config = Path(configs.__file__).parents[1] / "features" / "feature_store.yaml"
    if redis is not None:
        config = _with_redis(config, home / CONFIG, redis)
    store = FeatureRepository(home, config)
    store.apply()
    rows = world.frame.assign(event_timestamp=AS_OF)
    best = rows.nlargest(candidates, "creators_28d")
    store.push(TREND_ACTIVITY, best)
    store.push(CREATOR_PROFILE, _profiles(world))
    save_pyfunc(reference.booster, _frame(reference_rows(reference.rows[:64])), home / MODEL)
    about = {"config": str(config), "candidates": best["trend_key"].tolist()}
    (home / ABOUT).write_text(json.dumps(about))


def create() -> FastAPI:
    """The application, over what `prepare` wrote into the state folder."""
    import pandas as pd
    from fastapi import FastAPI

    from models.served import load_pyfunc

    home = configs.current().home
    about = json.loads((home / ABOUT).read_text())
    store, model = FeatureRepository(home, Path(about["config"])), load_pyfunc(home / MODEL)
    names = [f"{TREND_ACTIVITY}:{name}" for name in OF_TRENDS]
    names += [f"{CREATOR_PROFILE}:{name}" for name in OF_CREATORS]
    app = FastAPI()

    @app.post(ROUTE)
    def recommend(asked: Asked) -> list[dict[str, Any]]:
        rows = [{"creator_id": asked.creator_id, "trend_key": key} for key in about["candidates"]]
        # What a feature store cannot hold, creator × trend, stays 0 here: that only spares work.
        table = store.feast_online(names, rows).assign(**dict.fromkeys(OF_PAIRS, 0.0))
        scores = pd.Series(model.predict(table[list(REFERENCE_FEATURES)]), index=table["trend_key"])
        return [{"trend": key, "score": score} for key, score in scores.nlargest(asked.k).items()]

    @app.get(READY)
    def health() -> str:
        return "ok"

    return app


def _profiles(world: World) -> pd.DataFrame:
    import pandas as pd

    profiles = np.stack([creator.profile for creator in world.creators])
    rest: dict[str, Any] = {
        "creator_id": [creator.creator_id for creator in world.creators],
        "region": [creator.region for creator in world.creators],
        "hour_profile": [creator.hour_profile for creator in world.creators],
        "weekday_profile": [creator.weekday_profile for creator in world.creators],
        "creator_taste": [creator.taste for creator in world.creators],
        "event_timestamp": AS_OF,
    }
    return pd.DataFrame(profiles, columns=list(CREATOR_COLUMNS)).assign(**rest)


def _frame(rows: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(REFERENCE_FEATURES))


def _with_redis(config: Path, target: Path, redis: str) -> Path:
    import yaml

    tree = yaml.safe_load(config.read_text())
    address = redis.removeprefix("redis://").partition("/")[0]
    tree["online_store"] = {"type": "redis", "connection_string": address}
    target.write_text(yaml.safe_dump(tree))
    return target
