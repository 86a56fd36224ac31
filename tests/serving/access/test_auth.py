from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import configs
from serving.access.auth import ROUTES, Access, Authenticator, authorize, refuse_open_service
from serving.access.issuer import IssuerKeys
from serving.access.principals import Principal, authorize_creator
from serving.access.tokens import TokenVerifier
from serving.errors import AuthUnavailable, Forbidden, OpenService, ServingError, Unauthorized
from tests.issuers import AUDIENCE, Issuer, ec_key, published, rsa_key, running_issuer

USUAL = configs.load().auth.tokens


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


def token_settings(of: Issuer, **more: Any) -> configs.TokenSettings:
    usual = USUAL.model_dump()
    here = {"issuer": of.url, "audience": AUDIENCE, "timeout_seconds": 2, "retry_seconds": 5}
    return configs.TokenSettings(**{**usual, **here, **more})


def verifier(issuer: Issuer, **more: Any) -> TokenVerifier:
    settings = token_settings(issuer, **more)
    return TokenVerifier(settings, IssuerKeys(settings))


def check(asked: TokenVerifier, token: str, at: float | None = None) -> Principal:
    return asyncio.run(asked.principal(token, time.time() if at is None else at))


def refused(asked: TokenVerifier, token: str) -> str:
    with pytest.raises((Unauthorized, Forbidden)) as error:
        check(asked, token)
    return str(error.value)


# Tokens that hold


def test_a_token_tells_whose_it_is_and_what_it_may(issuer: Issuer) -> None:
    principal = check(verifier(issuer), issuer.token(scope="recommend events openid profile"))
    assert principal.scopes == {"recommend", "events"} and principal.creator_id == "alice"
    assert principal.caller.startswith("sub:") and "user-7" not in principal.caller


def test_scopes_may_come_as_a_list_in_scp(issuer: Issuer) -> None:
    principal = check(verifier(issuer), issuer.token(scope=None, scp=["metrics", "recommend", 7, "root"]))
    assert principal.scopes == {"metrics", "recommend"}


def test_a_key_on_an_elliptic_curve_is_as_good(issuer: Issuer) -> None:
    issuer.keys.append(published("curve", ec_key(1)))
    assert check(verifier(issuer), issuer.token(ec_key(1), "curve", "ES256")).holds("recommend")


def test_the_keys_address_may_be_given_instead_of_discovered(issuer: Issuer) -> None:
    issuer.named = "http://127.0.0.1:1"
    assert check(verifier(issuer, jwks_url=f"{issuer.url}/jwks"), issuer.token())


def test_the_claim_of_the_creator_can_be_named(issuer: Issuer) -> None:
    token = issuer.token(creator_id=None, **{"https://x/creator": "bob"})
    assert check(verifier(issuer, creator_claim="https://x/creator"), token).creator_id == "bob"


def test_a_token_is_verified_once_and_not_after_it_has_expired(issuer: Issuer) -> None:
    asked, token, now = verifier(issuer), issuer.token(exp=time.time() + 60), time.time()
    first = check(asked, token, now)
    assert check(asked, token, now + 80) is first
    assert check(asked, token, now + 95) is not first


def test_only_so_many_tokens_are_remembered(issuer: Issuer) -> None:
    asked = verifier(issuer, remembered=3)
    for number in range(6):
        check(asked, issuer.token(sub=f"user-{number}"))
    assert len(asked._verified) == 3


# Forged and misused tokens


def test_a_token_without_a_creator_is_refused_unless_it_is_an_admins_or_that_is_allowed(issuer: Issuer) -> None:
    token = issuer.token(creator_id=None)
    with pytest.raises(Forbidden, match="creator_id"):
        check(verifier(issuer), token)
    assert check(verifier(issuer, unbound=True), token).creator_id is None
    assert check(verifier(issuer), issuer.token(creator_id=None, scope="admin")).holds("events")


def segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(issuer: Issuer, header: dict[str, Any], secret: bytes | None = None) -> str:
    """A token with this header: without a signature, or with an HMAC by this secret."""
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    text = f"{segment(header)}.{segment(claims)}"
    if secret is None:
        return f"{text}."
    mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7, ["RS256"]])
