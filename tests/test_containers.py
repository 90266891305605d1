"""The image, its entry point and the compose file keep what docs/deployment.md promises of them."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.server import GRACE
from app.settings import Settings, environment_names
from docs.generate import OPENAPI
from tests.processes import environment_of, free_port

REPOSITORY = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ENTRY_POINT = [sys.executable, str(REPOSITORY / "docker-entrypoint.py")]
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+[\w.-]*")
OF_PYTHON = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
MEBIBYTE = 1_048_576


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Name and arguments of each instruction of a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, arguments = line.strip().partition(" ")
            yield name, arguments


DOCKERFILE = list(instructions((REPOSITORY / "Dockerfile").read_text()))
LAST_STAGE = DOCKERFILE[max(place for place, (name, _) in enumerate(DOCKERFILE) if name == "FROM") :]


def arguments_of(name: str) -> list[str]:
    return [arguments for each, arguments in LAST_STAGE if each == name]


def wait_for_handler(parent: int) -> int:
    """The only child of `parent`, once it has asked for SIGTERM."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ValueError, IndexError):
            child = int(children.read_text())
            caught = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)[0]
            if int(caught, 16) & 1 << (signal.SIGTERM - 1):
                return child
        time.sleep(0.05)
    raise AssertionError("it never asked for signals")


