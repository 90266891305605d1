"""Passwords, tokens and secrets, where they are made."""

import asyncio
import base64
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from jose import jwt
from pydantic import SecretStr

from app.errors import InvalidCredentials, ServiceUnavailable, TokenExpired
from app.security import (
    Claims,
    Passwords,
    SecretKind,
    Tokens,
    TokenType,
    digest_of,
    is_secret,
    jwt_secret,
    make_secret,
    make_tokens,
)
from app.security.passwords import _hash_of_no_password
from app.settings import JWTSettings, PasswordSettings, Settings

CHEAP = PasswordSettings(memory_kib=64, time_cost=1)
SECRET, OTHER_SECRET = "s" * 32, "t" * 32
MINUTE = timedelta(minutes=1)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


def encode(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_a_password_is_right_or_wrong(passwords: Passwords):
    stored = await passwords.hash("pässwörd \0 with 😀")
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await passwords.verify("pässwörd \0 with 😀", stored)).is_right
    for wrong in ("pässwörd", "", "x" * 5000, "pässwörd \0 with 😀 "):
        assert not (await passwords.verify(wrong, stored)).is_right
    assert (await passwords.verify("pa\u0308sswo\u0308rd \0 with 😀", stored)).is_right  # another keyboard


async def test_a_password_over_1024_bytes_is_never_hashed(passwords: Passwords):
    longest = "é" * 512
    assert (await passwords.verify(longest, await passwords.hash(longest))).is_right
    with pytest.raises(ValueError, match="1024"):
        await passwords.hash(longest + "x")
    assert not (await passwords.verify(longest + "x", await passwords.hash(longest))).is_right


async def test_without_an_account_no_password_is_right(passwords: Passwords):
    for password in ("", "password", "x" * 5000):
        assert not (await passwords.verify(password, None)).is_right


def test_an_unknown_account_costs_as_much_as_a_known_one():
    settings = PasswordSettings(memory_kib=4096, time_cost=2)
    assert _hash_of_no_password(settings).startswith("$argon2id$v=19$m=4096,t=2,p=1$")


async def test_a_hash_made_with_other_parameters_is_replaced(passwords: Passwords):
    stored = await Passwords(PasswordSettings(memory_kib=128, time_cost=1)).hash("secret")
    verdict = await passwords.verify("secret", stored)
    assert verdict.is_right
    assert verdict.new_hash.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await passwords.verify("secret", verdict.new_hash)).new_hash is None
    assert (await passwords.verify("wrong", stored)).new_hash is None


async def test_hashing_leaves_the_event_loop_free_and_its_line_is_bounded():
    passwords = Passwords(PasswordSettings(memory_kib=8192, time_cost=1, threads=1))
    work = asyncio.gather(*(passwords.hash("secret") for _ in range(65)), return_exceptions=True)
    longest, last = 0.0, time.perf_counter()
    while not work.done() and longest < 1:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    outcomes = await work
    assert [type(outcome) for outcome in outcomes] == [str] * 64 + [ServiceUnavailable]
    assert longest < 0.1  # seconds the loop stood still; 64 hashes take a quarter of a second and more


def test_a_token_says_what_it_was_made_with():
    tokens, user_id, room_id = Tokens(SECRET), uuid4(), uuid4()
    access = Claims(TokenType.ACCESS, user_id, login_id=uuid4())
    guest = Claims(TokenType.GUEST, user_id, room_id=room_id, name="Grace")
    assert tokens.read(tokens.issue(access, MINUTE)) == access
    assert tokens.read(tokens.issue(guest, MINUTE)) == guest
    assert jwt.get_unverified_claims(tokens.issue(access, MINUTE)).keys() == {
        *("iss", "aud", "sub", "typ", "jti", "iat", "exp", "sid")
    }
    with pytest.raises(TokenExpired):
        tokens.read(tokens.issue(access, -MINUTE))


def test_a_token_that_was_good_before_still_ends():
    tokens = Tokens(SECRET)
    short = tokens.issue(Claims(TokenType.ACCESS, uuid4(), login_id=uuid4()), timedelta(seconds=2))
    claims = tokens.read(short)
    assert tokens.read(short) == claims
    time.sleep(max(0, claims.expires_at.timestamp() - time.time()))
    with pytest.raises(TokenExpired):
        tokens.read(short)


def test_after_a_rotation_old_tokens_are_accepted_and_new_ones_are_signed_with_the_new_secret():
    claims = Claims(TokenType.ACCESS, uuid4(), login_id=uuid4())
    old, rotated = Tokens(SECRET), Tokens(OTHER_SECRET, [SECRET])
    assert rotated.read(old.issue(claims, MINUTE)) == claims
    assert Tokens(OTHER_SECRET).read(rotated.issue(claims, MINUTE)) == claims
    with pytest.raises(InvalidCredentials):
        Tokens(OTHER_SECRET).read(old.issue(claims, MINUTE))


