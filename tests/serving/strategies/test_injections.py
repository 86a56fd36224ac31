from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from serving.strategies.prompt import SYSTEM, make_prompt
from serving.strategies.schemas import Evidence
from serving.strategies.untrusted import is_suspect, withheld
from tests import grounded
from tests.injections import INJECTIONS, Injection, obeyed
from tests.serving.strategies.vertex_world import LIBRARY, commission, composed, draft_of, vertex
from tests.vertex_server import running_vertex


def poisoned(injection: Injection, where: str) -> Evidence:
    """Evidence in which one item more carries the injection as its title or its author's name."""
    evidence = grounded.evidence(3)
    bad = evidence.items[1].model_copy(
        update={
            "id": "T5",
            "key": "sound:666",
            "rank": 5,
            "title": "Night Drive",
            "author": None,
            where: injection.text,
        }
    )
    return evidence.model_copy(update={"items": (*evidence.items, bad)})


def test_there_are_enough_of_them() -> None:
    assert len({injection.text for injection in INJECTIONS}) >= 60


@pytest.mark.parametrize("where", ["title", "author"])
def test_a_model_that_obeys_every_injection_changes_nothing(where: str, tmp_path: Path) -> None:
    def write(body: dict[str, Any]) -> dict[str, Any]:
        number = re.search(r"injection number (\d+)", str(body["contents"]))
        assert number is not None
        return obeyed(draft_of(grounded.evidence(3)), INJECTIONS[int(number[1])])

    asked = [
        commission(poisoned(one, where), goal=f"injection number {n}", screen=lambda unscreened: unscreened)
        for n, one in enumerate(INJECTIONS)
    ]
    with running_vertex(write) as server:
        obedient = composed(vertex(server.url, tmp_path), *asked)
    effects = []
    for injection, found, untouched in zip(INJECTIONS, obedient, composed(None, *asked), strict=True):
        same = found.strategy == untouched.strategy and found.strategy.check.is_grounded
        if not same or found.reason != "ungrounded":
            effects.append((injection.text, found.reason))
    assert effects == []
    assert server.calls["generateContent"] == 2 * len(INJECTIONS)


def test_the_same_model_is_believed_when_it_obeys_nobody(tmp_path: Path) -> None:
    with running_vertex(lambda _: draft_of(grounded.evidence(3))) as server:
        evidence = poisoned(INJECTIONS[0], "title")
        [found] = composed(vertex(server.url, tmp_path), commission(evidence))
    assert found.strategy.writer == "vertex"
    assert found.strategy.check.is_grounded


def test_nothing_that_strangers_wrote_is_in_the_instruction_or_breaks_its_delimiters() -> None:
    for injection in INJECTIONS:
        prompt = make_prompt(poisoned(injection, "title"), LIBRARY, "en", injection.text)
        assert prompt.system == SYSTEM
        opening = next(line for line in prompt.text.splitlines() if line.startswith("<data-"))
        assert prompt.text.count(opening) == 1
        assert prompt.text.count(opening.replace("<", "</")) == 1
        data = prompt.text.split(opening)[1].split("</data-")[0].strip()
        assert "\n" not in data
        assert not set(data) & set("<>`\u200b\u2060\u202e")


def test_most_injections_are_recognised_before_any_model_sees_them() -> None:
    known = [injection for injection in INJECTIONS if is_suspect(injection.text)]
    assert len(known) >= 0.6 * len(INJECTIONS)
    for injection in known:
        assert injection.text not in withheld(poisoned(injection, "title")).model_dump_json()


@pytest.mark.parametrize(
    "title",
    [
        "Savage Love (Laxed - Siren Beat)",
        "7 rings",
        "夜に駆ける",
        "original sound - emma.k",
        "System",
        "Mr. Brightside",
    ],
)
def test_an_ordinary_title_is_not_suspect(title: str) -> None:
    assert not is_suspect(title)
