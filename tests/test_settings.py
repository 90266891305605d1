"""What an operator may write, and what he is told when it is wrong."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Group, Settings, environment_names, load_settings
from docs.generate import ENV_EXAMPLE, env_example

SECRET = "s" * 32
PRODUCTION = {
    "ENVIRONMENT": "production",
    "JWT_SECRET": SECRET,
    "ENCRYPTION_KEY": SECRET,
    "DATABASE_URL": "postgresql+asyncpg://database/hearth",
    "REDIS_URL": "redis://redis",
}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in environment_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def env_file(*lines: str) -> Path:
    file = Path(".env")
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def flat(settings: Settings) -> dict[str, object]:
    """Every value under the name that it has in the environment."""
    return {
        f"{name}_{inner}".upper() if isinstance(value, Group) else name.upper(): inner_value
        for name, value in settings
        for inner, inner_value in (value if isinstance(value, Group) else [(name, value)])
    }


def another(default: object) -> str:
    """A value that is acceptable where `default` is, as it stands in the environment."""
    if isinstance(default, bool):
        return str(not default).lower()
    return "7/minute" if re.fullmatch(r"\d+/(\d+ )?[a-z]+", str(default)) else "4000"


def test_env_example_lists_every_setting_with_its_default() -> None:
    text = ENV_EXAMPLE.read_text(encoding="utf-8")
    assert text == env_example(), "settings have changed: run `make docs`"

    lines = [line.removeprefix("# ") for line in text.splitlines()]
    assignments = [line for line in lines if line.split("=")[0] in set(environment_names())]
    assert [line.split("=")[0] for line in assignments] == list(environment_names())
    assert load_settings(env_file(*assignments, "POSTGRES_PASSWORD=for-compose")) == Settings(_env_file=None)


def test_every_setting_is_read_from_the_environment_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    different = {"HOST": "0.0.0.0", "ENVIRONMENT": "testing", "REGISTRATION": "closed", "JWT_SECRET": SECRET}
    different |= {"JWT_PREVIOUS_SECRETS": SECRET, "LOG_LEVEL": "error", "LOG_FORMAT": "json"}
    different |= {"EMBEDDING_PRECISION": "fp32", "LLM_TEMPERATURE": "0.5", "COOKIE_SECURE": "always"}
    different |= {"TRUSTED_PROXIES": "10.0.0.0/8", "FETCH_ALLOWED_NETWORKS": "10.1.0.0/16"}
    different |= {"FUNCTION_ALLOWED_NETWORKS": "10.3.0.0/16", "IMAGES_PREVIEWS": "1"}
    different |= {"WEBHOOK_ALLOWED_NETWORKS": "10.2.0.0/16", "PROJECT_STATE_MAX_DEPTH": "20"}
    different |= {"AUDIT_RETENTION": "90000", "EMBEDDING_SPARSE": "off"}
    different |= {"STORAGE_BACKEND": "s3", "STORAGE_ENDPOINT": "https://s3.example.org"}
    different |= {
        "REDIS_URL": "redis://redis.example.org",
        "ENCRYPTION_KEY": SECRET,
        "ENCRYPTION_PREVIOUS_KEYS": SECRET,
    }
    different |= {"SMTP_URL": "smtps://mail.example.org", "SMTP_FROM_ADDRESS": "hearth@example.org"}
    different |= {"PUBLIC_URL": "https://hearth.example.org", "PASSWORD_MIN_STRENGTH": "4"}
    different |= {"RATE_LIMIT_MAILS": "4/hour", "OIDC_ISSUER": "https://accounts.example.org", "OIDC_SCOPES": "openid"}
    different |= {"TASK_TYPES": "upkeep", "LOG_ACCESS_SHARE": "0.5"}
    different |= {"TRACING_ENDPOINT": "https://traces.example.org", "TRACING_SHARE": "0.5"}
    different |= {"VECTOR_STORE": "chroma", "CHROMA_URL": "http://chroma.example.org"}
    different |= {"ANSWER_ENGINE": "langchain:package.module:chain"}
    different |= {f"PRESET_{name}": '{"steps": 5}' for name in ("DRAFT", "STANDARD", "HIGH", "ULTRA")}
    defaults = flat(Settings(_env_file=None))
    for name, default in defaults.items():
        monkeypatch.setenv(name, different.get(name) or another(default))

    unchanged = [name for name, value in flat(load_settings()).items() if value == defaults[name]]

    assert unchanged == []


def test_a_misspelt_name_is_refused_with_the_nearest_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown setting DATABSE_URL; did you mean DATABASE_URL"):
        load_settings(env_file("DATABSE_URL=postgresql://elsewhere"))
    with pytest.raises(ValueError, match=r"unknown setting XYZZY$"):
        load_settings(env_file("XYZZY=1"))

    for foreign in ("LOG_DIR", "PASSWORD_STORE_DIR", "REDIS_HOST", "XYZZY"):
        monkeypatch.setenv(foreign, "set for some other program")
    assert load_settings(env_file("PORT=8001", "POSTGRES_PASSWORD=x", "COMPOSE_PROJECT_NAME=x")).port == 8001


def test_production_starts_with_secrets_only_and_says_which_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    assert load_settings().is_production

    for name in ("JWT_SECRET", "ENCRYPTION_KEY", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name)
        with pytest.raises(ValidationError, match=name):
            load_settings()
        monkeypatch.setenv(name, PRODUCTION[name])
    monkeypatch.setenv("JWT_SECRET", "short")
    with pytest.raises(ValidationError, match="JWT_SECRET: needs at least 32 bytes") as refused:
        load_settings()
    assert "DATABASE_URL" not in str(refused.value)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("JWT_PREVIOUS_SECRETS", f"{SECRET},short")
    with pytest.raises(ValidationError, match="JWT_PREVIOUS_SECRETS"):
        load_settings()
    monkeypatch.setenv("JWT_PREVIOUS_SECRETS", "")
    monkeypatch.setenv("ENCRYPTION_PREVIOUS_KEYS", "short")
    with pytest.raises(ValidationError, match="ENCRYPTION_PREVIOUS_KEYS"):
        load_settings()


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://app:very-secret@database/hearth")
    settings = load_settings()
    assert settings.jwt.secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings)
    assert "very-secret" not in repr(settings)


def test_a_provider_to_sign_in_with_needs_its_other_settings() -> None:
    given = "https://accounts.example.org"
    assert Settings(_env_file=None, oidc={"issuer": given, "client_id": "hearth"}).oidc.issuer == given
    for wrong, name in (
        ({"issuer": given}, "OIDC_CLIENT_ID"),
        ({"issuer": "accounts.example.org", "client_id": "hearth"}, "OIDC_ISSUER"),
        ({"issuer": given + "?x=1", "client_id": "hearth"}, "OIDC_ISSUER"),
        ({"issuer": given, "client_id": "hearth", "scopes": "email"}, "OIDC_SCOPES"),
    ):
        with pytest.raises(ValueError, match=name):
            Settings(_env_file=None, oidc=wrong)
    insecure = {"issuer": "http://accounts.example.org", "client_id": "hearth"}
    with pytest.raises(ValueError, match=r"OIDC_ISSUER: production needs https; OIDC_REDIRECT_URI"):
        Settings(_env_file=None, environment="production", oidc=insecure)


def test_a_bucket_needs_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_BACKEND", "s3")
    monkeypatch.setenv("STORAGE_ENDPOINT", "s3.example.org")
    with pytest.raises(ValidationError, match=r"STORAGE_BUCKET: .*STORAGE_ENDPOINT: "):
        load_settings()
    monkeypatch.setenv("STORAGE_BUCKET", "files")
    monkeypatch.setenv("STORAGE_ENDPOINT", "http://127.0.0.1:9000")
    assert load_settings().storage.bucket == "files"
