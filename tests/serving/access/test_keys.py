from __future__ import annotations

import asyncio
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

import configs
import harmonic as harmonic_cli
from serving.access.key_stores import ApiKey, KeyStore, RedisKeys, SqliteKeys, key_store
from serving.access.keys import KEY, KeyDirectory, NewKey, create, listed, revoke, rotate
from serving.access.principals import Principal
from serving.errors import AuthUnavailable, Unauthorized, UnknownKey
from tests.servers import RedisServer, redis_server, running_cluster, running_redis

__all__ = ["redis_server"]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = NOW.timestamp()
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    if request.param == "sqlite":
        yield SqliteKeys(tmp_path / "serving" / "keys.sqlite")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        for key in server.client().scan_iter("hb:key*"):
            server.client().delete(key)
        yield RedisKeys(server.url)


def made(store: KeyStore, creator: str | None = None, days: int = 90) -> NewKey:
    return create(store, "front", ["recommend", "events"], creator, days, NOW)


def told(new: NewKey) -> str:
    return new.token.get_secret_value()


def check(directory: KeyDirectory, token: str, at: float = AT) -> Principal:
    return asyncio.run(directory.principal(token, at))


def directory(store: KeyStore, stale_seconds: float = 0) -> KeyDirectory:
    return KeyDirectory(store, cache_seconds=5, stale_seconds=stale_seconds)


# What holds


def test_a_key_tells_whose_it_is_and_what_it_may(store: KeyStore) -> None:
    new = made(store, creator="alice")
    principal = check(directory(store), told(new))
    assert principal.caller == f"key:{new.key.id}"
    assert principal.scopes == {"recommend", "events"} and principal.creator_id == "alice"
    assert principal.holds("events") and not principal.holds("admin")


def test_an_admin_holds_every_scope(store: KeyStore) -> None:
    new = create(store, "root", ["admin"], None, 1, NOW)
    assert all(check(directory(store), told(new)).holds(s) for s in ("recommend", "metrics", "strategies"))


def test_no_two_keys_are_alike(store: KeyStore) -> None:
    tokens = {told(made(store)) for _ in range(20)}
    assert len(tokens) == 20 and all(KEY.fullmatch(token) for token in tokens)
    assert len(listed(store, NOW)) == 20


@pytest.mark.parametrize("place", [0, 5, 20, 30, -1])
def test_a_token_with_one_other_character_does_not_hold(store: KeyStore, place: int) -> None:
    token = told(made(store))
    other = list(token)
    other[place] = "b" if token[place] == "a" else "a"
    with pytest.raises(Unauthorized):
        check(directory(store), "".join(other))


def test_the_secret_of_one_key_does_not_open_another(store: KeyStore) -> None:
    one, two = made(store), made(store)
    with pytest.raises(Unauthorized):
        check(directory(store), f"hb_{one.key.id}_{told(two).split('_', 2)[2]}")


@given(st.text(max_size=90) | st.from_regex(KEY, fullmatch=True))
@examples(max_examples=60, deadline=None)
def test_whatever_was_not_made_here_does_not_hold(token: str) -> None:
    async def ask() -> None:
        with pytest.raises(Unauthorized):
            await _empty.principal(token, AT)

    asyncio.run(ask())


class _Empty:
    """A store without keys."""

    def get(self, key_id: str) -> ApiKey | None:
        return None


_empty = KeyDirectory(_Empty(), 5, 0)  # type: ignore[arg-type]


# Time


def test_a_key_expires_to_the_second(store: KeyStore) -> None:
    token, asked = told(made(store, days=2)), directory(store)
    assert check(asked, token, AT + 2 * 86400 - 1)
    with pytest.raises(Unauthorized, match="expired"):
        check(asked, token, AT + 2 * 86400)


def test_a_revoked_key_stops_within_the_time_a_worker_remembers_it(store: KeyStore) -> None:
    new, asked = made(store), directory(store)
    assert check(asked, told(new))
    revoke(store, new.key.id, NOW)
    with pytest.raises(Unauthorized):
        check(asked, told(new), AT + 5)
    with pytest.raises(Unauthorized):
        check(directory(store), told(new))


