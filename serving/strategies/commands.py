"""Verbs of the command line about written strategies and the two libraries behind them."""

from __future__ import annotations

from typing import Annotated

import typer

import configs
from configs.console import print_json, say
from configs.options import AsJson, AsOf
from models.workspace import Workspace

library = typer.Typer(
    help="Two libraries measured on the lake: content strategies and viral artists.", no_args_is_help=True
)


def strategy(
    creator: Annotated[str, typer.Argument(help="The creator's username.")],
    goal: Annotated[
        str | None, typer.Option(help="What it should serve, e.g. 'followers'.", show_default=False)
    ] = None,
    locale: Annotated[str, typer.Option(help="Language wanted, e.g. de-DE; the plan says which it is in.")] = "en",
    region: Annotated[str | None, typer.Option(help="Two-letter region.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Declared hashtag of a newcomer.", show_default=False)
    ] = None,
    utc_offset: Annotated[
        float | None, typer.Option(help="Hours the creator's clock is ahead of UTC.", show_default=False)
    ] = None,
    business: Annotated[bool, typer.Option("--business", help="A business account: cleared sounds only.")] = False,
    as_json: AsJson = False,
) -> None:
    """A written strategy in which every number and every trend can be checked.

    Example: `harmonic strategy creator_0007 --utc-offset -5`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner
    from serving.strategies.schemas import StrategyRequest
    from serving.strategies.show import show_strategy

    request = StrategyRequest(
        creator_id=creator,
        goal=goal,
        locale=locale,
        region=region,
        tags=tuple(tag or ()),
        utc_offset_hours=utc_offset,
        is_business=business,
    )
    written, evidence = planner(configs.current()).written(request)
    print_json(written.model_dump(mode="json")) if as_json else show_strategy(written, evidence, Console())


@library.command("build")
def library_build(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Measure the strategies on the lake, find the viral artists, publish both; `materialize` and `up` do so, too.

    Example: `harmonic library build`
    """
    from serving.strategies.build import build_library, known_until

    work = Workspace()
    at = work.instant(as_of) if as_of else known_until(work.lake, work.instant(None))
    built = build_library(work.lake, at, work.settings)
    measured = sum(measure.lift is not None for measure in built.measures.values())
    summary = {"as_of": at, "queries": len(built.measures), "measured": measured, "artists": len(built.artists)}
    said = f"{measured} measured ways of posting, {len(built.artists)} viral artists"
    print_json(summary) if as_json else say(said)


@library.command("strategies")
def library_strategies(
    creator: Annotated[
        str | None, typer.Option(help="Only what applies to them, best first.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Content strategies, each with its measured lift, sample and interval.

    Example: `harmonic library strategies --creator creator_0007`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner
    from serving.strategies.show import show_strategies

    answer = planner(configs.current()).strategies(creator)
    print_json(answer) if as_json else show_strategies(answer, Console())


@library.command("artists")
def library_artists(
    creator: Annotated[str | None, typer.Option(help="Nearest to them first.", show_default=False)] = None,
    region: Annotated[str | None, typer.Option(help="Two-letter region.", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option(help="Hashtag of theirs.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """Artists and creators who burst, when, and what they did in the two weeks before.

    Example: `harmonic library artists --creator creator_0007 --limit 5`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner
    from serving.strategies.show import show_artists

    answer = planner(configs.current()).artists(creator, region, tag.lstrip("#").lower() if tag else None, limit)
    print_json(answer) if as_json else show_artists(answer, Console())
