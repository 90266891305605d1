"""The manifests in ops/kubernetes keep what docs/deployment.md promises of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from app.server import GRACE
from app.settings import Settings, environment_names, load_settings
from docs.generate import OPENAPI

FOLDER = Path(__file__).parent.parent / "ops" / "kubernetes"
CLOSING = 10  # seconds that a server may take after its open requests have ended
UNITS = {"Mi": 1_048_576, "Gi": 1_073_741_824}


def manifests() -> list[dict[str, Any]]:
    resources = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [each for name in resources for each in yaml.safe_load_all((FOLDER / name).read_text())]


MANIFESTS = {(each["kind"], each["metadata"]["name"]): each for each in manifests()}
PODS = {name: each["spec"]["template"] for (_, name), each in MANIFESTS.items() if "template" in each.get("spec", {})}
CONFIGURATION: dict[str, str] = MANIFESTS["ConfigMap", "hearth"]["data"]
SECRETS: dict[str, str] = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())["stringData"]


def quantity(written: str) -> int:
    return int(written[:-2]) * UNITS[written[-2:]]


def test_every_manifest_is_listed_but_the_example_of_secrets():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in FOLDER.glob("*.yaml")}
    assert there - set(listed) == {"kustomization.yaml", "secret.example.yaml"}
    assert set(PODS) == {"hearth-server", "hearth-worker", "hearth-migrate"}


def test_the_image_is_that_of_this_version():
    images = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["images"]
    declared = (FOLDER.parent.parent / "pyproject.toml").read_text()
    assert [image["newTag"] for image in images] == [__version__]
    assert f'version = "{__version__}"' in declared


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_that_it_need_not(name: str):
    pod = PODS[name]["spec"]
    assert pod["serviceAccountName"] == "hearth"
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["shareProcessNamespace"], "else programs that take a moment to ask for signals would not get them"
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"USER {pod['securityContext']['runAsUser']}:" in (FOLDER.parent.parent / "Dockerfile").read_text()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/tmp"}
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"])


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_its_settings_from_the_map_and_the_secret(name: str):
    for container in PODS[name]["spec"]["containers"]:
        assert container["envFrom"] == [{"configMapRef": {"name": "hearth"}}, {"secretRef": {"name": "hearth"}}]
        assert {each["name"] for each in container.get("env", [])} <= set(environment_names())
        assert container["image"] == "hearth"
        assert container["args"][0] == "hearth"


def test_the_settings_are_real_ones_and_production_starts_with_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in environment_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert {*CONFIGURATION, *SECRETS} <= set(environment_names())
    assert not set(CONFIGURATION) & set(SECRETS)
    assert not any(SECRETS.values())
    filled = {"JWT_SECRET": "s" * 32, "ENCRYPTION_KEY": "s" * 32, "REDIS_URL": "rediss://redis.example.org"}
    filled |= {"DATABASE_URL": "postgresql+asyncpg://postgres.example.org/hearth"}
    for name, value in {**CONFIGURATION, **SECRETS, **filled}.items():
        monkeypatch.setenv(name, value)
    assert load_settings().is_production


def test_probes_ask_routes_that_are_there_and_allow_a_slow_start():
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    server = PODS["hearth-server"]["spec"]["containers"][0]
    ports = {port["name"] for port in server["ports"]}
    asked = {name: server[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert all(get["path"] in paths and get["port"] in ports for get in asked.values())
    assert asked["livenessProbe"]["path"] == "/health/live", "a database that is away is no reason to start again"
    assert asked["readinessProbe"]["path"] == "/health/ready"
    assert server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"] >= 60


def test_metrics_are_shown_where_prometheus_alone_comes_in_and_tell_of_a_worker_that_hangs():
    assert CONFIGURATION["METRICS_HOST"] == "0.0.0.0"
    policy = MANIFESTS["NetworkPolicy", "hearth-metrics"]["spec"]
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == ["metrics"]
    for name, setting in (("hearth-server", "METRICS_PORT"), ("hearth-worker", "METRICS_WORKER_PORT")):
        ports = {port["name"]: port["containerPort"] for port in PODS[name]["spec"]["containers"][0]["ports"]}
        assert str(ports["metrics"]) == CONFIGURATION[setting]
        assert PODS[name]["metadata"]["annotations"] == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": CONFIGURATION[setting],
        }
        assert policy["podSelector"]["matchLabels"].items() <= PODS[name]["metadata"]["labels"].items()
    worker = PODS["hearth-worker"]["spec"]["containers"][0]
    for name in ("startupProbe", "livenessProbe"):
        assert worker[name]["httpGet"] == {"path": "/health/live", "port": "metrics"}


def test_a_server_has_time_to_leave_and_nobody_is_sent_to_one_that_goes():
    pod = PODS["hearth-server"]["spec"]
    before = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert before >= pod["containers"][0]["readinessProbe"]["periodSeconds"]
    draining = int(CONFIGURATION.get("DRAIN_SECONDS", "0"))
    assert pod["terminationGracePeriodSeconds"] >= before + draining + GRACE + CLOSING
    for name in ("hearth-server", "hearth-worker"):
        assert MANIFESTS["Deployment", name]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert MANIFESTS["PodDisruptionBudget", name]["spec"]["maxUnavailable"] == 1
        assert MANIFESTS["HorizontalPodAutoscaler", name]["spec"]["minReplicas"] >= 2
        assert "replicas" not in MANIFESTS["Deployment", name]["spec"], "the autoscaler's number would be undone"


def test_labels_find_what_they_are_meant_to_find():
    for name in ("hearth-server", "hearth-worker"):
        labels = PODS[name]["metadata"]["labels"]
        for kind in ("Deployment", "PodDisruptionBudget"):
            assert MANIFESTS[kind, name]["spec"]["selector"]["matchLabels"] == labels
        assert MANIFESTS["HorizontalPodAutoscaler", name]["spec"]["scaleTargetRef"]["name"] == name
    server = PODS["hearth-server"]["metadata"]["labels"]
    assert MANIFESTS["Service", "hearth"]["spec"]["selector"] == server
    assert MANIFESTS["NetworkPolicy", "hearth-server"]["spec"]["podSelector"]["matchLabels"] == server
    everybody = MANIFESTS["NetworkPolicy", "hearth"]["spec"]
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everybody, "nobody comes in, unless another policy says so"
    for pod in PODS.values():
        assert everybody["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    backend = MANIFESTS["Ingress", "hearth"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert ("Service", backend["name"]) in MANIFESTS
    assert backend["port"]["name"] == MANIFESTS["Service", "hearth"]["spec"]["ports"][0]["name"]


def test_what_is_prepared_before_the_servers_is_all_that_a_migration_needs():
    prepared = {key for key, each in MANIFESTS.items() if "hearth/phase" in each["metadata"]["labels"]}
    assert {kind for kind, _ in prepared} == {"ConfigMap", "ServiceAccount", "NetworkPolicy", "Job"}
    assert MANIFESTS["Job", "hearth-migrate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_memory_and_connections_are_enough_for_the_worst():
    settings = Settings(_env_file=None)
    pictures = int(CONFIGURATION["MEDIA_PROCESSES"]) * settings.media.memory_bytes
    documents = int(CONFIGURATION["DOCUMENT_PARSE_PROCESSES"]) * settings.document.parse_memory_bytes
    for name, files in (("hearth-server", pictures), ("hearth-worker", pictures + documents)):
        limits = PODS[name]["spec"]["containers"][0]["resources"]["limits"]
        assert quantity(limits["memory"]) >= files + 512 * UNITS["Mi"]
        assert int(CONFIGURATION["EMBEDDING_THREADS"]) <= int(limits["cpu"])

    scalers = [each["spec"] for (kind, _), each in MANIFESTS.items() if kind == "HorizontalPodAutoscaler"]
    most_pods = sum(each["maxReplicas"] + 1 for each in scalers)  # one more of each while they are replaced
    per_process = int(CONFIGURATION["DATABASE_POOL_SIZE"]) + int(CONFIGURATION["DATABASE_MAX_OVERFLOW"])
    said = re.search(r"at most (\d+) connections", (FOLDER / "configuration.yaml").read_text())
    assert said is not None
    assert int(said[1]) == most_pods * per_process


def test_the_ingress_lets_through_what_hearth_takes_and_keeps_open_what_lasts():
    annotations = MANIFESTS["Ingress", "hearth"]["metadata"]["annotations"]
    said = {name.removeprefix("nginx.ingress.kubernetes.io/"): value for name, value in annotations.items()}
    settings = Settings(_env_file=None)
    largest = max(
        settings.document.max_bytes,
        settings.media.max_bytes,
        settings.memory.import_max_bytes,
        settings.project.file_max_bytes,
    )
    assert int(said["proxy-body-size"].removesuffix("m")) * UNITS["Mi"] >= largest
    assert said["proxy-buffering"] == said["proxy-request-buffering"] == "off"
    for name in ("proxy-read-timeout", "proxy-send-timeout"):
        assert int(said[name]) >= 4 * settings.realtime.heartbeat.total_seconds()
    assert CONFIGURATION["PUBLIC_URL"] == f"https://{MANIFESTS['Ingress', 'hearth']['spec']['rules'][0]['host']}"
