"""What OpenVINO's client says over TF Serving's REST protocol: ADDRESS TOKEN MODEL IMAGE-SHAPE."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf import json_format
from ovmsclient import make_http_client
from ovmsclient.tfs_compat.protos.tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
from ovmsclient.tfs_compat.protos.tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse


def error_of(call: Callable[[], Any]) -> str:
    """Return the name of the error that a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - which error it is, is the question
        return type(error).__name__
    return ""


def main(address: str, token: str, model: str, shape: list[int]) -> dict[str, Any]:
    """Make the calls; return what came back."""
    client = make_http_client(address)
    client.session.headers["Authorization"] = f"Bearer {token}"
    images = np.linspace(0, 255, 2 * int(np.prod(shape)), dtype=np.float32).reshape(2, *shape)
    predicted = client.predict({"image": images}, model)
    pinned = client.predict({"image": images.tolist()}, model, model_version=1)
    metadata = client.get_model_metadata(model)
    status = client.get_model_status(model)
    # TF Serving's own messages (the client carries their protobufs) read the two answers.
    address = f"http://{address}/v1/models/{model}"
    state = json_format.Parse(client.session.get(address).text, GetModelStatusResponse())
    definition = json_format.ParseDict(metadata["metadata"]["signature_def"], SignatureDefMap())
    signature = definition.signature_def["serving_default"]
    return {
        "predicted": predicted.tolist(),
        "same": bool(np.allclose(predicted, pinned)),
        "status": status,
        "protobuf_status": [[v.version, v.state, v.status.error_code] for v in state.model_version_status],
        "model_spec": metadata["model_spec"],
        "method": signature.method_name,
        "input_dtype": signature.inputs["image"].dtype,
        "input_dims": [dim.size for dim in signature.inputs["image"].tensor_shape.dim],
        "errors": {
            "unknown model": error_of(lambda: client.predict({"image": images}, "nobody")),
            "unknown version": error_of(lambda: client.get_model_status(model, model_version=99)),
            "wrong shape": error_of(lambda: client.predict({"image": images[:, :-1]}, model)),
            "wrong name": error_of(lambda: client.predict({"picture": images}, model)),
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))))
