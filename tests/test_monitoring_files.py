"""The dashboard, the alerts and what scrapes: of what there is, and checked by Prometheus' own tool where it is."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from app.settings import load_settings
from app.telemetry import meters
from tests.processes import REPOSITORY

OPS = REPOSITORY / "ops"
DASHBOARD: dict[str, Any] = json.loads((OPS / "grafana/hearth.json").read_text())
ALERTS = OPS / "prometheus/alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
OF_PROMETHEUS = {"instance", "job", "le", "version"}
OF_PROCESSES = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
NAME = re.compile(r"\b(?:hearth|process)_[a-z_]+")
SELECTOR = re.compile(r"(\b(?:hearth|process)_[a-z_]+)\{([^}]*)\}", re.DOTALL)
LABEL = re.compile(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"")
GROUPING = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
FETCHED = REPOSITORY / "build/prometheus/usr/bin/promtool"
PROMTOOL = FETCHED if FETCHED.exists() else shutil.which("promtool")


def meters_by_name() -> dict[str, MetricWrapperBase]:
    found: dict[str, MetricWrapperBase] = {}
    for meter in vars(meters).values():
        if isinstance(meter, MetricWrapperBase):
            described: Metric = next(iter(meter.describe()))
            found |= {described.name + ending: meter for ending in ENDINGS[described.type]}
    return found


METERS = meters_by_name()


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (rule["expr"] for rule in RULES)


def test_every_number_that_is_looked_at_is_there_and_every_number_is_looked_at():
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked - set(METERS) - OF_PROCESSES == set()
    unseen = {meter for name, meter in METERS.items()} - {METERS[name] for name in asked if name in METERS}
    assert {next(iter(meter.describe())).name for meter in unseen} == set()


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_asks_for_labels_that_its_numbers_have(expression: str):
    names = [name for name in NAME.findall(expression) if name in METERS]
    known = OF_PROMETHEUS.union(*(METERS[name]._labelnames for name in names))
    grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",")}
    assert grouped - known == set()
    for name, selector in SELECTOR.findall(expression):
        has = set(METERS[name]._labelnames) if name in METERS else set()
        assert set(LABEL.findall(selector)) - has - OF_PROMETHEUS == set()


def test_the_dashboard_is_one_that_grafana_takes():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert DASHBOARD["uid"] == "hearth"
    for panel in panels():
        place = panel["gridPos"]
        assert panel["title"]
        assert 0 <= place["x"] <= 24 - place["w"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places)), "no panel lies upon another"


def test_every_alert_says_what_is_wrong_and_what_to_do_and_has_tests_for_fire_and_silence():
    tests = yaml.safe_load((OPS / "prometheus/alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "action"}
        outcomes = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]}
        assert outcomes == {True, False}, rule["alert"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there: `make lint-ops` fetches it")
@pytest.mark.parametrize(
    "command", ["check rules alerts.yml", "test rules alerts_test.yml", "check config prometheus.yml"]
)
def test_promtool_is_content(command: str):
    ran = subprocess.run(
        [str(PROMTOOL), *command.split()], cwd=ALERTS.parent, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_compose_starts_what_watches_only_when_it_is_asked_to_and_scrapes_ports_that_are_open(tmp_path: Path):
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    watching = {name for name, service in services.items() if "monitoring" in service.get("profiles", ())}
    assert watching == {"prometheus", "grafana"}
    for name in watching:
        for mount in services[name]["volumes"]:
            source = mount.split(":")[0]
            assert not source.startswith(".") or (REPOSITORY / source).exists(), source
    assert all(port.startswith("127.0.0.1:") for port in services["grafana"]["ports"])
    assert "ports" not in services["prometheus"]
    jobs = yaml.safe_load((OPS / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    for job, setting in zip(jobs, ("METRICS_PORT", "METRICS_WORKER_PORT"), strict=True):
        (found,) = job["dns_sd_configs"]
        environment = services[found["names"][0]]["environment"]
        assert environment[setting] == str(found["port"])
        assert environment["METRICS_HOST"] == "0.0.0.0"
    dotenv = tmp_path / ".env"
    dotenv.write_text("GRAFANA_PASSWORD=x\n")
    assert load_settings(dotenv).metrics.port == 0