def test_an_unsigned_token_is_refused(issuer: Issuer, algorithm: Any) -> None:
    assert refused(verifier(issuer), forged(issuer, {"alg": algorithm, "kid": "one", "typ": "JWT"}))


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
def test_the_public_key_is_no_secret_to_sign_with(issuer: Issuer, form: str) -> None:
    public = rsa_key(1).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    secret = {
        "pem": public.public_bytes(serialization.Encoding.PEM, spki),
        "der": public.public_bytes(serialization.Encoding.DER, spki),
        "jwk": json.dumps(issuer.keys[0]).encode(),
    }[form]
    assert "not allowed" in refused(verifier(issuer), forged(issuer, {"alg": "HS256", "kid": "one"}, secret))
    assert refused(verifier(issuer), forged(issuer, {"alg": "RS256", "kid": "one"}, secret))


def test_a_token_signed_by_somebody_else_is_refused_whatever_key_it_brings(issuer: Issuer) -> None:
    theirs = published("one", rsa_key(2))
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for more in ({}, {"jwk": theirs}, {"jku": "http://127.0.0.1:1/jwks"}, {"x5u": "http://127.0.0.1:1/c.pem"}):
        token = jwt.encode(claims, rsa_key(2), "RS256", {"kid": "one", **more})
        assert refused(verifier(issuer), token) == "the token does not hold"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"iss": None}, "does not hold"),
        ({"aud": "somebody-else"}, "another service"),
        ({"aud": None}, "does not hold"),
        ({"aud": []}, "does not hold"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": None}, "does not hold"),
        ({"exp": "soon"}, "does not hold"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
        ({"iat": 4_000_000_000}, "not valid yet"),
        ({"sub": None}, "does not hold"),
        ({"sub": ""}, "no subject"),
        ({"sub": 7}, "does not hold"),
        ({"creator_id": 7}, "no creator's id"),
        ({"creator_id": ""}, "no creator's id"),
        ({"creator_id": " alice"}, "no creator's id"),
        ({"creator_id": ["alice", "bob"]}, "no creator's id"),
        ({"creator_id": "a" * 257}, "no creator's id"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused(issuer: Issuer, claims: dict[str, Any], why: str) -> None:
    asked, usual = verifier(issuer), {k: v for k, v in claims.items() if k != "sub" or isinstance(v, str | None)}
    token = issuer.token(**usual)
    if usual != claims:  # PyJWT does not sign such a subject
        body = jwt.decode(token, options={"verify_signature": False}) | claims
        token = jwt.api_jws.encode(json.dumps(body).encode(), rsa_key(1), "RS256", {"kid": "one"})
    assert why in refused(asked, token)


def test_clocks_may_differ_by_the_leeway(issuer: Issuer) -> None:
    now = time.time()
    assert check(verifier(issuer), issuer.token(exp=now - 20))
    assert check(verifier(issuer), issuer.token(nbf=now + 20, iat=now + 20))
    assert "expired" in refused(verifier(issuer), issuer.token(exp=now - 32))


@pytest.mark.parametrize("key_id", ["../../one", "/dev/null", "' OR 1=1 --", "http://127.0.0.1:1/", "", "a" * 300])
def test_a_keys_id_is_only_ever_looked_up(issuer: Issuer, key_id: str) -> None:
    assert refused(verifier(issuer), issuer.token(key_id=key_id))


def test_a_token_has_to_name_its_key_and_its_kind(issuer: Issuer) -> None:
    asked = verifier(issuer)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for header in ({}, {"kid": 7}, {"kid": "one", "crit": ["b64"], "b64": True}, {"kid": "one", "typ": "secevent+jwt"}):
        text = f"{segment({'alg': 'RS256', **header})}.{segment(claims)}"
        signed = rsa_key(1).sign(text.encode(), *rs256())
        assert refused(asked, f"{text}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}")


def rs256() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PKCS1v15(), hashes.SHA256()


def test_a_huge_token_is_not_even_read(issuer: Issuer) -> None:
    asked = verifier(issuer)
    assert "too long" in refused(asked, issuer.token(padding="x" * 9000))
    assert issuer.asked == 0


def test_an_algorithm_of_another_key_is_refused(issuer: Issuer) -> None:
    issuer.keys.append(published("curve", ec_key(1)))
    header = {"alg": "RS256", "kid": "curve"}
    assert "not that of its key" in refused(verifier(issuer), forged(issuer, header, b"x"))


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()), st.data())
@examples(max_examples=80, deadline=None)
def test_nonsense_is_refused_and_never_an_error(text: str, data: st.DataObject) -> None:
    settings = USUAL.model_copy(update={"issuer": "http://127.0.0.1:1", "audience": "x"})
    asked = TokenVerifier(settings, IssuerKeys(settings))
    parts = data.draw(
        st.lists(st.just(text) | st.sampled_from(["e30", "", "=", segment({"alg": "RS256"})]), max_size=5)
    )
    with pytest.raises(Unauthorized):
        check(asked, ".".join(parts))


def test_deeply_nested_json_is_refused(issuer: Issuer) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")
    assert refused(verifier(issuer), f"{deep}.e30.AA") and refused(verifier(issuer), f"e30.{deep[:900]}.AA")


# The issuer's keys


def test_keys_are_fetched_once_for_many_tokens_at_once(issuer: Issuer) -> None:
    asked = verifier(issuer)

    async def ask() -> None:
        now = time.time()
        await asyncio.gather(*(asked.principal(issuer.token(sub=f"u{n}"), now) for n in range(20)))

    asyncio.run(ask())
    assert issuer.asked == 1


def test_a_rotated_key_is_followed_and_the_old_one_ends(issuer: Issuer) -> None:
    asked, now = verifier(issuer), time.time()
    old, new = issuer.token(), issuer.token(rsa_key(2), "two")
    assert check(asked, old, now)
    issuer.keys = [published("two", rsa_key(2))]
    assert check(asked, new, now + 5)
    with pytest.raises(Unauthorized):
        check(asked, old, now + 5)


def test_unknown_keys_cannot_make_the_service_hammer_the_issuer(issuer: Issuer) -> None:
    asked, now = verifier(issuer), time.time()
    check(asked, issuer.token(), now)
    for number in range(30):
        with pytest.raises(Unauthorized):
            check(asked, issuer.token(rsa_key(2), f"made-up-{number}"), now + 1 + number / 10)
    assert issuer.asked == 1
    with pytest.raises(Unauthorized):
        check(asked, issuer.token(rsa_key(2), "made-up"), now + 6)
    assert issuer.asked == 2


def test_known_keys_are_renewed_in_the_back_once_they_are_old(issuer: Issuer) -> None:
    asked, now = verifier(issuer, refresh_seconds=100), time.time()
    token = issuer.token()

    async def ask() -> None:
        await asked.principal(token, now)
        issuer.mode = "slow"
        started = time.perf_counter()
        await asked.principal(token, now + 101)
        assert time.perf_counter() - started < 0.3
        await asyncio.sleep(1.5)

    asyncio.run(ask())
    assert issuer.asked == 2


@pytest.mark.parametrize("mode", ["down", "garbage", "deep", "huge", "redirect"])
def test_while_the_issuer_talks_nonsense_known_keys_hold_and_others_are_told_to_wait(issuer: Issuer, mode: str) -> None:
    asked, now = verifier(issuer), time.time()
    known = issuer.token()
    check(asked, known, now)
    issuer.mode = mode
    with pytest.raises(AuthUnavailable) as lost:
        check(asked, issuer.token(rsa_key(2), "two"), now + 6)
    assert lost.value.status == 503 and lost.value.headers == {"Retry-After": "5"}
    assert asked.degraded and check(asked, issuer.token(sub="another"), now + 6)
    issuer.mode, issuer.keys = "good", [published("two", rsa_key(2))]
    assert check(asked, issuer.token(rsa_key(2), "two"), now + 12) and not asked.degraded


def test_a_redirect_is_not_followed(issuer: Issuer) -> None:
    issuer.mode = "redirect"
    with pytest.raises(AuthUnavailable):
        check(verifier(issuer, jwks_url=f"{issuer.url}/jwks"), issuer.token())


def test_an_issuer_that_is_not_there_is_503_and_not_401(issuer: Issuer) -> None:
    asked = verifier(issuer, jwks_url="http://127.0.0.1:1/jwks")
    with pytest.raises(AuthUnavailable):
        check(asked, issuer.token())


def test_a_slow_issuer_does_not_stop_the_event_loop(issuer: Issuer) -> None:
    issuer.mode = "slow"
    asked = verifier(issuer)

    async def ask() -> int:
        waiting, ticks = asyncio.create_task(asked.principal(issuer.token(), time.time())), 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await waiting
        return ticks

    assert asyncio.run(ask()) > 20


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "HS256"}],
        [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one"}],
        [{"kty": "RSA", "n": 5, "e": None, "kid": "one"}],
        [published("one", rsa_key(1), use="enc")],
        [published("one", rsa_key(1), alg="RS512")],
        [published("one", rsa_key(9, 1024))],
        ["one", None, 7],
    ],
)
def test_a_key_that_must_not_be_used_is_none(issuer: Issuer, keys: list[Any]) -> None:
    issuer.keys = keys
    with pytest.raises(AuthUnavailable):
        check(verifier(issuer), issuer.token())


