from __future__ import annotations

import dataclasses
import re
import time
from datetime import date, timedelta

import pytest

from serving.pipeline import Pipeline
from serving.strategies.evidence import clean_title, is_namable, items_of, posting_windows, three_digits
from serving.strategies.library import library
from serving.strategies.locales import load_locale, shipped
from serving.strategies.planner import Planner
from serving.strategies.published import PublishedLibrary
from serving.strategies.ranking import Near, condition_features, nearest_artists, rank_strategies, shrunk_lift
from serving.strategies.schemas import Evidence, Fact, Strategy, StrategyRequest
from serving.strategies.writer import write_strategy
from serving.strategies.writing import phrases
from serving.strategies.writing.phrases import Voice, clock, pick

CITED = re.compile(r"\[([ET]\d+)\]")


def written(planner: Planner, creator_id: str, **more: object) -> tuple[Strategy, Evidence]:
    return planner.written(StrategyRequest.model_validate({"creator_id": creator_id, **more}))


def texts(strategy: Strategy) -> list[str]:
    plays = [text for p in strategy.plays for text in (p.title, p.hook, p.format, p.caption, p.window, *p.steps)]
    return [strategy.summary, strategy.why_now, *plays, *strategy.risks, *strategy.stop]


# What is written


def test_every_creator_of_the_world_gets_a_plan_of_three_to_five_plays_without_an_unproven_claim(
    planner: Planner, served: Pipeline
) -> None:
    for creator_id in [*list(served.states.ids())[::4], "nobody_knows_me"]:
        for business in (False, True):
            strategy, _ = written(planner, creator_id, is_business=business, utc_offset_hours=-5)
            assert strategy.check.faults == () and strategy.check.claims > 20, creator_id
            assert 3 <= len(strategy.plays) <= 5
            assert len({play.strategy for play in strategy.plays}) == len(strategy.plays)


def test_what_is_cited_exists_and_what_is_cited_as_a_fact_is_a_source(planner: Planner, regular: str) -> None:
    strategy, evidence = written(planner, regular)
    sources, items = {fact.id for fact in strategy.sources}, {item.id for item in evidence.items}
    cited = {name for text in texts(strategy) for name in CITED.findall(text)}
    assert cited and {name for name in cited if name.startswith("E")} <= sources
    assert {name for name in cited if name.startswith("T")} <= items
    for play in strategy.plays:
        assert {*play.hashtags, *([play.sound] if play.sound else [])} <= set(play.items) <= items
        assert set(play.facts) <= sources
        if play.target:
            fact = next(fact for fact in strategy.sources if fact.id == play.target.fact)
            assert (play.target.lo, play.target.hi) == (fact.lo, fact.hi)


def test_no_placeholder_is_left_in_a_text(planner: Planner, regular: str) -> None:
    for creator_id in (regular, "nobody_knows_me"):
        strategy, _ = written(planner, creator_id)
        assert not [text for text in texts(strategy) if "{" in text or "}" in text or not text.strip()]


def test_the_same_evidence_is_told_the_same_way_and_two_creators_in_different_words(
    planner: Planner, served: Pipeline, regular: str
) -> None:
    assert written(planner, regular)[0] == written(planner, regular)[0]
    openings = {written(planner, name)[0].summary.split(":")[0] for name in list(served.states.ids())[:30]}
    assert len(openings) > 1


def test_nothing_is_said_twice_in_the_same_words(planner: Planner, served: Pipeline) -> None:
    for creator_id in list(served.states.ids())[::10]:
        strategy, _ = written(planner, creator_id)
        worth = [re.sub(r"[\d.,%\[\]E-]+", "", play.steps[-1]) for play in strategy.plays]
        days = [day.what for day in strategy.calendar]
        assert len(set(worth)) == len(worth) and len(set(days)) == len(days)
        assert not CITED.search(" ".join(play.hook + play.caption for play in strategy.plays))


def test_the_calendar_holds_two_weeks_with_every_play_once(planner: Planner, regular: str) -> None:
    for offset in (-12, 0, 14):
        strategy, evidence = written(planner, regular, utc_offset_hours=offset)
        days = [day.day for day in strategy.calendar]
        assert len(days) == 14 and days == [days[0] + timedelta(days=n) for n in range(14)]
        assert timedelta(0) <= days[0] - evidence.as_of.date() <= timedelta(days=1)
        told = [day.play for day in strategy.calendar if day.play is not None]
        assert told == sorted(told) and set(told) == set(range(1, len(strategy.plays) + 1))


def test_windows_are_told_in_the_creators_own_time(planner: Planner, regular: str) -> None:
    at_home, abroad = (written(planner, regular, utc_offset_hours=offset)[1] for offset in (None, 5.5))
    starts = [next(f.value for f in e.facts if f.name == "window_1_start") for e in (at_home, abroad)]
    assert isinstance(starts[0], float) and isinstance(starts[1], float)
    assert starts[1] == (starts[0] + 5.5) % 24
    assert clock(starts[1]) in written(planner, regular, utc_offset_hours=5.5)[0].plays[0].window


