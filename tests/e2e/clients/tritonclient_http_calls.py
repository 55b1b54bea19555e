"""Every call of tritonclient.http that this platform answers, and those that it refuses.

python tritonclient_http_calls.py URL TOKEN DIGITS CUSTOMERS
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as http  # type: ignore[import-not-found]
from tritonclient.utils import InferenceServerException  # type: ignore[import-not-found]

ADDRESS, TOKEN, DIGITS, CUSTOMERS = sys.argv[1].removeprefix("http://"), *sys.argv[2:5]
HEADERS = {"Authorization": f"Bearer {TOKEN}"}  # copied for each call: the client writes its own headers into it
IMAGES = np.random.default_rng(3).uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)


def error_of(call: Callable[..., Any], *args: Any, **options: Any) -> dict[str, Any] | None:
    try:
        call(*args, **options)
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}
    return None


def image_input(*, binary: bool, images: Any = IMAGES) -> list[Any]:
    tensor = http.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return [tensor]


def texts_input(*, binary: bool) -> list[Any]:
    age = http.InferInput("age", [2, 1], "FP32")
    age.set_data_from_numpy(np.array([[30], [60]], np.float32), binary_data=binary)
    city = http.InferInput("city", [2, 1], "BYTES")
    city.set_data_from_numpy(np.array([["Rome"], ["Århus"]], dtype=object), binary_data=binary)
    return [age, city]


def infer(client: Any, inputs: list[Any], model: str = DIGITS, **options: Any) -> Any:
    return client.infer(model, inputs, headers=dict(HEADERS), **options)


def probabilities(result: Any) -> Any:
    return result.as_numpy("probabilities").tolist()


def texts(result: Any) -> list[str]:
    return [value.decode() for value in result.as_numpy("probabilities").reshape(-1)]


def questions(client: Any) -> dict[str, Any]:
    return {
        "live": client.is_server_live(headers=dict(HEADERS)),
        "ready": client.is_server_ready(headers=dict(HEADERS)),
        "model_ready": client.is_model_ready(DIGITS, headers=dict(HEADERS)),
        "version_ready": client.is_model_ready(DIGITS, "1", headers=dict(HEADERS)),
        "unknown_ready": client.is_model_ready("nobody", headers=dict(HEADERS)),
        "server": client.get_server_metadata(headers=dict(HEADERS)),
        "metadata": client.get_model_metadata(DIGITS, headers=dict(HEADERS)),
        "config": client.get_model_config(DIGITS, headers=dict(HEADERS)),
        "index": client.get_model_repository_index(headers=dict(HEADERS)),
    }


def answers(client: Any) -> dict[str, Any]:
    wanted_json = [http.InferRequestedOutput("probabilities", binary_data=False)]
    wanted_binary = [http.InferRequestedOutput("probabilities", binary_data=True)]
    classes = [http.InferRequestedOutput("probabilities", binary_data=True, class_count=3)]
    classes_json = [http.InferRequestedOutput("probabilities", binary_data=False, class_count=3)]
    with_id = infer(client, image_input(binary=True), request_id="mine", timeout=5_000_000, priority=1)
    waiting = client.async_infer(DIGITS, image_input(binary=True), headers=dict(HEADERS))
    body, size = http.InferenceServerClient.generate_request_body(image_input(binary=True))
    return {
        "binary": probabilities(infer(client, image_input(binary=True))),
        "json": probabilities(infer(client, image_input(binary=False), outputs=wanted_json)),
        "json_in_binary_out": probabilities(infer(client, image_input(binary=False), outputs=wanted_binary)),
        "binary_in_json_out": probabilities(infer(client, image_input(binary=True), outputs=wanted_json)),
        "version": probabilities(infer(client, image_input(binary=True), model_version="1")),
        "async": probabilities(waiting.get_result()),
        "gzip": probabilities(
            infer(
                client,
                image_input(binary=True),
                request_compression_algorithm="gzip",
                response_compression_algorithm="gzip",
            )
        ),
        "deflate": probabilities(
            infer(
                client,
                image_input(binary=False),
                outputs=wanted_json,
                request_compression_algorithm="deflate",
                response_compression_algorithm="deflate",
            )
        ),
        "head": with_id.get_response(),
        "classes": texts(infer(client, image_input(binary=True), outputs=classes)),
        "classes_json": infer(client, image_input(binary=True), outputs=classes_json).get_output("probabilities"),
        "texts_binary": probabilities(infer(client, texts_input(binary=True), CUSTOMERS)),
        "texts_json": probabilities(infer(client, texts_input(binary=False), CUSTOMERS, outputs=wanted_json)),
        "generated_size": [len(body), size],
    }


def large_answers(client: Any) -> dict[str, Any]:
    """An answer of more than a kilobyte is packed on its way; the client unpacks it."""
    images = np.tile(IMAGES, (32, 1, 1, 1))
    plain = infer(client, image_input(binary=True, images=images))
    packed = infer(client, image_input(binary=True, images=images), response_compression_algorithm="gzip")
    zipped = infer(client, image_input(binary=True, images=images), response_compression_algorithm="deflate")
    return {
        "gzip_is_the_same": probabilities(plain) == probabilities(packed),
        "deflate_is_the_same": probabilities(plain) == probabilities(zipped),
        "rows": len(probabilities(plain)),
    }


def refusals(client: Any) -> dict[str, Any]:
    short = http.InferInput("image", [1, 8, 8, 1], "FP32")
    short._raw_data = b"123"
    short._parameters = {"binary_data_size": 3}
    return {
        "unknown_model": error_of(infer, client, image_input(binary=True), "nobody"),
        "unknown_version": error_of(infer, client, image_input(binary=True), model_version="99"),
        "wrong_size": error_of(infer, client, [short]),
        "no_token": error_of(client.infer, DIGITS, image_input(binary=True)),
        "wrong_token": error_of(client.get_model_metadata, DIGITS, headers={"Authorization": "Bearer no"}),
        "load": error_of(client.load_model, DIGITS, headers=dict(HEADERS)),
        "unload": error_of(client.unload_model, DIGITS, headers=dict(HEADERS)),
        "trace": error_of(client.get_trace_settings, headers=dict(HEADERS)),
        "model_trace": error_of(client.update_trace_settings, DIGITS, {}, headers=dict(HEADERS)),
        "log": error_of(client.get_log_settings, headers=dict(HEADERS)),
        "shared_memory": error_of(client.get_system_shared_memory_status, headers=dict(HEADERS)),
    }


def main() -> None:
    with http.InferenceServerClient(ADDRESS, concurrency=2) as client:
        said = {
            "questions": questions(client),
            "answers": answers(client),
            "large": large_answers(client),
            "refusals": refusals(client),
            "statistics": client.get_inference_statistics(DIGITS, headers=dict(HEADERS)),
            "version_statistics": client.get_inference_statistics(DIGITS, "1", headers=dict(HEADERS)),
            "all_statistics": client.get_inference_statistics(headers=dict(HEADERS)),
        }
    print(json.dumps(said))


main()
