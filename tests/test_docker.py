"""The files of docker/ as linters see them; tests/docker/check_images.py runs the images."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="reading compose.yaml needs PyYAML, of the dev group")

DOCKER = Path(__file__).parents[1] / "docker"
COMPOSE = (DOCKER / "compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]


def _installed(command: str) -> str:
    """A command of this environment."""
    path = shutil.which(command, path=str(Path(sys.executable).parent))
    return path or pytest.skip(f"needs {command}, of the dev group")


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert _said(_installed("hadolint"), str(DOCKER / "Dockerfile")) == ""


def test_the_compose_file_follows_the_specification() -> None:
    schema = "--builtin-schema=vendor.compose-spec"

    assert _said(_installed("check-jsonschema"), schema, str(DOCKER / "compose.yaml")) == ""


def test_what_can_be_set_is_in_the_example_with_its_default() -> None:
    used = dict(re.findall(r"\$\{(\w+)(?::-([^}]*))?", COMPOSE))
    lines = (DOCKER / ".env.example").read_text().splitlines()
    shown = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert shown == used


def test_every_published_port_is_on_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_confined(service: str) -> None:
    settings = SERVICES[service]

    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_dockerfile_has_the_target_of_each_service(service: str) -> None:
    target = SERVICES[service]["build"]["target"]

    assert re.search(rf"^FROM \S+ AS {target}$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
