"""Models on other servers: where they are, and what their servers say of them.

`remote.json` in an artifact's `model/` folder names one. Two protocols are spoken: the Open
Inference Protocol V2 over REST (Triton, KServe, this platform) and TF Serving's REST API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from aiplatform.errors import DeadlineExceededError, InvalidInputError, RemoteModelError, UnavailableError
from aiplatform.tensors import FREE, DType, Signature, TensorSpec

REMOTE_FILE = "remote.json"
BINARY_EXTENSION = "binary_tensor_data"
CONNECT_TIMEOUT_S = 5.0
# Triton answers a client that takes gzip without the tensors behind the JSON.
_HEADERS = {"Accept-Encoding": "identity"}
_TRIES = 3  # of what met no server
_MESSAGE_LENGTH = 500


class RemoteProtocol(StrEnum):
    """What a server speaks."""

    V2 = "v2"
    TF_SERVING = "tf_serving"


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """One model on one server. `version` empty: the one that the server chooses.

    `headers` go with every request (a token); `timeout_s` is the longest wait for one answer.
    """

    protocol: RemoteProtocol
    url: str
    model: str
    version: str = ""
    timeout_s: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Return the model's path on its server."""
        prefix = "v2" if self.protocol is RemoteProtocol.V2 else "v1"
        version = f"/versions/{quote(self.version, safe='')}" if self.version else ""
        return f"/{prefix}/models/{quote(self.model, safe='')}{version}"

    def __str__(self) -> str:
        return f"remote model '{self.model}' at {self.url}"


def encode_remote(remote: RemoteModel) -> bytes:
    """Return the content of `remote.json`."""
    return msgspec.json.format(msgspec.json.encode(remote), indent=1)


