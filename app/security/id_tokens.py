"""ID tokens of an OpenID provider: believed only when everything in them is right (OpenID Connect Core, 3.1.3.7).

The only importer of joserfc. Which algorithms and keys are acceptable is decided here, never by the token.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
LEEWAY: Final = 60  # seconds that clocks may differ
LONGEST_SUBJECT: Final = 255
REFUSALS: Final = (JoseError, RecursionError, ValueError, TypeError, KeyError, AttributeError, OverflowError)

PublicKey = RSAKey | ECKey | OKPKey
PublicKeys = KeySet


class UnknownKey(Exception):
    """Signed with a key that is not among those known: the provider may have new ones."""


class NotBelieved(Exception):
    """Something in the token is wrong; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token has to say. `access_token` came with it; `algorithms` are those that the provider announces."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    algorithms: Collection[str]


def import_keys(documents: Sequence[Any]) -> PublicKeys:
    """The public keys among `documents` (JWKs) that verify signatures; others are passed over."""
    return PublicKeys([key for document in documents if (key := _import_key(document)) is not None])


def read_id_token(token: str, keys: PublicKeys, expected: Expected) -> dict[str, Any]:
    """The claims of `token`; `sub` is text of 1 to 255 characters.

    Raises:
        UnknownKey: none of `keys` is the one that it names.
        NotBelieved: it is not signed by the provider, not for us, not for this sign-in, or not good any more.
    """
    algorithms = ASYMMETRIC.intersection(expected.algorithms)
    if not algorithms:  # joserfc takes an empty list for its own default, in which there is HS256
        raise NotBelieved("the provider announces no algorithm that is acceptable")
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    try:
        parsed = jwt.decode(token, keys, registry=registry)
        _require_claims(parsed, expected)
    except InvalidKeyIdError as error:
        raise UnknownKey from error
    except REFUSALS as error:
        raise NotBelieved(f"{type(error).__name__}: {error}") from error
    return parsed.claims


def _require_claims(parsed: jwt.Token, expected: Expected) -> None:
    claims = CodeIDToken(
        parsed.claims,
        parsed.header,
        options={
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
            "sub": {"essential": True},
            "nonce": {"essential": True, "value": expected.nonce},
        },
        params={"nonce": expected.nonce, "client_id": expected.client_id, "access_token": expected.access_token},
    )
    claims.validate(leeway=LEEWAY)
    subject = parsed.claims["sub"]
    if len(subject) > LONGEST_SUBJECT or not subject.isprintable():
        raise ValueError("not a subject")


def _import_key(document: Any) -> PublicKey | None:
    try:
        if document.get("use", "sig") != "sig":
            return None
        key = JWKRegistry.import_key(document)
    except REFUSALS:
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None
