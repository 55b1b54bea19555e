"""The manifests, rendered: valid to the last field, and no pod with more rights than it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiplatform.roles import ROLES

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MANIFESTS = ROOT / "deploy/kubernetes"
OVERLAYS = ["base", "overlays/gpu", "overlays/example", "overlays/cluster-training"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give each kustomization as one file of plain manifests."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    copy = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(MANIFESTS, copy)
    secrets = copy / "overlays/example/secrets.env"
    shutil.copy(secrets.with_name("secrets.env.example"), secrets)
    files = {}
    for overlay in OVERLAYS:
        done = subprocess.run(["kubectl", "kustomize", str(copy / overlay)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        files[overlay] = copy / f"{overlay.replace('/', '-')}.yaml"
        files[overlay].write_text(done.stdout)
    return files


def documents(path: Path, kind: str) -> dict[str, Any]:
    """Return a file's manifests of one kind, by name."""
    found = [document for document in yaml.safe_load_all(path.read_text()) if document["kind"] == kind]
    return {document["metadata"]["name"]: document for document in found}


def pods(path: Path) -> dict[str, Any]:
    """Return the pod templates of a file, by name."""
    owners = {**documents(path, "Deployment"), **documents(path, "Job")}
    return {name: owner["spec"]["template"]["spec"] for name, owner in owners.items()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_field_is_one_that_kubernetes_knows(rendered: dict[str, Path], overlay: str) -> None:
    validator = Path(sys.executable).with_name("kubernetes-validate")
    if not validator.exists():
        pytest.skip("kubernetes-validate is not installed")
    done = subprocess.run([str(validator), "--strict", str(rendered[overlay])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        ("ServiceMonitor", "prometheus-operator-servicemonitors-crd.yaml"),
        ("PrometheusRule", "prometheus-operator-prometheusrules-crd.yaml"),
    ],
)
def test_custom_resources_fit_their_definitions(rendered: dict[str, Path], kind: str, definition: str) -> None:
    tool = SHARED / "tools/validate_custom_resource.py"
    arguments = [str(SHARED / "schemas" / definition), "v1", str(rendered["overlays/example"])]
    done = subprocess.run([sys.executable, str(tool), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{kind}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_has_rights_that_it_does_not_need(rendered: dict[str, Path], overlay: str) -> None:
    for name, pod in pods(rendered[overlay]).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        asks_the_cluster = (overlay, name) == ("overlays/cluster-training", "training")
        assert pod["automountServiceAccountToken"] is asks_the_cluster, name
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True, name
            assert rights["allowPrivilegeEscalation"] is False, name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/tmp", "/data"}, name


def test_every_role_runs_behind_a_service_with_all_probes(rendered: dict[str, Path]) -> None:
    services = documents(rendered["base"], "Service")
    for role in ROLES:
        [container] = pods(rendered["base"])[role]["containers"]
        assert services[role]["spec"]["selector"]["app.kubernetes.io/name"] == role
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == "http"


def test_grpc_is_served_where_predictions_are_and_reached_under_the_names_that_settings_give(
    rendered: dict[str, Path],
) -> None:
    services = documents(rendered["base"], "Service")
    ports = {name: {port["name"]: port["port"] for port in s["spec"]["ports"]} for name, s in services.items()}
    assert {name for name, found in ports.items() if "grpc" in found} == {"gateway", "inference"}
    [settings] = [c["data"] for c in documents(rendered["base"], "ConfigMap").values() if "GRPC_BIND" in c["data"]]
    assert settings["INFERENCE_GRPC_URL"] == f"inference:{ports['inference']['grpc']}"
    for name in ("gateway", "inference"):
        [container] = pods(rendered["base"])[name]["containers"]
        [port] = [p["containerPort"] for p in container["ports"] if p["name"] == "grpc"]
        assert settings["GRPC_BIND"] == f"0.0.0.0:{port}"
        assert f"EXPOSE {port}" in (ROOT / "deploy/Dockerfile").read_text()


def test_only_training_may_write_artifacts(rendered: dict[str, Path]) -> None:
    for name, pod in pods(rendered["base"]).items():
        mounts = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == "/artifacts"]
        assert all(mount.get("readOnly") for mount in mounts) or name == "training"


def test_what_must_not_stop_has_a_budget_and_a_spare(rendered: dict[str, Path]) -> None:
    for name in ("gateway", "inference"):
        assert documents(rendered["base"], "PodDisruptionBudget")[name]["spec"]["minAvailable"] == 1
        assert documents(rendered["base"], "HorizontalPodAutoscaler")[name]["spec"]["minReplicas"] == 2
        assert documents(rendered["base"], "Deployment")[name]["spec"]["replicas"] == 2


def test_only_training_on_a_cluster_may_ask_the_cluster_and_only_for_its_jobs(rendered: dict[str, Path]) -> None:
    path = rendered["overlays/cluster-training"]
    accounts = {name: pod["serviceAccountName"] for name, pod in pods(path).items() if "serviceAccountName" in pod}
    assert {name for name, account in accounts.items() if account == "aiplatform-training"} == {"training"}
    assert {name for name, pod in pods(path).items() if pod.get("automountServiceAccountToken")} == {"training"}
    [role] = documents(path, "Role").values()
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"create", "get", "list", "delete"}
    assert {one for rule in role["rules"] for one in rule["resources"]} == {"jobs", "trainjobs", "pods"}
    [training] = pods(path)["training"]["containers"]
    assert {"name": "TRAINING_LAUNCHER", "value": "kubernetes"} in training["env"]
    claims = documents(path, "PersistentVolumeClaim")
    assert claims["training-data"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_gpus_are_asked_for_where_models_run_and_nowhere_else(rendered: dict[str, Path]) -> None:
    limits = {name: pod["containers"][0]["resources"]["limits"] for name, pod in pods(rendered["overlays/gpu"]).items()}
    assert {name for name, limit in limits.items() if "nvidia.com/gpu" in limit} == {"training", "inference"}
    images = {name: pod["containers"][0]["image"] for name, pod in pods(rendered["overlays/gpu"]).items()}
    assert images["inference"].startswith("aiplatform-inference-gpu")
    assert images["gateway"].startswith("aiplatform-gateway:")


def test_nothing_comes_in_unless_a_policy_lets_it(rendered: dict[str, Path]) -> None:
    policies = documents(rendered["base"], "NetworkPolicy")
    assert policies["deny-ingress"]["spec"].get("ingress") is None
    inside = policies["between-apps"]["spec"]["ingress"]
    assert all("from" in rule for rule in inside)


def test_the_repository_holds_no_secret(rendered: dict[str, Path]) -> None:
    assert documents(rendered["base"], "Secret") == {}
    assert (
        not (MANIFESTS / "overlays/example/secrets.env").exists() or "secrets.env" in (ROOT / ".gitignore").read_text()
    )


def test_the_clusters_rules_are_those_of_prometheus() -> None:
    resource = yaml.safe_load((MANIFESTS / "components/prometheus-operator/prometheus-rule.yaml").read_text())
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    assert resource["spec"]["groups"] == rules["groups"]


@pytest.mark.parametrize("role", ["training", "inference", "monitoring"])
def test_no_app_is_told_to_look_for_itself_elsewhere(rendered: dict[str, Path], role: str) -> None:
    [container] = pods(rendered["base"])[role]["containers"]
    assert {"name": f"{role.upper()}_URL", "value": ""} in container["env"]
