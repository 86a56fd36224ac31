"""The feature store: features written, materialised, pushed and read back. The only door to feast."""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock

from features import addresses, codec
from features.entities import entities
from features.errors import FeatureError
from features.latest import latest_of_each_key, latest_rows
from features.offline import OfflineFiles
from features.pointintime import join
from features.recency import FIRST_USED_AT, LAST_USED_AT, RECENCY_FEATURES, REQUESTED_AT
from features.schemas import INSTANT
from features.selection import Selection, refuse_unknown, select
from features.services import SERVICES, feature_service
from features.views import (
    CREATED_AT,
    EVENT_AT,
    EVENT_US,
    TREND_ACTIVITY,
    TREND_AGE,
    ViewSpec,
    all_views,
    feature_view,
    push_source_name,
    recency_of,
    trend_age_view,
)

if TYPE_CHECKING:
    from feast import FeatureStore, RepoConfig
    from feast.data_source import DataSource

    from configs import Settings

CHUNK_ROWS: Final = 1000
"""Rows per online read or write: bounds a transaction, and SQLite's 32,766 parameters."""

Progress = Callable[[str, int, int], None]
"""Told after each chunk: the view, rows done, rows in all."""

_ROW: Final = "row_number"
_NEVER: Final = np.iinfo(np.int64).min