def routes() -> set[str]:
    return set(json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"])


def test_the_image_is_built_in_stages_from_pinned_parts():
    bases = [arguments.split()[0] for name, arguments in DOCKERFILE if name == "FROM"]
    version = next(arguments for name, arguments in DOCKERFILE if name == "ARG")
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:\$\{PYTHON\}-slim-[a-z]+", base) for base in bases)
    assert re.fullmatch(r"PYTHON=3\.1[123]\.\d+", version)

    installs = [arguments for name, arguments in DOCKERFILE if name == "RUN" and "pip install" in arguments]
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert all("--no-deps" in install for install in installs)
    lock = (REPOSITORY / "requirements.lock").read_text()
    packages = re.findall(r"^[a-z0-9].*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert len(packages) > 100
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []


def test_the_image_runs_as_nobody_in_particular_and_asks_a_real_route_for_its_health():
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments_of("USER")[-1])
    assert not any("chown" in copied for copied in arguments_of("COPY")), "what it runs must not be its own to change"
    assert arguments_of("VOLUME") == ["/data"]
    for name in ("ENTRYPOINT", "CMD"):
        assert json.loads(arguments_of(name)[0]), "a shell before the program would keep signals to itself"
    path = re.search(r"127\.0\.0\.1:\{[^}]*\}(/[\w/]+)", arguments_of("HEALTHCHECK")[0])
    assert path is not None
    assert path[1] in routes()


def test_no_secret_can_get_into_a_layer():
    ignored = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert ignored[0] == "*"
    assert not any(name.startswith(".") for name in allowed)

    copied = [arguments.split()[:-1] for name, arguments in DOCKERFILE if name == "COPY"]
    assert {source for sources in copied if "--from" not in sources[0] for source in sources} == allowed
    set_here = {name for _, line in DOCKERFILE if _ in ("ENV", "ARG") for name in re.findall(r"(\w+)=", line)}
    assert set_here <= {"PYTHON", "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK", *OF_PYTHON, *environment_names()}
    assert not [name for name in set_here if re.search("SECRET|KEY|PASSWORD|TOKEN|URL", name)]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_of_compose_can_change_nothing_but_its_volumes(name: str):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("read_only") or "monitoring" in service.get("profiles", []), "they never see what people keep"
    volumes = [volume.split(":") for volume in service.get("volumes", [])]
    assert {volume[0] for volume in volumes if volume[-1] != "ro"} <= set(COMPOSE["volumes"])
    assert all(volume[0].startswith("./ops/") for volume in volumes if volume[0] not in COMPOSE["volumes"])
    assert "build" in service or PINNED.fullmatch(service["image"]), service.get("image")
    waited_for = {
        name: how["condition"] for each in SERVICES.values() for name, how in each.get("depends_on", {}).items()
    }
    assert "healthcheck" in service or waited_for.get(name) != "service_healthy"


def test_the_databases_of_compose_are_reached_by_hearth_alone():
    assert COMPOSE["networks"]["databases"]["internal"]
    inside = {name for name, service in SERVICES.items() if "databases" in service.get("networks", [])}
    assert inside == {*OURS, "postgres", "valkey"}
    assert SERVICES["postgres"]["networks"] == SERVICES["valkey"]["networks"] == ["databases"]
    named = {network for service in SERVICES.values() for network in service.get("networks", [])}
    assert named == {"default", *COMPOSE["networks"]}
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert "${HOST:-127.0.0.1}:${PORT:-8000}:8000" in ports
    assert all(port.startswith(("${HOST:-127.0.0.1}:", "127.0.0.1:")) for port in ports), "this machine, unless told"


def test_hearth_in_compose_has_real_settings_secrets_from_outside_and_time_to_stop():
    assert set(OURS) == {"app", "worker", "migrate"}
    for service in OURS.values():
        environment = service["environment"]
        assert set(environment) <= set(environment_names())
        for name in ("JWT_SECRET", "ENCRYPTION_KEY"):
            assert environment[name].startswith(f"${{{name}:?")
        assert "${POSTGRES_PASSWORD:?" in environment["DATABASE_URL"]
        assert service["init"], "programs that take a moment to ask for signals would not get them as the first process"
        assert int(service["stop_grace_period"].removesuffix("s")) >= GRACE + 15
    for name in ("app", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_memory_that_compose_allows_is_enough_for_the_worst_files():
    settings = Settings(_env_file=None)
    pictures = settings.media.processes * settings.media.memory_bytes
    documents = settings.document.parse_processes * settings.document.parse_memory_bytes
    allowed = {name: int(SERVICES[name]["mem_limit"].removesuffix("g")) * 1024 * MEBIBYTE for name in ("app", "worker")}
    assert allowed["app"] >= pictures + 512 * MEBIBYTE
    assert allowed["worker"] >= pictures + documents + 512 * MEBIBYTE


def test_the_profile_for_a_language_model_starts_nothing_unless_asked():
    of_profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert of_profiles["llm"] == of_profiles["llm-model"] == ["llm"]
    assert not {*OURS, "postgres", "valkey"} & set(of_profiles)
    assert not any(set(service.get("depends_on", {})) & set(of_profiles) for service in OURS.values())


async def entry_point(environment: dict[str, str], *command: str) -> tuple[int, int | None, str, str]:
    """Process id, exit code, standard output and standard error."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*ENTRY_POINT, *command, env=environment, stdout=pipe, stderr=pipe)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return process.pid, process.returncode, output.decode(), errors.decode()


async def test_the_entry_point_waits_and_becomes_the_command(settings: Settings):
    environment = environment_of(settings)
    pid, code, output, errors = await entry_point(environment, "sh", "-c", "echo $$")
    assert code == 0, errors
    assert int(output) == pid, "signals for the container reach the program itself"

    nowhere = environment | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}", "WAIT_SECONDS": "0.1"}
    _, code, _, errors = await entry_point(nowhere, "true")
    assert code == 1
    assert errors.startswith("REDIS_URL: no answer")


@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="only root can make a process the first one"
)
def test_the_entry_point_ends_at_once_when_it_is_stopped_as_the_first_process():
    silent = os.environ | {"DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/x", "WAIT_SECONDS": "60"}
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", *ENTRY_POINT, "true"]
    with subprocess.Popen(unshare, env=silent, stderr=subprocess.DEVNULL) as outside:
        try:
            first = wait_for_handler(outside.pid)
            began = time.monotonic()
            os.kill(first, signal.SIGTERM)
            assert outside.wait(10) == 128 + signal.SIGTERM
            assert time.monotonic() - began < 3
        finally:
            outside.kill()