@pytest.mark.parametrize(
    ("named", "jwks_uri"),
    [
        ("https://elsewhere.example", None),
        (None, "http://localhost:x@elsewhere.example/"),
        (None, "http://0.0.0.0:{port}/jwks"),
        (None, "file:///etc/passwd"),
    ],
)
def test_a_discovery_document_that_leads_elsewhere_is_not_followed(
    issuer: Issuer, named: str | None, jwks_uri: str | None
) -> None:
    port = issuer.url.rpartition(":")[2]
    issuer.named, issuer.jwks_uri = named, jwks_uri and jwks_uri.format(port=port)
    with pytest.raises(AuthUnavailable):
        check(verifier(issuer), issuer.token())
    assert issuer.asked == 0


def test_no_token_comes_back_in_an_error_or_a_log(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked, said = verifier(issuer), ""
    good = issuer.token()
    for token in (good, good[:-8], issuer.token(exp=1), issuer.token(creator_id=5), f"{good}x", "e30.e30.e30"):
        try:
            said += repr(check(asked, token))
        except ServingError as error:
            said += f"{error!r} {error} {error.headers}"
    issuer.mode = "down"
    said += caplog.text
    assert "user-7" not in said and "alice" not in said
    assert not any(part in said for part in good.split("."))


# Settings


def test_an_issuer_without_an_audience_is_refused(issuer: Issuer) -> None:
    with pytest.raises(ValueError, match="audience"):
        token_settings(issuer, audience=None)


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example", "ftp://issuer.example", "http://localhost.evil.example/", "http://localhost:x@a.example"],
)
def test_an_issuer_in_the_clear_is_refused(issuer: Issuer, url: str) -> None:
    with pytest.raises(ValueError, match="issuer"):
        token_settings(issuer, issuer=url)