class FeatureRepository:
    """The project's features, in whatever stores the configuration names.

    Args:
        home: the state folder; everything local lies in `home/feast`.
        config: a feature_store.yaml; `${NAME}` in it is the environment's, `${HARMONIC_HOME}` is `home`.
        views: the stored views; the project's own where not given.
    """

    def __init__(self, home: Path, config: Path, views: Sequence[ViewSpec] | None = None) -> None:
        self.home = home
        self.views = {view.name: view for view in (all_views() if views is None else views)}
        self._config_path = config
        self._files = OfflineFiles(home / "feast" / "offline")

    @classmethod
    def open(cls, settings: Settings) -> FeatureRepository:
        """The repository of these settings; a relative `feast.config` is below the project's root."""
        return cls(settings.home, Path(__file__).parents[1] / settings.feast.config)

    def apply(self) -> None:
        """Register every definition and make the online tables; a second time changes nothing."""
        with _quiet():
            self._store.apply(self.definitions())
            self._store.refresh_registry()  # a cache that refreshes in the background knows of nothing yet
        if self._config.online_store.type == "sqlite":
            _let_readers_pass(Path(self._config.online_store.path))

    def definitions(self) -> list[Any]:
        """Feast's entities, feature views and feature services: all there is to register."""
        names = {name: view.names for name, view in self.views.items()}
        services = [feature_service(service, self._definitions, names) for service in SERVICES.values()]
        return [*entities().values(), *self._definitions.values(), *services]

    def write(self, view: str, frame: pd.DataFrame, as_of: datetime, created_at: datetime | None = None) -> int:
        """Keep the rows of one as-of offline, in place of any that as-of had.

        Args:
            view: its name.
            frame: the key and every feature; `event_timestamp` where rows are older than `as_of`.
            as_of: the instant (aware) whose knowledge the rows hold.
            created_at: when they were computed (aware); `as_of` where not given.

        Returns:
            How many rows.

        Raises:
            ValueError: the rows do not fit the view; see `codec.encode`.
        """
        spec = self._view(view)
        table = codec.encode(spec, frame, as_of, created_at or as_of)
        if self._is_local:
            self._files.write(spec, table, as_of)
        else:
            self._store.write_to_offline_store(view, table.to_pandas(), reorder_columns=True)
        return len(table)

    def materialize(self, as_of: datetime, progress: Progress | None = None) -> dict[str, int]:
        """Bring the latest rows at `as_of` online, without touching values that are newer there.

        Args:
            as_of: an aware instant; rows beyond their ttl by then stay out.
            progress: told after each chunk.

        Returns:
            Rows written by view.

        Raises:
            NotMaterialized: a view has no rows offline.
        """
        latest = self._latest_local if self._is_local else self._latest_remote
        if self._is_local:
            for name in self.views:
                self._files.files(name)  # a view without rows stops the job before anything is written
        return {
            name: self._bring_online(view, latest(view, codec.utc(as_of)), self._write_online, progress)
            for name, view in self.views.items()
        }

    def push(self, view: str, frame: pd.DataFrame) -> int:
        """Bring rows online at once, through the view's push source.

        Args:
            view: its name.
            frame: the key, every feature and `event_timestamp`; of several rows of a key the latest counts.

        Returns:
            How many rows were no older than what was online, and so written.

        Raises:
            ValueError: the rows do not fit the view; see `codec.encode`.
        """
        spec = self._view(view)
        refuse_unknown(f"rows of {view} lack", [EVENT_AT], map(str, frame))
        if frame.empty:
            return 0
        newest = pd.to_datetime(frame[EVENT_AT], utc=True).max().to_pydatetime()
        rows = latest_of_each_key(spec, codec.encode(spec, frame, newest, newest))
        return self._bring_online(spec, rows, self._push_online, None)

    def online(self, view: str, keys: Sequence[str], names: Sequence[str], as_of: datetime) -> pd.DataFrame:
        """The online values of these keys.

        Args:
            view: its name.
            keys: n of them, in any order, repeats allowed.
            names: features of the view, in the order wanted.
            as_of: the instant (aware) of asking; a row beyond the view's ttl by then is missing.

        Returns:
            n rows in the order of `keys`: the key, `names`, and `event_timestamp` (NaT where missing).
        """
        spec = self._view(view)
        known = {feature.name: feature for feature in spec.features}
        refuse_unknown(f"{view} has no feature", names, known)
        oldest = codec.micros(as_of - spec.ttl)
        rows = [row if row and row[EVENT_US].int64_val >= oldest else None for row in self._read(spec, keys, names)]
        events = pa.array([row[EVENT_US].int64_val if row else None for row in rows], pa.int64())
        return pd.DataFrame(
            {
                spec.key: pd.Series(list(keys), dtype=object),
                **{name: codec.values(rows, known[name]) for name in names},
                EVENT_AT: events.cast(INSTANT).to_pandas(),
            }
        )

    def feast_online(self, refs: Sequence[str], rows: Sequence[Mapping[str, str]]) -> pd.DataFrame:
        """Rows of keys with values of `view:feature` references, as Feast's own call gives them: slower than `online`.

        Feast looks at no ttl here, and gives the columns in an order of its own.
        """
        found: pd.DataFrame = self._store.get_online_features(features=list(refs), entity_rows=list(rows)).to_df()
        return found

    def historical(
        self, labels: pd.DataFrame, features: str | Sequence[str], names: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The features each label could have known at its instant: the point-in-time join.

        Args:
            labels: n rows with `event_timestamp` (UTC) and the key of each view; `requested_at` (UTC) where
                on-demand features are asked for. Other columns are carried along.
            features: a service's name, or names of views.
            names: which features, in which order; all of them where not given.

        Returns:
            The labels, in their order and with their index, then the features; NaN or None for no row.

        Raises:
            NotMaterialized: a view has no rows offline.
            ValueError: a name is unknown, or the labels lack a column or an instant.
        """
        selection = select(self.views, features, names)
        if not self._is_local:
            return self._reference(labels, selection)
        _refuse_gaps(labels, selection)
        instants = pa.array(_utc_instants(labels[EVENT_AT]), INSTANT).cast(pa.int64()).to_numpy()
        found: dict[str, Any] = {}
        for view in selection.views:
            keys = pa.array(labels[view.key], from_pandas=True).cast(pa.string())
            found |= join(view, self._files.files(view.name), keys, instants, selection.stored(view))
        if selection.on_demand:
            found |= _on_demand(found, labels[REQUESTED_AT])
        return _beside(labels, {name: found[name] for name in selection.names})

    def historical_reference(
        self, labels: pd.DataFrame, features: str | Sequence[str], names: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """What `historical` gives, computed by Feast's own join: slower, and what ours is held against."""
        return self._reference(labels, select(self.views, features, names))

    def _reference(self, labels: pd.DataFrame, selection: Selection) -> pd.DataFrame:
        _refuse_gaps(labels, selection)
        instants = [name for name in (EVENT_AT, REQUESTED_AT) if name in selection.label_columns]
        asked = labels[selection.label_columns].assign(**{name: _utc_instants(labels[name]) for name in instants})
        asked = asked.reset_index(drop=True).assign(**{_ROW: range(len(labels))})
        refs = [f"{view.name}:{name}" for view in selection.views for name in view.names]
        refs += [f"{TREND_AGE}:{spec.name}" for spec in RECENCY_FEATURES if selection.on_demand]
        with _quiet():
            table = self._store.get_historical_features(asked, refs).to_arrow().sort_by(_ROW)
        # Feast keeps no order: rows are put back by the number they carried, each of them once.
        if not np.array_equal(table[_ROW].to_numpy(), np.arange(len(labels))):
            raise FeatureError(f"feast returned {len(table)} rows for {len(labels)} labels; report this")
        specs = selection.specs
        return _beside(labels, {name: codec.decode(table[name], specs[name]) for name in selection.names})

    def _view(self, name: str) -> ViewSpec:
        refuse_unknown("there is no feature view", [name], self.views)
        return self.views[name]

    def _bring_online(
        self,
        view: ViewSpec,
        rows: pa.Table,
        write: Callable[[str, pd.DataFrame], None],
        progress: Progress | None,
    ) -> int:
        """Write the rows that are no older than what is online; one writer at a time on this machine."""
        written = 0
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows.slice(start, CHUNK_ROWS)
            with FileLock(self.home / "feast" / "online.lock"), _quiet():
                chunk = self._not_older(view, chunk)
                if len(chunk):
                    write(view.name, chunk.to_pandas())
            written += len(chunk)
            if progress:
                progress(view.name, min(start + CHUNK_ROWS, len(rows)), len(rows))
        return written

    def _not_older(self, view: ViewSpec, rows: pa.Table) -> pa.Table:
        """On SQLite Feast lets an older row overwrite a newer one, so what is there is looked at first."""
        there = self._read(view, rows[view.key].to_pylist(), ())
        held = [row[EVENT_US].int64_val if row else _NEVER for row in there]
        return rows.filter(pa.array(rows[EVENT_US].to_numpy() >= np.array(held, np.int64)))

    def _write_online(self, view: str, frame: pd.DataFrame) -> None:
        self._store.write_to_online_store(view, frame)

    def _push_online(self, view: str, frame: pd.DataFrame) -> None:
        self._store.push(push_source_name(view), frame)

    def _latest_local(self, view: ViewSpec, as_of: datetime) -> pa.Table:
        return latest_rows(view, self._files.files(view.name), as_of)

    def _latest_remote(self, view: ViewSpec, as_of: datetime) -> pa.Table:
        """As `latest_rows`, from Feast's offline store: its own materialize would pass our guard by."""
        with _quiet():
            job = self._store._get_provider().offline_store.pull_latest_from_table_or_query(
                config=self._config,
                data_source=self._batch_source(view),
                join_key_columns=[view.key],
                feature_name_columns=[*view.names, EVENT_US],
                timestamp_field=EVENT_AT,
                created_timestamp_column=CREATED_AT,
                start_date=as_of - view.ttl,
                end_date=as_of,
            )
            return job.to_arrow()

    def _read(self, view: ViewSpec, keys: Sequence[str], names: Sequence[str]) -> list[Mapping[str, Any] | None]:
        """Feast's values of each key, by feature and with `EVENT_US`; None for a key that is not there."""
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        protos = [EntityKey(join_keys=[view.key], entity_values=[Value(string_val=key)]) for key in keys]
        provider, definition = self._store._get_provider(), self._definitions[view.name]
        rows: list[Mapping[str, Any] | None] = []
        for start in range(0, len(protos), CHUNK_ROWS):
            # Feast's Redis store appends to the list of names it is given: each call gets its own.
            part = protos[start : start + CHUNK_ROWS]
            found = provider.online_read(self._config, definition, part, [*names, EVENT_US])
            rows += [values if instant else None for instant, values in found]
        return rows

    @property
    def _is_local(self) -> bool:
        return bool(self._config.offline_store.type == "duckdb")

    @cached_property
    def _config(self) -> RepoConfig:
        with _quiet():
            from feast import RepoConfig

        (self.home / "feast").mkdir(parents=True, exist_ok=True)
        tree = addresses.read(self._config_path, {**os.environ, "HARMONIC_HOME": str(self.home)})
        config = RepoConfig(**tree, repo_path=self.home)
        if config.online_store.type == "redis":
            # Feast's own comparison drops rows of the same instant too: a recomputed as-of would not arrive.
            config.online_store.skip_dedup = True
        return config

    @cached_property
    def _store(self) -> FeatureStore:
        with _quiet():
            from feast import FeatureStore

            return FeatureStore(config=self._config, repo_path=str(self.home))

    @cached_property
    def _definitions(self) -> dict[str, Any]:
        """Feast's views by name, the on-demand one among them."""
        stored = {name: feature_view(view, self._batch_source(view)) for name, view in self.views.items()}
        return {**stored, TREND_AGE: trend_age_view(stored[TREND_ACTIVITY])}

    def _batch_source(self, view: ViewSpec) -> DataSource:
        from feast import BigQuerySource, FileSource

        clocks = {"timestamp_field": EVENT_AT, "created_timestamp_column": CREATED_AT}
        if self._is_local:
            return FileSource(name=view.name, path=self._files.pattern(view.name), **clocks)
        offline = self._config.offline_store
        return BigQuerySource(name=view.name, table=f"{offline.project_id}.{offline.dataset}.{view.name}", **clocks)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that Feast and ibis raise about themselves; no caller can act on one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _let_readers_pass(path: Path) -> None:
    """With a write-ahead log a reader of the online store never waits for a writer; the file remembers it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _on_demand(found: Mapping[str, Any], requested_at: pd.Series[Any]) -> dict[str, Any]:
    sources = {name: found[name] for name in (FIRST_USED_AT, LAST_USED_AT)}
    frame = recency_of(pd.DataFrame(sources).assign(**{REQUESTED_AT: requested_at.array}))
    return {str(name): column.to_numpy() for name, column in frame.items()}


def _refuse_gaps(labels: pd.DataFrame, selection: Selection) -> None:
    refuse_unknown("labels lack", selection.label_columns, map(str, labels))
    taken = sorted(set(selection.names) & set(labels))
    if taken:
        raise ValueError(f"labels already have {', '.join(taken)}")
    if labels[EVENT_AT].isna().any():
        raise ValueError(f"a label has no {EVENT_AT}")


def _utc_instants(series: pd.Series[Any]) -> pd.Series[Any]:
    """Whole microseconds in UTC, as features have; a naive instant is UTC."""
    return pd.to_datetime(series, utc=True).astype("datetime64[us, UTC]")


def _beside(labels: pd.DataFrame, features: Mapping[str, Any]) -> pd.DataFrame:
    added = pd.DataFrame(dict(features), index=labels.index, copy=False)
    return pd.concat([labels, added], axis=1)
