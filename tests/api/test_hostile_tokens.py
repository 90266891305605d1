"""Tokens that look right and are not: none is accepted, and none is a server error."""

import base64
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from app.errors import InvalidCredentials, TokenExpired
from app.resources import Resources
from app.security import Tokens, jwt_secret
from tests.factories import User


def vectors(folder: Path) -> Iterator[str]:
    """Every token of Wycheproof, valid ones, too: none of them is ours."""
    for path in sorted(folder.glob("json_web_*_test.json")):
        for group in json.loads(path.read_text())["testGroups"]:
            for test in group["tests"]:
                token = test.get("jws") or test.get("jwe")
                yield token if isinstance(token, str) else json.dumps(token)  # the second is the JSON serialisation


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, content: object, key: bytes, digest: str = "sha256") -> str:
    text = f"{encoded(header)}.{encoded(content)}"
    return f"{text}.{encoded(hmac.new(key, text.encode(), digest).digest())}"


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, content, signature = token.split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, content)]
    return decoded[0], decoded[1], signature


def confusions(token: str, key: bytes) -> Iterator[str]:
    """Made from a good token, and signed with the right key wherever a signature may be."""
    header, content, signature = parts_of(token)
    first, second, _ = token.split(".")
    for alg in ("none", "None", "nOnE", "HS384", "HS512", "RS256", "ES256", "PS256", "", None, ["HS256"]):
        yield signed(header | {"alg": alg}, content, key)
        yield f"{encoded(header | {'alg': alg})}.{second}."
    for kid in (
        "../../../../dev/null",
        "' UNION SELECT 'x' --",
        "http://127.0.0.1:9/key",
        "",
        None,
        0,
        [header["kid"]],
    ):
        yield signed(header | {"kid": kid}, content, key)
        yield signed(header | {"kid": kid}, content, b"")
    key_of_mine = {"kty": "oct", "k": encoded(b"mine"), "alg": "HS256"}
    for extra in (
        {"jku": "http://127.0.0.1:9/jwks"},
        {"jwk": key_of_mine},
        {"x5u": "http://127.0.0.1:9/x"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"b64": False},
        {"cty": "JWT"},
        {"typ": "at+jwt"},
        {"zip": "DEF"},
    ):
        yield signed(header | extra, content, b"mine")
        yield signed(header | extra, content, key)
    for name in ("exp", "iat", "sub", "aud", "iss", "jti", "typ"):
        yield signed(header, {claim: value for claim, value in content.items() if claim != name}, key)
    for exp in ("4102444800", "never", None, [], {}, -1, 0, 10**400, "1e400", True):
        yield signed(header, content | {"exp": exp}, key)
    for wrong in (
        {"aud": ["someone", "else"]},
        {"aud": ""},
        {"iss": "other"},
        {"sub": "admin"},
        {"sub": 1},
        {"typ": "admin"},
    ):
        yield signed(header, content | wrong, key)
    nested = b"[" * 100_000
    yield f"{encoded(nested)}.{second}.{signature}"
    yield f"{first}.{encoded(nested)}.{signature}"
    yield signed(header, content | {"name": "x" * 100_000}, key)
    yield json.dumps({"protected": first, "payload": second, "signature": signature})
    yield json.dumps({"payload": second, "signatures": [{"protected": first, "signature": signature}]})
    yield f"{first}..{signature}"
    yield from (f"{token}=", f"{token}==", f" {token}.", f"{token}.", f".{token}", token.replace(".", ".."), token[:-1])
    yield f"{first}.{second}.{encoded(b'')}"
    yield f"{first}.{second}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}"  # the same bytes, spelt otherwise
    yield f"{first}\n.{second}.{signature}"


async def require_refusals(client: AsyncClient, tokens: Tokens, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises((InvalidCredentials, TokenExpired)):
            print("accepted:", text[:300], tokens.read(text))  # noqa: T201 - seen when it fails
        headers = {"Authorization": b"Bearer " + text.encode()}
        response = await client.get("/api/v1/users/me", headers=headers)
        assert response.status_code == 401, (text[:200], response.text)
        assert response.json()["error"]["code"] in {"INVALID_CREDENTIALS", "TOKEN_EXPIRED"}


async def test_no_token_of_wycheproof_is_ours(client: AsyncClient, shared_data: Path):
    texts = list(vectors(shared_data / "wycheproof"))
    assert len(texts) > 500
    await require_refusals(client, Tokens("a secret of more than thirty-two bytes"), texts)


async def test_a_token_of_ours_is_good_in_its_one_form_alone(client: AsyncClient, resources: Resources, owner: User):
    secret = jwt_secret(resources.settings)
    good = owner.access_token
    assert (await client.get("/api/v1/users/me", headers=owner.headers)).status_code == 200
    assert signed(*parts_of(good)[:2], secret.encode()).count(".") == 2
    await require_refusals(client, Tokens(secret), list(confusions(good, secret.encode())))