def test_the_production_profile_asks_for_credentials_and_names_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    with pytest.raises(configs.SettingsError, match="HARMONIC_AUTH__REDIS"):
        configs.load(profile="production", home=home)
    monkeypatch.setenv("HARMONIC_AUTH__REDIS", "redis://:s3cret@127.0.0.1:6379/0")
    monkeypatch.setenv("HARMONIC_EVENTS__REDIS", "redis://:s3cret@127.0.0.1:6379/0")
    monkeypatch.setenv("HARMONIC_MLFLOW__TRACKING_URI", "postgresql://db/mlflow")
    monkeypatch.setenv("HARMONIC_MLFLOW__ARTIFACT_ROOT", "gs://bucket/mlflow")
    settings = configs.load(profile="production", home=home)
    assert settings.auth.required and settings.auth.limits.store == "redis" and settings.auth.cache_seconds == 5
    assert settings.serving.host == "0.0.0.0" and "s3cret" not in repr(settings)
    refuse_open_service(settings)


# Which route needs what


def test_every_route_has_a_scope_and_no_path_has_two_readings() -> None:
    access = Access()
    for method, path, scope in ROUTES:
        match = access.route(
            path.replace("{kind}", "sound").replace("{trend_id:path}", "a/b").replace("{", "").replace("}", "")
        )
        assert match is not None and match.scopes[method] == scope, path


