"""The files in ``examples/deploy`` are what Docker Compose and Kubernetes take, and say to us what we know."""

from __future__ import annotations

import shutil
import signal
import subprocess
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from kubernetes_validate import validate  # type: ignore[import-untyped]

from sessionward import cli
from sessionward.sidecar.config.addresses import Address
from sessionward.sidecar.config.sources import collect

DEPLOY = Path(__file__).parent.parent.parent / "examples" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SIDECAR: dict[str, Any] = COMPOSE["services"]["sidecar"]
MANIFEST: Sequence[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
POD: dict[str, Any] = MANIFEST[0]["spec"]["template"]["spec"]
(CONTAINER,) = POD["initContainers"]


def given(arguments: Sequence[str]) -> dict[str, Any]:
    """What the command makes of these arguments. Raises SystemExit for a flag that it does not know."""
    parser = ArgumentParser()
    cli.sidecar.add_commands(parser.add_subparsers(dest="command"))
    chosen = vars(parser.parse_args(arguments))
    flags = {name.replace("_", "-"): value for name, value in chosen.items() if value is not None and name != "command"}
    secret = flags.pop("secret-file")
    assert str(secret).startswith(("/run/secrets/", "/etc/sessionward/"))
    found, mistakes = collect(flags, {}, arguments[0])
    assert mistakes == []
    return {name: each.value for name, each in found.items()}


def test_the_compose_file_is_one() -> None:
    assert set(PyCompose.from_yaml((DEPLOY / "compose.yaml").read_text()).service_names()) == {"app", "sidecar"}


@pytest.mark.parametrize("broken", ["servicez: {}", "services: {a: {imagee: x}}", "services: {a: {image: x, ports: 5}}"])
def test_what_is_no_compose_file_would_be_seen(broken: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        PyCompose.from_yaml(broken)


@pytest.mark.parametrize("resource", MANIFEST, ids=lambda resource: str(resource["kind"]))
def test_the_manifest_is_what_kubernetes_takes(resource: dict[str, Any]) -> None:
    validate(resource, "1.34", strict=True)


def test_what_kubernetes_does_not_take_would_be_seen() -> None:
    broken = yaml.safe_load(yaml.safe_dump(MANIFEST[0]))
    broken["spec"]["template"]["spec"]["initContainers"][0]["restartPolicee"] = "Always"
    with pytest.raises(Exception, match="restartPolicee"):
        validate(broken, "1.34", strict=True)


def test_only_the_sidecar_can_be_reached_and_the_application_only_through_it() -> None:
    app = COMPOSE["services"]["app"]
    assert "ports" not in app
    assert [name for name in app["networks"] if not (COMPOSE["networks"][name] or {}).get("internal")] == []
    (application,) = POD["containers"]
    socket = f"unix:{application['args'][2].removeprefix('unix:')}"
    assert given(CONTAINER["args"] + ["--backend=memory"])["upstream"] == socket
    assert "ports" not in application
    service = MANIFEST[1]["spec"]
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert [port["targetPort"] for port in service["ports"]] == [ports["http"]]
    public, inner = MANIFEST[2]["spec"]["ingress"]
    assert (public["ports"], inner["ports"]) == ([{"port": ports["http"]}], [{"port": ports["admin"]}])
    assert "from" in inner


def test_it_is_a_native_sidecar_with_nothing_that_it_does_not_need() -> None:
    assert CONTAINER["restartPolicy"] == "Always"
    for container in (CONTAINER, *POD["containers"]):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert POD["securityContext"]["runAsNonRoot"]
    for service in COMPOSE["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["user"]


def test_no_secret_can_get_into_the_image() -> None:
    copied = [line.split()[1:-1] for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.startswith(("COPY", "ADD"))]
    assert {name for names in copied for name in names} == {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "middleware"}
    ignored = (DEPLOY.parent.parent / ".gitignore").read_text().splitlines()
    assert COMPOSE["secrets"]["sessionward"]["file"].removeprefix("./") in ignored


def test_probes_ask_the_admin_address_and_what_it_has() -> None:
    options = given(CONTAINER["args"] + ["--backend=memory"])
    admin = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}["admin"]
    assert options["admin"].endswith(f":{admin}")
    probes = {name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert [probe["path"] for probe in probes.values()] == ["/livez", "/readyz", "/livez"]
    assert {probe["port"] for probe in probes.values()} == {"admin"}
    assert "9901/readyz" in " ".join(SIDECAR["healthcheck"]["test"])
    assert given(SIDECAR["command"])["admin"] == "127.0.0.1:9901"


def test_there_is_time_to_drain() -> None:
    options, grace = given(CONTAINER["args"] + ["--backend=memory"]), POD["terminationGracePeriodSeconds"]
    (application,) = POD["containers"]
    before = int(application["lifecycle"]["preStop"]["exec"]["command"][1])
    serving = int(application["args"][application["args"].index("--graceful-timeout") + 1])
    assert grace >= before + serving + options["drain-delay"] + options["drain-timeout"] + 5  # one after the other
    options, text = given(SIDECAR["command"]), SIDECAR["stop_grace_period"]
    assert float(text.removesuffix("s")) >= options["drain-delay"] + options["drain-timeout"] + 5


def directives(unit: str) -> list[tuple[str, str]]:
    lines = (DEPLOY / unit).read_text().splitlines()
    return [(name, value) for name, is_set, value in (line.partition("=") for line in lines) if is_set and not name.startswith("#")]


def test_the_unit_starts_the_command_on_its_socket_and_gives_it_time_to_drain() -> None:
    service, listening = dict(directives("sessionward.service")), dict(directives("sessionward.socket"))
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/bin/sessionward")
    parser = ArgumentParser()
    cli.sidecar.add_commands(parser.add_subparsers(dest="command"))
    chosen = parser.parse_args(arguments)
    assert Address.parse(chosen.listen).systemd == listening["FileDescriptorName"]
    assert chosen.config.endswith("/sessionward.toml")
    options, _ = collect({"config": str(DEPLOY / "sessionward.toml")}, {}, "serve")
    assert int(service["TimeoutStopSec"]) >= options["drain-delay"].value + options["drain-timeout"].value + 5
    assert service["SuccessExitStatus"] == str(128 + signal.SIGTERM)
    assert service["Type"] == "notify-reload"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    for unit in ("sessionward.service", "sessionward.socket"):
        text = (DEPLOY / unit).read_text().replace("/opt/sessionward/bin/sessionward", "/bin/true")
        (tmp_path / unit).write_text(text.replace("Type=notify-reload", "Type=notify"))  # which an older one does not know
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "sessionward.service")]
    checked = subprocess.run([*command, str(tmp_path / "sessionward.socket")], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_toml_file_has_only_keys_that_there_are() -> None:
    found, mistakes = collect({"config": str(DEPLOY / "sessionward.toml")}, {}, "serve")
    assert [mistake for mistake in mistakes if "/run/secrets/sessionward cannot be read" not in mistake] == []
    assert found["drain-delay"].value == 5.0
    assert found["upstream"].value == "http://127.0.0.1:8000"