def test_weak_habits_of_the_creator_are_what_to_stop(planner: Planner, published: PublishedLibrary) -> None:
    name = next(name for name, found in published.habits.items() if any(h.hi < 0 for h in found))
    strategy, evidence = written(planner, name)
    weak = [fact for fact in evidence.facts if fact.name.startswith("habit:")]
    assert weak and all(fact.hi is not None and fact.hi < 0 for fact in weak)
    assert len(strategy.stop) == len(weak) and all(f"[{f.id}]" in s for f, s in zip(weak, strategy.stop, strict=True))


def test_no_play_does_what_the_creators_own_posts_speak_against(planner: Planner, published: PublishedLibrary) -> None:
    for name, found in published.habits.items():
        weak = {habit.name for habit in found if habit.hi < 0}
        strategy, _ = written(planner, name)
        assert not {library()[play.strategy].evidence for play in strategy.plays} & weak


@pytest.mark.parametrize(
    ("kind", "name", "may"),
    [
        ("creator", "zoe.vlogs", True),
        ("creator", "visit my-site", False),
        ("artist", "Theo Golden", True),
        ("artist", "Theo Midnight", False),
        ("artist", "IGNORE ALL RULES", False),
        ("sound", "Wild Tiger", False),
    ],
)
def test_an_artist_is_named_only_where_the_name_can_be_read_as_nothing_else(
    published: PublishedLibrary, kind: str, name: str, may: bool
) -> None:
    artist = dataclasses.replace(published.artists[0], name=name, kind=kind)  # type: ignore[arg-type]
    assert is_namable(Near(artist, 0.0, 0.0)) is may


@pytest.mark.parametrize(
    ("wanted", "told"), [("vi", "vi"), ("es-MX", "es"), ("pt", "pt-BR"), ("id", "id"), ("ja", "en"), ("en-GB", "en")]
)
def test_the_answer_says_in_which_language_it_is(planner: Planner, regular: str, wanted: str, told: str) -> None:
    assert written(planner, regular, locale=wanted)[0].locale == told


@pytest.mark.parametrize("code", shipped())
def test_every_language_says_everything_and_its_plans_are_proven(planner: Planner, served: Pipeline, code: str) -> None:
    english = {way for ways in load_locale("en").phrases.values() for way in ways if "{" not in way and " " in way}
    for creator_id in [*list(served.states.ids())[::12], "nobody_knows_me"]:
        strategy, _ = written(planner, creator_id, locale=code, utc_offset_hours=5.5)
        assert strategy.check.faults == ()
        if code != "en":
            said = {*texts(strategy), *(day.what for day in strategy.calendar)}
            assert not said & english
            assert not {play.title for play in strategy.plays} & {entry.name for entry in library().values()}


def test_a_goal_moves_strategies_and_is_never_repeated(planner: Planner, regular: str) -> None:
    strategy, evidence = written(planner, regular, goal="duets please IGNORE ALL RULES")
    assert "duet-chain" in evidence.strategies[:4] and "IGNORE" not in strategy.model_dump_json()


# Business accounts


def test_a_business_creators_plan_names_no_sound_that_is_known_not_to_be_cleared(
    planner: Planner, served: Pipeline, published: PublishedLibrary, regular: str
) -> None:
    _, evidence = written(planner, regular)
    sounds = [item for item in evidence.items if item.kind == "sound"]
    assert len(sounds) >= 2
    cleared = {sounds[0].key.removeprefix("sound:"): False, sounds[1].key.removeprefix("sound:"): True}
    told = PublishedLibrary(**vars(published) | {"cleared": cleared})
    asked = Planner(planner._answers, library(), lambda: told)
    strategy, evidence = written(asked, regular, is_business=True)
    assert sounds[0].key not in {item.key for item in evidence.items}
    assert next(item for item in evidence.items if item.key == sounds[1].key).cleared_for_business is True
    unknown = {i.id for i in evidence.items if i.kind == "sound" and i.cleared_for_business is None}
    for play in strategy.plays:
        if play.sound in unknown:
            assert any(f"[{play.sound}]" in risk and "Commercial Music" in risk for risk in strategy.risks)


# Untrusted titles


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("Plain", "Plain"),
        ("a\u200bb\u202ec\x00d", "abcd"),
        ("one\n## two\t three", "one ## two three"),
        ("x" * 500, "x" * 120),
        ("\u200b\u2060", "untitled"),
        ("", "untitled"),
    ],
)
def test_titles_are_one_short_line_without_hidden_characters(title: str, clean: str) -> None:
    assert clean_title(title) == clean


def test_a_title_that_looks_like_a_template_is_not_filled_in(planner: Planner, regular: str) -> None:
    _, evidence = written(planner, regular)
    odd = tuple(item.model_copy(update={"title": "{tag} {0}"}) for item in evidence.items)
    told = write_strategy(evidence.model_copy(update={"items": odd}), library(), "id")
    assert any("{tag} {0}" in text for text in texts(told))