def test_revoking_twice_keeps_the_first_instant(store: KeyStore) -> None:
    key_id = made(store).key.id
    revoke(store, key_id, NOW)
    assert revoke(store, key_id, NOW + timedelta(days=1)).revoked_at == NOW
    assert [row["state"] for row in listed(store, NOW)] == ["revoked"]


def test_after_a_rotation_both_tokens_hold_until_the_grace_ends(store: KeyStore) -> None:
    old = made(store)
    new = rotate(store, old.key.id, timedelta(hours=1), NOW)
    assert check(directory(store), told(old)) == check(directory(store), told(new))
    with pytest.raises(Unauthorized):
        check(directory(store), told(old), AT + 3600)
    assert check(directory(store), told(new), AT + 3600)


def test_a_second_rotation_does_not_prolong_the_first_token(store: KeyStore) -> None:
    first = made(store)
    rotate(store, first.key.id, timedelta(hours=1), NOW)
    second = rotate(store, first.key.id, timedelta(hours=9), NOW + timedelta(minutes=30))
    with pytest.raises(Unauthorized):
        check(directory(store), told(first), AT + 3600)
    assert check(directory(store), told(second), AT + 3600)


def test_a_rotation_without_grace_ends_the_old_token_at_once(store: KeyStore) -> None:
    old = made(store)
    rotate(store, old.key.id, timedelta(0), NOW)
    with pytest.raises(Unauthorized):
        check(directory(store), told(old))


def test_a_worthless_key_is_not_rotated(store: KeyStore) -> None:
    new = made(store)
    revoke(store, new.key.id, NOW)
    with pytest.raises(UnknownKey, match="revoked"):
        rotate(store, new.key.id, timedelta(0), NOW)


def test_a_key_that_is_not_there_is_named(store: KeyStore) -> None:
    with pytest.raises(UnknownKey, match="0000000000000000"):
        revoke(store, "0" * 16, NOW)


@pytest.mark.parametrize("scopes", [[], ["everything"], ["recommend", "root"]])
def test_a_scope_that_does_not_exist_is_refused(store: KeyStore, scopes: list[str]) -> None:
    with pytest.raises(ValidationError):
        create(store, "x", scopes, None, 1, NOW)
    assert listed(store, NOW) == []


# Reading the store