def decode_remote(raw: bytes) -> RemoteModel:
    """Rebuild what `remote.json` says.

    Raises: InvalidInputError naming the rule.
    """
    try:
        remote = msgspec.json.decode(raw, type=RemoteModel)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{REMOTE_FILE} cannot be read: {error}") from error
    parts = urlsplit(remote.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidInputError(f"a remote's url must be http(s)://host[:port][/path], not '{remote.url}'")
    if not remote.model or not remote.timeout_s > 0:
        raise InvalidInputError(f"{REMOTE_FILE} needs a model's name and a timeout_s above 0")
    return remote


class RemoteServer:
    """Calls one model's server over a small pool of kept connections; any thread may call."""

    def __init__(self, remote: RemoteModel, *, connections: int = 8) -> None:
        self.remote = remote
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.Client(
            base_url=remote.url.rstrip("/"),
            headers={**_HEADERS, **remote.headers},
            timeout=httpx.Timeout(remote.timeout_s, connect=min(CONNECT_TIMEOUT_S, remote.timeout_s)),
            limits=limits,
            trust_env=False,
        )

    def get(self, path: str) -> Any:
        """Return the JSON object at a path; raises as `send`."""
        response = self.send("GET", path)
        try:
            found = response.json()
        except (ValueError, RecursionError) as error:
            raise RemoteModelError(f"{self.remote} answered GET {path} with something else than JSON") from error
        if not isinstance(found, dict):
            raise RemoteModelError(f"{self.remote} answered GET {path} with something else than an object")
        return found

    def send(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Any:
        """Return a successful response. Only what met no server is tried again.

        Raises: UnavailableError (503) if it cannot be reached or says that it is busy;
        DeadlineExceededError (504) if it does not answer in time; InvalidInputError (400) if it refuses
        the inputs; RemoteModelError (502) for all else.
        """
        response = self._try(method, path, body, headers or {})
        if response.is_success:
            return response
        raise self._error(response)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _try(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        for left in range(_TRIES - 1, -1, -1):
            try:
                return self._client.request(method, path, content=body, headers=dict(headers))
            except httpx.ConnectTimeout as error:
                raise UnavailableError(f"{self.remote} cannot be reached: {error or 'timed out'}") from error
            except httpx.TimeoutException as error:
                raise DeadlineExceededError(
                    f"{self.remote} did not answer within {self.remote.timeout_s:g} s",
                    limit="remote timeout", value=self.remote.timeout_s, setting=f"timeout_s in {REMOTE_FILE}",
                ) from error  # fmt: skip
            except httpx.ConnectError as error:
                if not left:
                    raise UnavailableError(f"{self.remote} cannot be reached: {error}") from error
            except httpx.HTTPError as error:
                raise RemoteModelError(
                    f"{self.remote} broke the connection: {type(error).__name__}: {error}"
                ) from error
        raise AssertionError("there is at least one try")

    def _error(self, response: httpx.Response) -> Exception:
        said = f"{self.remote} answered {response.status_code}: {_error_text(response)}"
        if response.status_code in (429, 503):
            return UnavailableError(said)
        if response.status_code in (400, 413, 422):
            return InvalidInputError(said)
        return DeadlineExceededError(said) if response.status_code == 504 else RemoteModelError(said)


def fetch_signature(remote: RemoteModel, *, name: str = "serving_default") -> Signature:
    """Return what a model takes and gives, from its server's metadata; `name` is TF Serving's signature.

    A V2 server that describes no tensors gives empty inputs and outputs.

    Raises: as `RemoteServer.send`; RemoteModelError if the metadata cannot be understood.
    """
    server = RemoteServer(remote, connections=1)
    try:
        is_v2 = remote.protocol is RemoteProtocol.V2
        found = server.get(remote.path if is_v2 else f"{remote.path}/metadata")
        try:
            return read_v2_signature(found) if is_v2 else read_tf_signature(found, name=name)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RemoteModelError(
                f"{remote}: its metadata cannot be understood: {type(error).__name__}: {error}"
            ) from error
    finally:
        server.close()


def takes_binary(server: RemoteServer) -> bool:
    """Say whether a V2 server lists the binary tensor extension."""
    extensions = server.get("/v2").get("extensions")
    return isinstance(extensions, list) and BINARY_EXTENSION in extensions


def read_v2_signature(metadata: Mapping[str, Any]) -> Signature:
    """Return the signature in V2 model metadata; raises KeyError, TypeError, ValueError for anything else."""
    inputs = tuple(_v2_spec(item) for item in metadata.get("inputs", ()))
    return Signature(inputs=inputs, outputs=tuple(_v2_spec(item) for item in metadata.get("outputs", ())))


def read_tf_signature(metadata: Mapping[str, Any], *, name: str = "serving_default") -> Signature:
    """Return a signature in TF Serving's metadata; raises KeyError, TypeError, ValueError for anything else."""
    found = metadata["metadata"]["signature_def"]["signature_def"][name]
    return Signature(
        name=name,
        inputs=tuple(_tf_spec(key, item) for key, item in sorted(found["inputs"].items())),
        outputs=tuple(_tf_spec(key, item) for key, item in sorted(found["outputs"].items())),
    )


def _v2_spec(item: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(int(size) if int(size) >= 0 else FREE for size in item["shape"])
    return TensorSpec(name=str(item["name"]), dtype=DType(item["datatype"]), shape=shape)


def _tf_spec(name: str, item: Mapping[str, Any]) -> TensorSpec:
    shape = item["tensor_shape"]
    if shape.get("unknown_rank"):
        raise ValueError(f"tensor '{name}' has no known rank")
    sizes = tuple(int(dim["size"]) for dim in shape.get("dim", ()))
    dtype = next((d for d in DType if d.tensorflow_name == item["dtype"]), None)
    if dtype is None:
        raise ValueError(f"tensor '{name}' has the type {item['dtype']}")
    return TensorSpec(name=name, dtype=dtype, shape=tuple(size if size >= 0 else FREE for size in sizes))


def _error_text(response: httpx.Response) -> str:
    try:
        found = response.json()
    except (ValueError, RecursionError):
        found = response.text
    text = found.get("error", found) if isinstance(found, dict) else found
    return str(text)[:_MESSAGE_LENGTH]