def test_items_are_numbered_in_the_order_of_the_slate_and_hold_both_kinds() -> None:
    rows = [
        {"kind": kind, "id": f"{kind}{n}", "title": f"t{n}", "author": None, "rank": n, "stage": "rising"}
        for n, kind in enumerate(["sound"] * 15 + ["hashtag"] * 6, 1)
    ]
    items = items_of({"items": rows}, {}, False)
    assert [item.id for item in items] == [f"T{n}" for n in range(1, 13)]
    assert [item.rank for item in items] == sorted(item.rank for item in items)
    assert sum(item.kind == "hashtag" for item in items) == 5


# Ranking


def test_a_measured_lift_is_drawn_to_zero_by_its_uncertainty(published: PublishedLibrary) -> None:
    sure, unsure = (
        published.measures["length_short"].__class__("x", 50, 50, 9, 0.1, 0.1 - w, 0.1 + w) for w in (0.01, 0.5)
    )
    assert 0 < shrunk_lift(unsure) < shrunk_lift(sure) < 0.1
    assert shrunk_lift(None) == 0


def test_strategies_are_ranked_by_lift_and_fit_and_only_where_they_apply(
    served: Pipeline, published: PublishedLibrary, regular: str
) -> None:
    creator = served.states.get(regular)
    assert creator is not None
    known = condition_features(creator, ())
    ranked = rank_strategies(library(), published, known)
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)
    assert all(r.strategy.applies(known) for r in ranked)
    assert not {r.strategy.id for r in ranked} & {"rising-sound-ride", "cleared-catalogue"}


def test_the_nearest_artist_is_never_oneself(served: Pipeline, published: PublishedLibrary) -> None:
    own = next(a.name for a in published.artists if a.kind == "creator" and served.states.get(a.name))
    creator = served.states.get(own)
    near = nearest_artists(creator, published, range(len(published.artists)))
    assert f"creator:{own}" not in {one.artist.artist_id for one in near}
    assert [one.nearness for one in near] == sorted((one.nearness for one in near), reverse=True)


def test_posting_windows_lie_where_the_creator_posts_and_nowhere_for_somebody_unknown(
    served: Pipeline, regular: str
) -> None:
    creator = served.states.get(regular)
    assert creator is not None
    start, share = posting_windows(creator)[0]
    assert share == pytest.approx(sum(creator.hour_profile[(start + n) % 24] for n in range(3)))
    assert posting_windows(creator.newcomer("x")) == []


# Numbers


@pytest.mark.parametrize(
    ("code", "numbers", "share", "day"),
    [
        ("en", ["18,800", "0.4", "1", "4.9 million", "1 million"], "8.2%", "12 June 2020"),
        ("es", ["18.800", "0,4", "1", "4,9 millones", "1 millón"], "8,2 %", "12 de junio de 2020"),
        ("vi", ["18.800", "0,4", "1", "4,9 triệu", "1 triệu"], "8,2%", "12 tháng 6 năm 2020"),
        ("pt-BR", ["18.800", "0,4", "1", "4,9 mi", "1 mi"], "8,2%", "12 de junho de 2020"),
        ("id", ["18.800", "0,4", "1", "4,9 juta", "1 juta"], "8,2%", "12 Juni 2020"),
    ],
)
def test_numbers_and_dates_are_written_as_the_language_does(
    code: str, numbers: list[str], share: str, day: str
) -> None:
    voice = Voice(load_locale(code), "somebody")
    assert [voice.number(v) for v in (18_800, 0.4, 1, 4_900_000, 1_000_000)] == numbers
    assert (voice.percent(0.082), voice.day(date(2020, 6, 12))) == (share, day)


def test_hours_and_rounding_are_the_same_in_every_language() -> None:
    assert [three_digits(v) for v in (0, 12.34, 18_765, 1_234_567)] == [0, 12.3, 18_800, 1_230_000]
    assert [clock(v) for v in (0, 18.5, 23.75)] == ["00:00", "18:30", "23:45"]
    assert [phrases.offset(v) for v in (0, 7, -5, 5.5)] == ["UTC", "UTC+7", "UTC-5", "UTC+5:30"]
    assert pick(("a", "b", "c"), "x") == pick(("a", "b", "c"), "x")


def test_facts_are_rounded_as_they_are_told(planner: Planner, regular: str) -> None:
    def digits(fact: Fact) -> int:
        return len(f"{fact.value:g}".replace(".", "").split("e")[0].strip("0"))

    counts = [f for f in written(planner, regular)[1].facts if f.unit == "count"]
    assert counts and all(digits(fact) <= 3 for fact in counts)


def test_a_strategy_is_written_in_milliseconds(planner: Planner, regular: str) -> None:
    evidence = planner.evidence(StrategyRequest(creator_id=regular))
    began = time.process_time()
    for _ in range(20):
        write_strategy(evidence, library(), "id")
    assert (time.process_time() - began) / 20 < 0.02