class _Counting:
    """A store that counts how often it is read."""

    def __init__(self, inner: KeyStore) -> None:
        self.inner, self.reads = inner, 0

    def get(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        return self.inner.get(key_id)


def test_a_key_is_read_once_however_many_ask(store: KeyStore) -> None:
    counting = _Counting(store)
    token, asked = told(made(store)), KeyDirectory(counting, 5, 0)  # type: ignore[arg-type]

    async def ask() -> None:
        await asyncio.gather(*(asked.principal(token, AT) for _ in range(50)))

    asyncio.run(ask())
    assert counting.reads == 1
    for _ in range(3):
        with pytest.raises(Unauthorized):
            check(asked, "hb_" + "0" * 16 + "_" + "a" * 43)
    assert counting.reads == 2


def test_one_who_hangs_up_does_not_take_the_answer_from_the_others(store: KeyStore) -> None:
    token, asked = told(made(store)), directory(store)

    async def ask() -> Principal:
        first, second = (asyncio.create_task(asked.principal(token, AT)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(ask()).holds("events")


def test_keys_that_were_known_outlive_the_loss_of_redis_and_others_wait(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        store = RedisKeys(server.url)
        known, other = made(store), made(store)
        asked = directory(store, stale_seconds=60)
        assert check(asked, told(known))
    assert check(asked, told(known), AT + 6) and asked.degraded and asked.losses == 1
    assert check(asked, told(known), AT + 6.5) and asked.losses == 1
    with pytest.raises(AuthUnavailable) as lost:
        check(asked, told(other), AT + 8)
    assert lost.value.headers == {"Retry-After": "1"}
    with pytest.raises(AuthUnavailable):
        check(asked, told(known), AT + 66)
    with pytest.raises(Unauthorized):
        check(asked, told(known).replace("_", "-"), AT + 6)


def test_keys_live_in_a_cluster(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as address:
        store = RedisKeys(address)
        old, other = made(store), made(store)
        new = rotate(store, old.key.id, timedelta(0), NOW)
        revoke(store, other.key.id, NOW)
        assert check(directory(store), told(new))
        assert sorted(row["state"] for row in listed(store, NOW)) == ["revoked", "valid"]
    with pytest.raises(AuthUnavailable):
        list(RedisKeys(address).all())


def test_when_redis_is_back_the_loss_is_over(store: KeyStore) -> None:
    asked = directory(store)
    asked.degraded = True
    check(asked, told(made(store)))
    assert not asked.degraded


def test_a_file_that_is_no_database_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "keys.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(AuthUnavailable, match=r"keys\.sqlite"):
        made(SqliteKeys(tmp_path / "keys.sqlite"))


# Secrets


def test_the_store_holds_no_token(tmp_path: Path, redis_server: RedisServer) -> None:
    sqlite, remote = SqliteKeys(tmp_path / "keys.sqlite"), RedisKeys(redis_server.url)
    secrets = [told(made(store)).split("_", 2)[2] for store in (sqlite, remote)]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    client = redis_server.client()
    kept += b"".join(bytes(client.dump(key)) for key in client.scan_iter("hb:key*"))
    assert len(kept) > 200 and not any(secret.encode() in kept for secret in secrets)
    assert stat.S_IMODE((tmp_path / "keys.sqlite").stat().st_mode) == 0o600


def test_neither_a_repr_nor_an_error_nor_a_log_holds_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: configs.Settings
) -> None:
    caplog.set_level(logging.DEBUG)
    address = SecretStr("redis://user:pass-word-9@127.0.0.1:1/0")
    auth = settings.auth.model_copy(update={"keys": "redis", "redis": address})
    with pytest.raises(AuthUnavailable) as lost:
        list(key_store(auth, tmp_path).all())
    new = made(SqliteKeys(tmp_path / "keys.sqlite"), creator="alice")
    principal = Principal("key:1", frozenset({"recommend"}), "alice")
    said = f"{new!r} {new} {principal!r} {auth!r} {lost.value!r} {lost.value} {caplog.text}"
    hashed = new.key.secrets[0].sha256
    for secret in (told(new).split("_", 2)[2], "pass-word-9", hashed, "alice"):
        assert secret not in said


# The command line


def harmonic(*arguments: str) -> str:
    done = CliRunner().invoke(harmonic_cli.app, ["keys", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HARMONIC_HOME", str(home))
    configs.current.cache_clear()
    yield home
    configs.current.cache_clear()


def test_a_key_lives_from_the_command_line(at_home: Path) -> None:
    new = json.loads(harmonic("create", "front", "--scope", "recommend", "--creator", "alice", "--json"))
    store = SqliteKeys(at_home / "serving" / "keys.sqlite")
    at = datetime.now(UTC).timestamp()
    assert check(directory(store), new["token"], at).creator_id == "alice"
    rotated = json.loads(harmonic("rotate", new["id"], "--grace-hours", "0", "--json"))
    assert check(directory(store), rotated["token"], at)
    with pytest.raises(Unauthorized):
        check(directory(store), new["token"], at + 1)
    shown = harmonic("list")
    assert "front" in shown and "valid" in shown and rotated["token"] not in shown
    assert new["id"] in harmonic("revoke", new["id"])
    with pytest.raises(Unauthorized):
        check(directory(store), rotated["token"], at)
    assert json.loads(harmonic("list", "--json"))[0]["state"] == "revoked"


def test_a_token_is_shown_once_to_people_too(at_home: Path) -> None:
    shown = harmonic("create", "front", "--scope", "recommend", "--scope", "events", "--days", "2")
    assert KEY.search(shown) and "recommend, events" in shown and "only this once" in shown


def test_a_scope_that_does_not_exist_ends_in_one_line(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "harmonic.py", "keys", "create", "x", "--scope", "all"],
        cwd=ROOT, env={"HARMONIC_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("harmonic: scopes.0")
    assert done.stderr.count("\n") == 1
