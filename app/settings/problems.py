"""What makes no sense in the settings, or is missing where this process is to run; in words for whoever wrote them."""

import re
from collections.abc import Iterator
from email.utils import parseaddr
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.settings.answers import BUILTIN

if TYPE_CHECKING:
    from app.settings import Settings

MIN_SECRET_BYTES = 32
_ENGINE = re.compile(r"langchain:\w+(\.\w+)*:[^\W\d]\w*(\.\w+)*\Z")


def problems_of(settings: "Settings") -> Iterator[str]:
    """Each begins with the name of the setting that it is about."""
    for name in _weak_secrets(settings):
        yield f"{name}: needs at least {MIN_SECRET_BYTES} bytes (try `openssl rand -base64 48`)"
    if settings.is_production and not settings.database.url.get_secret_value():
        yield "DATABASE_URL: production needs a PostgreSQL of its own"
    if settings.is_production and not settings.redis.url.get_secret_value():
        yield "REDIS_URL: production needs a Redis of its own"
    if settings.redis.cluster and not settings.redis.url.get_secret_value().startswith(("redis://", "rediss://")):
        yield "REDIS_CLUSTER: needs a REDIS_URL such as redis://a-server-of-the-cluster:6379"
    if settings.require_verified_email and not settings.sends_mail:
        yield "REQUIRE_VERIFIED_EMAIL: needs SMTP_URL"
    if settings.answer.engine != BUILTIN and not _ENGINE.match(settings.answer.engine):
        yield "ANSWER_ENGINE: needs to be `builtin`, or like langchain:package.module:chain"
    yield from _mail_problems(settings)
    yield from _provider_problems(settings)
    yield from _storage_problems(settings)
    if settings.vector.store == "chroma" and urlsplit(settings.chroma.url).scheme not in {"http", "https"}:
        yield "CHROMA_URL: VECTOR_STORE=chroma needs a URL such as http://127.0.0.1:8001"


def _provider_problems(settings: "Settings") -> Iterator[str]:
    issuer = urlsplit(settings.oidc.issuer)
    if not settings.oidc.issuer:
        return
    if issuer.scheme not in {"http", "https"} or not issuer.netloc or issuer.query or issuer.fragment:
        yield "OIDC_ISSUER: needs to be a URL such as https://accounts.example.org"
    if settings.is_production and issuer.scheme != "https":
        yield "OIDC_ISSUER: production needs https"
    if settings.is_production and not settings.oidc.redirect_uri:
        yield "OIDC_REDIRECT_URI: production does not believe the host that a request names"
    if not settings.oidc.client_id:
        yield "OIDC_CLIENT_ID: the provider gave you one"
    if "openid" not in settings.oidc.scopes.split():
        yield "OIDC_SCOPES: needs openid among them"


def _storage_problems(settings: "Settings") -> Iterator[str]:
    if settings.storage.backend == "s3" and not settings.storage.bucket:
        yield "STORAGE_BUCKET: needs the name of a bucket that exists"
    if settings.storage.endpoint and urlsplit(settings.storage.endpoint).scheme not in {"http", "https"}:
        yield "STORAGE_ENDPOINT: needs to be a URL such as https://s3.example.org"


def _mail_problems(settings: "Settings") -> Iterator[str]:
    server = urlsplit(settings.smtp.url.get_secret_value())
    if server.geturl() and server.scheme != "file" and not (server.scheme in {"smtp", "smtps"} and server.hostname):
        yield "SMTP_URL: needs to be like smtp://user:password@host:587, smtps://host:465 or file:"
    if settings.smtp.from_address and "@" not in parseaddr(settings.smtp.from_address)[1]:
        yield "SMTP_FROM_ADDRESS: needs to be like Hearth <hearth@example.org>"
    if settings.public_url and not urlsplit(settings.public_url).hostname:
        yield "PUBLIC_URL: needs to be a URL such as https://hearth.example.org"


def _weak_secrets(settings: "Settings") -> Iterator[str]:
    """Names of settings that are too short, or missing where they must be given."""
    for name, newest, previous in (
        ("JWT_SECRET", settings.jwt.secret, settings.jwt.previous_secrets),
        ("ENCRYPTION_KEY", settings.encryption.key, settings.encryption.previous_keys),
    ):
        if (newest.get_secret_value() or settings.is_production) and _is_short(newest):
            yield name
        if any(_is_short(each) for each in previous):
            yield name.replace("_", "_PREVIOUS_") + "S"


def _is_short(secret: SecretStr) -> bool:
    return len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES
