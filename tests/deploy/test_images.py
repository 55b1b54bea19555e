"""The Dockerfile and compose.yaml: one image per role, none with a secret, none running as root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiplatform.machine_code.modules import MODULES
from aiplatform.roles import APPS_BY_ROLE, ROLES

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()


@pytest.fixture(scope="module")
def compose() -> Any:
    """Give compose.yaml."""
    return yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())


def stage(name: str) -> str:
    """Return the text of one build stage."""
    found = re.search(rf"^FROM \S+ AS {name}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found.group(1)


def pinned() -> set[str]:
    """Return the names that requirements.txt gives a version."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {
        line.split("==")[0].lower().replace("_", "-")
        for line in lines
        if "==" in line and not line.startswith((" ", "#"))
    }


def wanted(path: Path) -> set[str]:
    """Return the names in a role's list and the lists it includes."""
    names: set[str] = set()
    for line in path.read_text().splitlines():
        text = line.split("#")[0].strip()
        if text.startswith("-r "):
            names |= wanted(path.parent / text[3:])
        elif text:
            names.add(re.split(r"[\[<>=~ ]", text)[0].lower().replace("_", "-"))
    return names


def test_the_dockerfile_is_clean() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(ROOT / "deploy/Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_builds_with_old_buildkits() -> None:
    assert "# syntax=" not in DOCKERFILE
    assert "<<" not in DOCKERFILE


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_an_image_with_its_apps_only(role: str) -> None:
    text = stage(role)
    assert f"AIPLATFORM_ROLES={role}" in text
    assert f"--from=build-{role} " in text
    assert set(re.findall(r"^COPY (\w+)/ \1/$", text, re.MULTILINE)) == set(APPS_BY_ROLE[role])


def test_images_do_not_run_as_root_and_say_whether_they_live() -> None:
    text = stage("runtime")
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert "USER root" not in DOCKERFILE


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_needs_has_a_version(role: str) -> None:
    missing = wanted(ROOT / f"deploy/requirements/{role}.in") - pinned()
    assert not missing


@pytest.mark.parametrize("role", ["gateway", "monitoring", "console"])
def test_small_images_hold_nothing_that_learns_or_serves(role: str) -> None:
    assert not wanted(ROOT / f"deploy/requirements/{role}.in") & {
        "tensorflow", "torch", "keras", "scikit-learn", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert",
    }  # fmt: skip


def test_the_gateway_s_image_knows_nothing_of_recorded_predictions() -> None:
    assert not wanted(ROOT / "deploy/requirements/gateway.in") & {"pyarrow", "duckdb"}


def test_the_build_context_leaves_out_what_is_secret_or_large() -> None:
    lines = (ROOT / "deploy/Dockerfile.dockerignore").read_text().split()
    assert lines[0] == "**"
    assert not [line for line in lines if line.startswith("!") and ("env" in line or "var" in line)]


@pytest.mark.parametrize("role", ROLES)
def test_images_on_the_way_of_a_prediction_hold_its_machine_code(role: str) -> None:
    built = "COPY --from=build-machine-code /app/aiplatform/machine_code/built/ aiplatform/machine_code/built/"
    assert (built in stage(role)) == (role in ("gateway", "inference"))
    assert {name.split(".")[0] for name in MODULES} <= set(re.findall(r"COPY (\w+)/", stage("build-machine-code")))


def test_what_compiles_the_machine_code_has_a_version() -> None:
    dev = (ROOT / "requirements-dev.txt").read_text()
    assert [name for name in wanted(ROOT / "deploy/requirements/machine-code.in") if f"\n{name}==" not in dev] == []


def test_compose_runs_every_role_and_works_with_its_first_version(compose: Any) -> None:
    assert "name" not in compose
    assert set(ROLES) <= set(compose["services"])
    for role in ROLES:
        service = compose["services"][role]
        assert service["build"]["target"] == role
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_compose_names_no_secret(compose: Any) -> None:
    for service in compose["services"].values():
        names = set(service.get("environment", {}))
        assert not names & {"SECRET_KEY", "INTERNAL_SECRETS", "PREDICTION_HASH_SECRETS", "POSTGRES_PASSWORD"}
    for role in ROLES:
        assert compose["services"][role]["env_file"] == ["platform.env"]
    example = (ROOT / "deploy/platform.env.example").read_text()
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == {
        "SECRET_KEY", "INTERNAL_SECRETS", "PREDICTION_HASH_SECRETS",
    }  # fmt: skip


def test_the_apps_wait_for_the_database_to_be_up_to_date(compose: Any) -> None:
    for role in ROLES:
        waits = compose["services"][role]["depends_on"]
        behind = [*waits, *(name for other in waits for name in compose["services"][other].get("depends_on", {}))]
        assert "migrate" in behind, role


def test_what_compose_mounts_from_here_exists(compose: Any) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (ROOT / "deploy" / volume.split(":")[0]).exists()


def test_only_what_people_use_is_published_and_on_loopback(compose: Any) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"gateway", "console", "prometheus"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("role", ["training", "inference", "monitoring"])
def test_no_app_is_told_to_look_for_itself_elsewhere(compose: Any, role: str) -> None:
    """With its own address set, a process would send its own requests on instead of answering them."""
    assert compose["services"][role]["environment"][f"{role.upper()}_URL"] == ""
