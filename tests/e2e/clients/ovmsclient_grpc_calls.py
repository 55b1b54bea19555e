"""What a user of ovmsclient does over gRPC: status, metadata, predict.

ovmsclient has no place for a token, so its stubs get a channel that adds one. Arguments: address, token, model.
"""

import json
import sys
from collections import namedtuple
from typing import Any

import grpc
import numpy as np
from ovmsclient import make_grpc_client
from ovmsclient.tfs_compat.base.errors import ModelServerError

address, token, model = sys.argv[1:]
Details = namedtuple("Details", "method timeout metadata credentials wait_for_ready compression")


class AddToken(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc,type-arg,unused-ignore]
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {token}")]
        return continuation(
            Details(details.method, details.timeout, metadata, None, details.wait_for_ready, details.compression),
            request,
        )


bare = make_grpc_client(address)
client = make_grpc_client(address)
channel = grpc.intercept_channel(client.channel, AddToken())
client.prediction_service_stub = type(client.prediction_service_stub)(channel)
client.model_service_stub = type(client.model_service_stub)(channel)
images = np.linspace(0, 255, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)


def refusal(asked: Any, **options: Any) -> str:
    try:
        asked.predict(**{"inputs": {"image": images}, "model_name": model, **options})
    except (ModelServerError, ConnectionError) as error:
        return f"{type(error).__name__}: {error}"
    return "answered"


metadata = client.get_model_metadata(model)
print(
    json.dumps(
        {
            "status": client.get_model_status(model),
            "model_version": metadata["model_version"],
            "inputs": {name: [info["shape"], info["dtype"]] for name, info in metadata["inputs"].items()},
            "outputs": np.asarray(client.predict({"image": images}, model)).tolist(),
            "named": np.asarray(client.predict({"image": images}, model, model_version=1)).tolist(),
            "no_token": refusal(bare),
            "unknown_model": refusal(client, model_name="none"),
        }
    )
)
