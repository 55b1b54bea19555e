"""Every V2 call of KServe's InferenceRESTClient.

python kserve_rest_calls.py URL TOKEN DIGITS CUSTOMERS
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig  # type: ignore[import-not-found]
from kserve.protocol.infer_type import RequestedOutput  # type: ignore[import-not-found]

URL, TOKEN, DIGITS, CUSTOMERS = sys.argv[1:5]
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
IMAGES = np.random.default_rng(3).uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)


def image_request(*, binary: bool, binary_out: bool) -> Any:
    tensor = InferInput("image", list(IMAGES.shape), "FP32")
    tensor.set_data_from_numpy(IMAGES, binary_data=binary)
    wanted = [RequestedOutput("probabilities", parameters={"binary_data": binary_out})]
    return InferRequest(model_name=DIGITS, infer_inputs=[tensor], request_id="mine", request_outputs=wanted)


def texts_request(*, binary: bool) -> Any:
    age = InferInput("age", [2, 1], "FP32")
    age.set_data_from_numpy(np.array([[30], [60]], np.float32), binary_data=binary)
    city = InferInput("city", [2, 1], "BYTES")
    city.set_data_from_numpy(np.array([[b"Rome"], [b"Oslo"]], dtype=object), binary_data=binary)
    return InferRequest(model_name=CUSTOMERS, infer_inputs=[age, city])


async def infer(client: Any, request: Any, model: str = DIGITS) -> dict[str, Any]:
    answer = await client.infer(URL, request, model_name=model, headers=dict(HEADERS))
    return {
        "model_name": answer.model_name,
        "id": answer.id,
        "probabilities": answer.outputs[0].as_numpy().tolist(),
    }


async def error_of(call: Awaitable[Any]) -> dict[str, Any] | None:
    try:
        await call
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "message": str(error)}
    return None


async def main() -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        said = {
            "live": await client.is_server_live(URL, headers=HEADERS),
            "ready": await client.is_server_ready(URL, headers=HEADERS),
            "model_ready": await client.is_model_ready(URL, DIGITS, headers=HEADERS),
            "unknown_ready": await client.is_model_ready(URL, "nobody", headers=HEADERS),
            "json": await infer(client, image_request(binary=False, binary_out=False)),
            "binary": await infer(client, image_request(binary=True, binary_out=True)),
            "texts_json": await infer(client, texts_request(binary=False), CUSTOMERS),
            "texts_binary": await infer(client, texts_request(binary=True), CUSTOMERS),
            "unknown_model": await error_of(infer(client, image_request(binary=True, binary_out=True), "nobody")),
            "no_token": await error_of(
                client.infer(URL, image_request(binary=True, binary_out=True), model_name=DIGITS)
            ),
        }
    print(json.dumps(said))


asyncio.run(main())
