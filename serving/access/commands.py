"""Verbs of the command line about API keys: made, listed, renewed and revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

import configs
from configs.console import print_json, say
from configs.options import AsJson

if TYPE_CHECKING:
    from serving.access.key_stores import KeyStore

keys = typer.Typer(help="API keys: shown once, kept as hashes.", no_args_is_help=True, rich_markup_mode="markdown")


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    scope: Annotated[list[str], typer.Option(help="recommend, events, strategies, metrics or admin; repeatable.")],
    creator: Annotated[str | None, typer.Option(help="The only creator it may name.", show_default=False)] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Valid for so long.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a key; its token is shown now and never again.

    Example: `harmonic keys create frontend --scope recommend --scope events --days 30`
    """
    from serving.access.keys import create

    _tell_key(create(_key_store(), name, scope, creator, days, datetime.now(UTC)).told(), as_json)


@keys.command("list")
def keys_list(as_json: AsJson = False) -> None:
    """Every key, the oldest first; no token can be shown again.

    Example: `harmonic keys list --json`
    """
    from serving.access.keys import listed

    rows = listed(_key_store(), datetime.now(UTC))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        may = " ".join(row["scopes"]) + (f", only creator {row['creator_id']}" if row["creator_id"] else "")
        say(f"{row['id']}  {row['state']:<8} until {row['expires_at'][:10]}  {row['name']}: {may}")


@keys.command("rotate")
def keys_rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `harmonic keys list` shows it.")],
    grace_hours: Annotated[float, typer.Option(min=0, help="How long the old token is still taken.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Give a key a new token, shown now and never again; the expiry stays.

    Example: `harmonic keys rotate 0f3a5c7e9b1d2f4a --grace-hours 2`
    """
    from serving.access.keys import rotate

    _tell_key(rotate(_key_store(), key_id, timedelta(hours=grace_hours), datetime.now(UTC)).told(), as_json)


@keys.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], as_json: AsJson = False) -> None:
    """Make a key worthless; the service follows within seconds.

    Example: `harmonic keys revoke 0f3a5c7e9b1d2f4a`
    """
    from serving.access.keys import described, revoke

    key = revoke(_key_store(), key_id, datetime.now(UTC))
    print_json(described(key)) if as_json else say(f"{key.id} ({key.name}) is revoked")


def _key_store() -> KeyStore:
    from serving.access.key_stores import key_store

    settings = configs.current()
    return key_store(settings.auth, settings.home / "serving")


def _tell_key(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    say(f"key {told['id']} ({told['name']}): {', '.join(told['scopes'])}, valid until {told['expires_at'][:10]}")
    say(f"{told['token']}\nkeep it now: it is shown only this once")
