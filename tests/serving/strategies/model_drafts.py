"""Drafts as an honest model would send them: what the deterministic writer says, cited as a model has to cite."""

from __future__ import annotations

import json
import re
from typing import Any

from serving.strategies.drafting.author import Author, Commission
from serving.strategies.planner import Planner
from serving.strategies.prompt import Draft, told_library
from serving.strategies.schemas import Evidence, RankedItem, StrategyRequest
from tests.serving.strategies.vertex_world import NOW

PLACE = re.compile(r"(summary|why_now)|plays\[(\d+)\]\.steps\[(\d+)\]|(stop|risks)\[(\d+)\]|calendar\[([\d-]+)\]")
MOST_ROUNDS = 4


class Drafts:
    """What a model would write, for the body of a request to it; made when it is first asked for."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._made: dict[StrategyRequest, dict[str, Any]] = {}

    def honest(self, body: dict[str, Any]) -> dict[str, Any]:
        """It says nothing but what is proven."""
        text = body["contents"][0]["parts"][0]["text"]
        told = json.loads(text.splitlines()[2])
        request = StrategyRequest(creator_id=told["evidence"]["creator_id"], goal=told["goal"])
        if request not in self._made:
            self._made[request] = model_draft(self._planner, request)
        return self._made[request]


def model_draft(planner: Planner, request: StrategyRequest) -> dict[str, Any]:
    """Without the sentences that only the writer itself may say; every claim in it is proven."""
    evidence = planner.evidence(request)
    told = planner.unchecked(evidence, request).model_dump(mode="json")
    draft = {name: told[name] for name in Draft.model_fields}
    author = Author(planner.unchecked, planner.check, told_library(planner.library))
    for _ in range(MOST_ROUNDS):
        proven = author.proven(Draft.model_validate(draft), Commission(evidence, request, NOW), "key")
        if proven.check.is_grounded:
            return draft
        _drop(draft, proven.check.faults, evidence)
    raise AssertionError(proven.check.faults)


def _drop(draft: dict[str, Any], faults: tuple[str, ...], evidence: Evidence) -> None:
    found = [place for place in (PLACE.match(fault) for fault in faults) if place]
    for place in sorted(found, key=lambda place: -int(place[3] or place[5] or 0)):
        text, play, step, name, number, day = place.groups()
        if text:
            draft[text] = f"Start with {_named(evidence.items[0])}."
        elif play:
            draft["plays"][int(play) - 1]["steps"][int(step) - 1] = ""
        elif name:
            draft[name][int(number) - 1] = ""
        else:
            draft["calendar"] = [told for told in draft["calendar"] if told["day"] != day]
    for play_ in draft["plays"]:
        play_["steps"] = [told for told in play_["steps"] if told]
    for name in ("stop", "risks"):
        draft[name] = [told for told in draft[name] if told]


def _named(item: RankedItem) -> str:
    return f"#{item.title} [{item.id}]" if item.kind == "hashtag" else f"“{item.title}” [{item.id}]"
