"""Job: a simulated world stands in while there are no metrics, and makes way when there are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from configs import Settings, SimulatorSettings
from features.ingest import IngestReport, Progress, ingest
from features.lake import Lake

MARKER: Final = "simulated"
"""This file in the state folder says that the lake holds the simulated world and nothing else."""

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""The first instant of the world."""

_STATE: Final = ("lake", "feast", "mlflow", "serving", "world", MARKER)


def write_world(size: SimulatorSettings, out: Path) -> int:
    """Simulate a world of this size and write it to a folder; returns how many observations of posts it has."""
    from features.sources.simulated_files import write
    from features.sources.simulator import WorldSpec, simulate

    world = simulate(WorldSpec(**size.model_dump(), start=START))
    write(world, out)
    return int(world.videos.num_rows)


def stand_in(
    lake: Lake, settings: Settings, now: datetime, progress: Callable[[Progress], None] | None = None
) -> IngestReport | None:
    """Fill an empty lake with the simulated world of the settings; None, and nothing done, where it holds anything.

    Args:
        lake: of the state folder `settings.home`.
        now: the current instant (UTC).
    """
    if lake.latest_at() is not None:
        return None
    write_world(settings.simulator, settings.home / "world")
    (settings.home / MARKER).write_text("the lake holds the simulated world and nothing else\n")
    return ingest([settings.home / "world"], lake, now, settings.lake.batch_rows, progress)


def make_way(home: Path) -> Path | None:
    """Move the state of a simulated world into a folder aside: real metrics must not mix with it.

    Returns:
        The folder, or None where the lake is no simulated world.
    """
    if not (home / MARKER).exists():
        return None
    aside = home / "simulated-world"
    number = 1
    while aside.exists():
        number += 1
        aside = home / f"simulated-world-{number}"
    aside.mkdir()
    for name in _STATE:
        if (home / name).exists():
            (home / name).replace(aside / name)
    return aside


def no_longer_only(home: Path) -> None:
    """Remember that something else has been added to the lake."""
    (home / MARKER).unlink(missing_ok=True)
