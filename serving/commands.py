"""Verbs of the command line that publish and serve: materialize, recommend, serve, consume."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import configs
from configs.console import print_json, progress, say, write_parquet
from configs.options import AsJson, AsOf
from models.workspace import Workspace

if TYPE_CHECKING:
    from models.registry import Registered
    from serving.publish import Published


def materialize(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Compute features into Feast, offline and online, and publish them to serving.

    Example: `harmonic materialize --as-of 2026-11-01`
    """
    work = Workspace()
    published = publish_visibly(work, work.instant(as_of))
    if as_json:
        print_json(vars(published))
    elif published.trends is None:
        say(f"{published.market} is published already")
    else:
        say(f"published {published.trends:,} trends as {published.market}")


def recommend(
    creator: Annotated[str, typer.Argument(help="The creator's username.")],
    k: Annotated[int, typer.Option(min=1, max=100)] = 10,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="sound or hashtag; repeatable.", show_default=False)
    ] = None,
    region: Annotated[str | None, typer.Option(help="Two-letter region.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Declared hashtag of a newcomer.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One slate, readable on a terminal.

    Example: `harmonic recommend creator_0007 --k 5 --kind sound`
    """
    from rich.console import Console

    from serving.answers import Alone, Answers
    from serving.assemble import pipeline
    from serving.schemas import RecommendationRequest, Slate
    from serving.show import show_slate

    made = pipeline(configs.current())
    request = {"creator_id": creator, "k": k, "kinds": kind or None, "region": region, "tags": tag or ()}
    answer = Answers(Alone(lambda: made)).slate(RecommendationRequest.model_validate(request))
    slate = Slate.model_validate(answer).model_dump(mode="json")
    print_json(slate) if as_json else show_slate(slate, Console())


def serve(
    host: Annotated[str | None, typer.Option(show_default=False)] = None,
    port: Annotated[int | None, typer.Option(show_default=False)] = None,
) -> None:
    """The BentoML service on what has been published.

    Example: `harmonic serve --port 3000`
    """
    from serving.process.launch import run

    settings = configs.current()
    address = (host or settings.serving.host, port or settings.serving.port)
    refuse_address(settings, *address)
    raise typer.Exit(run(*address, settings))


def consume(
    while_parent_lives: Annotated[bool, typer.Option("--while-parent-lives", hidden=True)] = False,
) -> None:
    """Apply events as they come in: to features, to what is served, to the lake. `harmonic serve` starts one itself.

    Example: `harmonic consume`
    """
    import signal
    import threading

    from serving.consume import consume as run
    from serving.process.parent import started_by

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    run(configs.current(), stop, say, started_by() if while_parent_lives else None)


def refuse_address(settings: configs.Settings, host: str, port: int) -> None:
    """Make sure that the service may listen there, and can.

    Raises:
        OpenService: everybody could reach it, and nobody would be asked for a key.
        PortTaken: something else listens there.
    """
    from serving.access.auth import refuse_open_service
    from serving.process.launch import refuse_taken_port

    refuse_open_service(settings, host)
    refuse_taken_port(host, port)


def publish_visibly(work: Workspace, as_of: datetime) -> Published:
    """Materialise and publish an instant, and the libraries with it, behind a bar."""
    from features.materialize import counts_until
    from serving.publish import materialize_and_publish
    from serving.strategies.build import build_library, has_library

    with progress("materialize") as told:
        published = materialize_and_publish(work.lake, work.features, as_of, work.settings, told)
        if published.trends is not None or not has_library(work.settings):
            told("libraries", 0.95)
            build_library(work.lake, counts_until(work.lake, as_of, work.settings), work.settings)
    return published


def write_slates(work: Workspace, chosen: Registered, at: datetime, k: int, out: Path, as_json: bool) -> None:
    """Write the slate of every creator as of an instant to a Parquet file, and tell how many there are."""
    from serving.batch import pipeline_at, score_all
    from serving.score import Model

    model = Model.of(chosen.version, chosen.ranker)
    with progress("score") as told:
        table = score_all(pipeline_at(work.lake, work.features, model, at, work.settings), k, told)
        write_parquet(table, out)
    creators = int(table["creator_id"].nunique())
    summary = {"creators": creators, "rows": len(table), "as_of": at, "model_version": model.version}
    print_json(summary) if as_json else say(f"{len(table):,} rows for {creators:,} creators → {out}")


def serve_with_example(settings: configs.Settings, once: bool) -> None:
    """Start the service, ask it for one recommendation, show it with the curl that gets it, and stay until stopped.

    Args:
        settings: of the project.
        once: stop after that recommendation.
    """
    import signal
    import subprocess

    from rich.console import Console

    from serving.process.launch import (
        ROOT,
        START_SECONDS,
        ConsumerProcess,
        command,
        environment,
        first_recommendation,
        wait_until_ready,
    )
    from serving.show import show_slate

    base = f"http://{settings.serving.host}:{settings.serving.port}"
    process = subprocess.Popen(
        command(settings.serving.host, settings.serving.port),
        env=environment(settings),
        cwd=ROOT,
        stdout=sys.stderr,  # its log is not what was asked for
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    consumer = None
    try:
        wait_until_ready(base, process, START_SECONDS)
        body, slate = first_recommendation(base, settings)
        show_slate(slate, Console())
        say(f"\ncurl -s {base}/v1/recommendations -H 'content-type: application/json' -d '{json.dumps(body)}'")
        if not once:
            consumer = ConsumerProcess(settings)
            say(f"\nserving on {base} (API: {base}/docs), stop with Ctrl-C")
            process.wait()
    except KeyboardInterrupt:
        say("stopping")
    finally:
        process.terminate()
        process.wait()
        if consumer is not None:
            consumer.stop()
