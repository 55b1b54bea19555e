"""The few things that launchers ask of a Kubernetes cluster, as plain data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiplatform.errors import InvalidConfigurationError, UnavailableError
from training.launchers.manifests import Manifest

TIMEOUT_S = 10.0
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of object that runs pods. `pod_label` is the label by which its pods name it."""

    group: str
    version: str
    plural: str
    pod_label: str


class Cluster:
    """A cluster's API, in one namespace. Every call waits at most TIMEOUT_S."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    def connect(cls, *, kubeconfig: str, namespace: str) -> Cluster:
        """Return the cluster of a kubeconfig file; of none: the one that this process runs in, else the user's own.

        Raises: InvalidConfigurationError if there is no client, or no configuration.
        """
        try:
            from kubernetes import client, config
        except ModuleNotFoundError as error:
            raise InvalidConfigurationError(
                f"this TRAINING_LAUNCHER needs the package kubernetes; '{error.name}' is not installed"
            ) from error
        settings = client.Configuration()
        try:
            if kubeconfig or not _OWN_NAMESPACE.exists():
                config.load_kube_config(config_file=kubeconfig or None, client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            where = f"TRAINING_KUBECONFIG={kubeconfig}" if kubeconfig else "TRAINING_KUBECONFIG is not set"
            raise InvalidConfigurationError(f"no cluster: {where}: {error}") from error
        settings.retries = False  # who asks asks again in a second
        own = _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"
        return cls(client.ApiClient(settings), namespace or own)

    def create(self, kind: Kind, manifest: Manifest) -> None:
        """Create an object; one of that name that is there already is the same order, come twice.

        Raises: UnavailableError if the cluster refuses or cannot be reached.
        """
        with _told("create"):
            try:
                self._objects().create_namespaced_custom_object(
                    kind.group, kind.version, self.namespace, kind.plural, manifest, _request_timeout=TIMEOUT_S
                )
            except _api_exception() as error:
                if error.status != 409:
                    raise

    def find(self, kind: Kind, name: str) -> Manifest | None:
        """Return an object as it is now, or None if there is none.

        Raises: UnavailableError if the cluster refuses or cannot be reached.
        """
        with _told("read"):
            try:
                found = self._objects().get_namespaced_custom_object(
                    kind.group, kind.version, self.namespace, kind.plural, name, _request_timeout=TIMEOUT_S
                )
            except _api_exception() as error:
                if error.status != 404:
                    raise
                return None
        return dict(found)

    def delete(self, kind: Kind, name: str, *, grace_s: int | None = None) -> None:
        """Delete an object and its pods, which get their time to end, or `grace_s`; one that is gone is no error.

        Raises: UnavailableError if the cluster refuses or cannot be reached.
        """
        with _told("delete"):
            from kubernetes import client

            pods = [pod["metadata"]["name"] for pod in self.pods(kind, name)] if grace_s is not None else []
            try:
                self._objects().delete_namespaced_custom_object(
                    kind.group, kind.version, self.namespace, kind.plural, name,
                    propagation_policy="Background", _request_timeout=TIMEOUT_S,
                )  # fmt: skip
                for pod in pods:
                    client.CoreV1Api(self._client).delete_namespaced_pod(
                        pod, self.namespace, grace_period_seconds=grace_s, _request_timeout=TIMEOUT_S
                    )
            except _api_exception() as error:
                if error.status != 404:
                    raise

    def pods(self, kind: Kind, name: str) -> list[Manifest]:
        """Return the pods of an object.

        Raises: UnavailableError if the cluster refuses or cannot be reached.
        """
        from kubernetes import client

        with _told("list pods"):
            answer: Any = client.CoreV1Api(self._client).list_namespaced_pod(
                self.namespace, label_selector=f"{kind.pod_label}={name}", _preload_content=False,
                _request_timeout=TIMEOUT_S,
            )  # fmt: skip
            return list(json.loads(answer.data)["items"])

    def _objects(self) -> Any:
        from kubernetes import client

        return client.CustomObjectsApi(self._client)


def _api_exception() -> Any:
    from kubernetes.client import ApiException

    return ApiException


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say of any failure that it was the cluster's, in one line."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPError, OSError, ValueError, KeyError) as error:
        raise UnavailableError(f"the cluster did not {what}: {error}") from error
    except _api_exception() as error:
        raise UnavailableError(f"the cluster did not {what}: {error.status} {_reason(error)}") from error


def _reason(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])[:500]
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
