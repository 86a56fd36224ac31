"""Another champion under load: no request fails, and every worker soon answers with it."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.services import Client, Load, Teller, serving, until
from tests.serving.releases import release_variant
from tests.worlds import small_settings

pytestmark = pytest.mark.e2e

WARM_UP_SECONDS = 15.0
"""Loading and checking a model beside what else runs on the machine; the bar is no failed request."""

PATIENT = {"HARMONIC_TRAFFIC__WARM_UP_MILLISECONDS": "5000"}


def swap(home: Path, times: int) -> dict[str, Any]:
    """Release one champion after another under load; what was found.

    Args:
        home: to be written to.
        times: how many are released.
    """
    settings, teller, seconds = small_settings(home), Teller(home, "swaptest"), list[float]()
    with serving(home, PATIENT) as service:
        load = Load(service.port, teller, writers=1, readers=3)
        try:
            for number in range(times):
                release_variant(settings, f"swap-{number}", 0.5 + number / (4 * times))
                released = time.monotonic()
                for client in service.clients():
                    until(lambda client=client, number=number: model(client, teller) == f"swap-{number}")  # type: ignore[misc]
                seconds.append(time.monotonic() - released)
        finally:
            load.stop()
        refused = service.log().count("refused to serve")
    return {
        "swaps": len(seconds),
        "requests": len(load.statuses),
        "failed": len(load.broken) + sum(status != 200 for status in load.statuses),
        "models_seen": len({name for _, name in load.models}),
        "refused_models": refused,
        "everywhere_after_s": {"median": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)},
    }


def model(client: Client, teller: Teller) -> str:
    status, slate = client.ask("POST", "/v1/recommendations", {"creator_id": teller.creators[0], "k": 5})
    assert status == 200, slate
    return str(slate["model"])


def test_no_request_fails_while_champions_change_and_every_worker_follows(trained_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(trained_home, tmp_path / "home")
    found = swap(home, 4)
    assert (found["failed"], found["refused_models"]) == (0, 0), found
    assert found["models_seen"] >= 4
    assert found["everywhere_after_s"]["max"] < small_settings(home).serving.refresh_seconds + WARM_UP_SECONDS