@pytest.mark.parametrize(
    "path",
    (
        "", "/", "/v1", "/v1/", "/v1/rank/", "//v1/rank", "/V1/rank", "/v1/rank\n", "/metrics/x",
        "/v1/creators//metrics",
        "/v1/creators/a/b/metrics", "/v1/creators/a/metrics/", "/v1/trends/", "/v1/trends/sound", "/v1/trends/sound/",
    ),
)  # fmt: skip
def test_a_path_that_is_not_in_the_table_is_none(path: str) -> None:
    assert Access().route(path) is None


@given(st.text(min_size=1, max_size=20).filter(lambda name: "/" not in name))
@examples(max_examples=60, deadline=None)
def test_the_creator_of_a_path_is_read_as_it_stands(name: str) -> None:
    match = Access().route(f"/v1/creators/{name}/metrics")
    assert match is not None and match.creator_id == name
    mine = Principal("key:1", frozenset({"recommend"}), "alice")
    if name != "alice":
        with pytest.raises(Forbidden):
            authorize(mine, match, "recommend")


def test_a_binding_holds_even_for_an_admin() -> None:
    bound = Principal("key:1", frozenset({"admin"}), "alice")
    authorize_creator(bound, "alice")
    authorize_creator(Principal("key:2", frozenset()), "anybody")
    for other in ("bob", "Alice", "alice ", "", "alic"):
        with pytest.raises(Forbidden):
            authorize_creator(bound, other)


# Without credentials


def off(origins: tuple[str, ...] = ()) -> Authenticator:
    return Authenticator(False, None, None, origins)  # type: ignore[arg-type]  # nothing is looked up


def ask_off(client: str | None, headers: dict[bytes, bytes], origins: tuple[str, ...] = ()) -> Principal:
    return asyncio.run(off(origins).principal({b"host": b"127.0.0.1:3000", **headers}, client, 0))


@pytest.mark.parametrize("host", [b"127.0.0.1:3000", b"localhost:3000", b"LOCALHOST", b"[::1]:3000", b"127.9.9.9"])
def test_this_machine_needs_no_credential(host: bytes) -> None:
    for client in ("127.0.0.1", "::1"):
        assert ask_off(client, {b"host": host}).holds("admin")


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.0.0.7", {}),
        (None, {}),
        ("testclient", {}),
        ("10.0.0.7", {b"x-forwarded-for": b"127.0.0.1"}),
        ("127.0.0.1", {b"x-forwarded-for": b"127.0.0.1"}),
        ("127.0.0.1", {b"forwarded": b"for=127.0.0.1"}),
        ("127.0.0.1", {b"via": b"1.1 proxy"}),
        ("127.0.0.1", {b"host": b"evil.example:3000"}),
        ("127.0.0.1", {b"host": b"127.0.0.1.evil.example"}),
        ("127.0.0.1", {b"host": b""}),
        ("127.0.0.1", {b"origin": b"https://evil.example"}),
        ("127.0.0.1", {b"origin": b"null"}),
    ],
)
def test_whoever_is_not_plainly_on_this_machine_does(client: str | None, headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Forbidden):
        ask_off(client, headers)


def test_pages_of_this_machine_and_of_the_list_are_answered() -> None:
    assert ask_off("127.0.0.1", {b"origin": b"http://127.0.0.1:3000"})
    assert ask_off("127.0.0.1", {b"origin": b"http://localhost:5173"}, ("http://localhost:5173",))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.com", "", "localhost.example.com"])
def test_a_service_for_everybody_is_not_started(settings: configs.Settings, host: str) -> None:
    outside = settings.model_copy(update={"serving": settings.serving.model_copy(update={"host": host})})
    with pytest.raises(OpenService, match="harmonic keys create"):
        refuse_open_service(outside)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_a_service_for_this_machine_is(settings: configs.Settings, host: str) -> None:
    refuse_open_service(settings, host)
    with pytest.raises(OpenService):
        refuse_open_service(settings, "0.0.0.0")
