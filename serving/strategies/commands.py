"""Verbs of the command line about written strategies and the two libraries behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

import configs
from configs.console import note, print_json, progress, say
from configs.options import AsJson, AsOf
from models.workspace import Workspace

library = typer.Typer(
    help="Two libraries measured on the lake: content strategies and viral artists.", no_args_is_help=True
)


class _CreatorFirst(TyperGroup):
    """`strategy CREATOR` is short for `strategy write CREATOR`, which also takes a creator of a verb's name."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the verb in where there is none."""
        verbs = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if not args or args[0] in verbs else ["write", *args])


strategy = typer.Typer(
    cls=_CreatorFirst,
    help="A written strategy in which every claim can be checked, and whether one worked. "
    "`harmonic strategy CREATOR` writes one; its options (`--locale vi`, `--goal followers`, …) are those of `write`.",
    no_args_is_help=True,
)


@strategy.command("write")
def strategy_write(
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

    Example: `harmonic strategy write creator_0007 --utc-offset -5`, or without `write`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner, strategist
    from serving.strategies.locales import code_of, shipped
    from serving.strategies.many import one_strategy
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
    settings = configs.current()
    with progress("Writing") as tell:
        writes = strategist(settings, planner(settings))
        written, evidence = one_strategy(writes, request, datetime.now(UTC), tell)
    if code_of(locale) is None:
        note(f"there is no language «{locale}»: this is in {written.locale} (there are {', '.join(shipped())})")
    if as_json:
        print_json(written.model_dump(mode="json"))
        return
    show_strategy(written, evidence, Console(), locale)
    if writes.vertex:
        asked = f"the model was not believed or not reached: {written.fallback}" if written.fallback else "by the model"
        note(f"{asked}; {written.cost.calls} calls, {written.cost.usd:.4f} USD")


@strategy.command("outcome")
def strategy_outcome(
    strategy_id: Annotated[str, typer.Argument(help="As the strategy tells it.")], as_json: AsJson = False
) -> None:
    """Whether a strategy worked: posts after it that use its items, beside the creator's own others.

    Example: `harmonic strategy outcome c7dc25eb547dcc582d7d`
    """
    import asyncio

    from rich.console import Console

    from serving.assemble import event_log
    from serving.strategies.assemble import outcomes
    from serving.strategies.following.show import show_outcome

    settings = configs.current()
    log = event_log(settings)
    try:
        kept = outcomes(settings, lambda: log)
        found = asyncio.run(kept.outcome(strategy_id, datetime.now(UTC), lambda creator_id: True))
    finally:
        log.close()
    print_json(found.model_dump(mode="json")) if as_json else show_outcome(found, Console())


def strategies(
    out: Annotated[Path, typer.Option("--out", help="File to write: .jsonl or .parquet.")],
    creators: Annotated[
        Path | None,
        typer.Option(help="A file with one username a line; everybody known where absent.", show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many only.", show_default=False)] = None,
    goal: Annotated[str | None, typer.Option(help="What they should serve.", show_default=False)] = None,
    locale: Annotated[str, typer.Option(help="Language wanted, e.g. de-DE.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Written strategies of many creators into one file; with a model and a bucket in one job of Vertex AI.

    A job that was left goes on: the same command takes it up again. Example: `harmonic strategies --out plans.parquet`
    """
    from serving.strategies.assemble import creator_names, planner, strategist
    from serving.strategies.many import strategies_of_many
    from serving.strategies.schemas import StrategyRequest

    settings = configs.current()
    names = creator_names(settings, creators)[:limit]
    requests = [StrategyRequest(creator_id=name, goal=goal, locale=locale) for name in names]
    with progress("Writing") as tell:
        writes = strategist(settings, planner(settings))
        done = strategies_of_many(writes, requests, lambda: datetime.now(UTC), out, tell)
    fallbacks = ", ".join(f"{count} {reason}" for reason, count in done["fallbacks"].items()) or "none"
    said = f"{done['vertex']:,} by the model and proven, {done['deterministic']:,} by the deterministic writer"
    print_json(done) if as_json else say(f"{out}: {said} (why: {fallbacks}); {done['usd']:.4f} USD")


@library.command("build")
def library_build(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Measure the strategies on the lake, find the viral artists, publish both; `materialize` and `up` do so, too.

    Example: `harmonic library build`
    """
    from features.materialize import counts_until
    from serving.strategies.build import build_library

    work = Workspace()
    at = work.instant(as_of) if as_of else counts_until(work.lake, work.instant(None), work.settings)
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
