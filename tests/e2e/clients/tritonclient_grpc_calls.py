"""What a user of tritonclient[grpc] does: health, metadata, raw inference, compressed and in parallel.

Arguments: address, token, model. Prints one JSON object.
"""

import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found]

address, token, model = sys.argv[1:]
headers = {"authorization": f"Bearer {token}"}
client = triton.InferenceServerClient(address)
images = np.linspace(0, 255, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)


def infer_input(times: int = 1) -> triton.InferInput:
    rows = np.tile(images, (times, 1, 1, 1))
    made = triton.InferInput("image", list(rows.shape), "FP32")
    made.set_data_from_numpy(rows)
    return made


def refusal(**options: object) -> str:
    try:
        client.infer(**{"model_name": model, "inputs": [infer_input()], "headers": headers, **options})
    except triton.InferenceServerException as error:
        return str(error.status())
    return "answered"


plain = client.infer(model, [infer_input()], headers=headers, request_id="mine")
named = client.infer(
    model, [infer_input()], model_version="1", outputs=[triton.InferRequestedOutput("probabilities")],
    headers=headers, compression_algorithm="gzip", client_timeout=20,
)  # fmt: skip
answers: "queue.Queue[Any]" = queue.Queue()
for _ in range(8):
    client.async_infer(model, [infer_input()], lambda result, error: answers.put(error or result), headers=headers)
parallel: list[Any] = [answers.get(timeout=20) for _ in range(8)]
urgent = client.infer(model, [infer_input()], headers=headers, priority=1, timeout=5_000_000)
config = client.get_model_config(model, headers=headers, as_json=True)["config"]
statistics = client.get_inference_statistics(model, headers=headers).model_stats
index = client.get_model_repository_index(headers=headers).models
metadata = client.get_model_metadata(model, headers=headers, as_json=True)
print(
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model, headers=headers),
            "server": client.get_server_metadata().name,
            "inputs": metadata["inputs"],
            "id": plain.get_response().id,
            "version": plain.get_response().model_version,
            "outputs": plain.as_numpy("probabilities").tolist(),
            "named": named.as_numpy("probabilities").tolist(),
            "parallel": [result.as_numpy("probabilities").tolist() for result in parallel],
            "no_token": refusal(headers={}),
            "unknown_model": refusal(model_name="none"),
            "unknown_version": refusal(model_version="99"),
            "urgent": urgent.as_numpy("probabilities").tolist(),
            "config": [config["name"], config["input"], config["max_batch_size"]],
            "statistics": [[s.name, s.version, s.inference_stats.success.count > 0] for s in statistics],
            "index": [[m.name, m.version, m.state] for m in index],
            "too_urgent": refusal(priority=9),
            "late": refusal(inputs=[infer_input(times=2000)], client_timeout=0.002),  # not in 2 ms
        }
    )
)