def altered_tokens() -> dict[str, str]:
    tokens = Tokens(SECRET)
    good = tokens.issue(Claims(TokenType.ACCESS, uuid4(), login_id=uuid4()), MINUTE)
    header, content, signature = good.split(".")
    claims, kid = jwt.get_unverified_claims(good), jwt.get_unverified_header(good)["kid"]

    def signed(changes: dict, headers: dict | None = None, *, key: str = SECRET, algorithm: str = "HS256") -> str:
        changed = {name: value for name, value in (claims | changes).items() if value is not ...}
        return jwt.encode(changed, key, algorithm, headers={"kid": kid} | (headers or {}))

    assert tokens.read(signed({})) == tokens.read(good)  # so that what follows is refused for what was changed
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = signature[:-1] + last[last.index(signature[-1]) ^ 1]  # the same bytes: the last character has spare bits
    assert base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(signature + "=")
    missing = {f"no {name}": signed({name: ...}) for name in ("exp", "iat", "sub", "aud", "iss", "jti", "typ", "sid")}
    return missing | {
        "empty": "",
        "words": "not a token",
        "two segments": f"{header}.{content}",
        "four segments": f"{good}.{signature}",
        "no signature": f"{header}.{content}.",
        "other bytes, same meaning": f"{header}.{content}.{twin}",
        "padded": f"{good}=",
        "a line break": f"{good}\n",
        "a space": f" {good}",
        "not ASCII": f"{good}é",
        "the other alphabet": f"{header}.{content}.+/{signature[2:]}",
        "cut": good[:-1],
        "over 4 KB": signed({"more": "x" * 4000}),
        "nested header": f"{base64.urlsafe_b64encode(b'[' * 2400).rstrip(b'=').decode()}.{content}.{signature}",
        "header is a list": f"{encode([1])}.{content}.{signature}",
        "header is a number": f"{encode(7)}.{content}.{signature}",
        "unsigned": f"{encode({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{content}.{signature}",
        "another algorithm": signed({}, algorithm="HS512"),
        "unknown key id": signed({}, {"kid": "0" * 16}),
        "key id is a list": signed({}, {"kid": ["x"]}),
        "no key id": jwt.encode(claims, SECRET, "HS256"),
        "critical extension": signed({}, {"crit": ["exp"]}),
        "another key": signed({}, key=OTHER_SECRET),
        "another issuer": signed({"iss": "elsewhere"}),
        "another audience": signed({"aud": "elsewhere"}),
        "another type": signed({"typ": "refresh"}),
        "a guest without a room": signed({"typ": "guest"}),
        "nobody": signed({"sub": "nobody"}),
        "endless": signed({"exp": 1e400}),
        "exp is a list": signed({"exp": [1]}),
        "content is a list": jwt.encode(claims, SECRET, "HS256").replace(content, encode([1])),
    }


@pytest.mark.parametrize("what", altered_tokens())
def test_an_altered_token_is_refused(what: str):
    with pytest.raises(InvalidCredentials):
        Tokens(SECRET).read(altered_tokens()[what])


def test_a_secret_tells_its_kind_and_is_stored_as_a_digest():
    for kind in SecretKind:
        secret = make_secret(kind)
        assert secret.startswith(kind)
        assert secret != make_secret(kind)
        assert is_secret(kind, secret)
        assert not any(is_secret(other, secret) for other in SecretKind if other is not kind)
        assert len(digest_of(secret)) == 32
    assert not is_secret(SecretKind.API_KEY, SecretKind.API_KEY + "x" * 500)
    assert not is_secret(SecretKind.API_KEY, SecretKind.API_KEY + "é")


def development_settings(folder: Path, **jwt_settings: object) -> Settings:
    return Settings(_env_file=None, environment="development", data_dir=folder, jwt=JWTSettings(**jwt_settings))


def made_secret(folder: Path) -> str:
    return jwt_secret(development_settings(folder))


def test_in_development_a_secret_is_made_once_also_by_several_who_start_together(tmp_path: Path):
    folder = tmp_path / "data"
    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(made_secret, [folder] * 64))
    assert found == {made_secret(folder)}
    assert [path.name for path in folder.iterdir()] == ["jwt_secret"]
    assert stat.S_IMODE((folder / "jwt_secret").stat().st_mode) == 0o600
    (folder / "jwt_secret").write_text("short")
    with pytest.raises(ValueError, match="damaged"):
        made_secret(folder)


def test_a_configured_secret_is_used_and_nothing_is_written(tmp_path: Path):
    settings = development_settings(tmp_path, secret=SecretStr(SECRET), previous_secrets=(SecretStr(OTHER_SECRET),))
    claims = Claims(TokenType.ACCESS, uuid4(), login_id=uuid4())
    assert make_tokens(settings).read(Tokens(OTHER_SECRET).issue(claims, MINUTE)) == claims
    assert Tokens(SECRET).read(make_tokens(settings).issue(claims, MINUTE)) == claims
    assert list(tmp_path.iterdir()) == []
