"""A model on another server: requests are forwarded, so that it stands behind this platform's door."""

from __future__ import annotations

from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, PlatformError
from aiplatform.remote_models import (
    REMOTE_FILE,
    RemoteModel,
    RemoteProtocol,
    RemoteServer,
    decode_remote,
    fetch_signature,
    takes_binary,
)
from inference.engines.arrays import check_same_names
from inference.engines.base import Arrays, EngineKind, EngineOptions
from inference.engines.remote_tf import TfServingCodec
from inference.engines.remote_v2 import V2BinaryCodec, V2Codec, V2JsonCodec

CONNECTIONS = 8


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> RemoteEngine:
    """Reach the server that `remote.json` names, and compare its metadata with the signature.

    Raises: ArtifactError if the file is unusable or the server's model has other tensors; the
    server's own trouble as `RemoteServer.send`.
    """
    try:
        remote = decode_remote((model / REMOTE_FILE).read_bytes())
    except (OSError, PlatformError) as error:
        raise ArtifactError(f"{manifest.name} version {manifest.version} names no usable server: {error}") from error
    signature = manifest.signature
    found = fetch_signature(remote, name=signature.name)
    if found.inputs:  # some V2 servers describe none
        check_same_names(manifest, "inputs", (s.name for s in signature.inputs), (s.name for s in found.inputs))
        check_same_names(manifest, "outputs", (s.name for s in signature.outputs), (s.name for s in found.outputs))
    server = RemoteServer(remote, connections=CONNECTIONS)
    try:
        return RemoteEngine(server, _codec(server, remote, manifest))
    except Exception:
        server.close()
        raise


class RemoteEngine:
    """Forwards each batch; as many at once as there are connections."""

    name = EngineKind.REMOTE
    releases_gil = True
    concurrency = CONNECTIONS

    def __init__(self, server: RemoteServer, codec: V2Codec | TfServingCodec) -> None:
        self._server = server
        self._codec = codec

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order.

        Raises: UnavailableError, DeadlineExceededError, InvalidInputError or RemoteModelError, which
        name the remote.
        """
        body, headers = self._codec.encode(inputs)
        response = self._server.send("POST", self._codec.path, body=body, headers=headers)
        return self._codec.decode(response.headers, response.content)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()


def _codec(server: RemoteServer, remote: RemoteModel, manifest: Manifest) -> V2Codec | TfServingCodec:
    if remote.protocol is RemoteProtocol.TF_SERVING:
        return TfServingCodec(remote, manifest.signature)
    return (V2BinaryCodec if takes_binary(server) else V2JsonCodec)(remote, manifest.signature)
