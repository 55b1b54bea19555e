"""The predict protocols in OpenAPI's words: TF Serving's REST API (V1) and Open Inference Protocol (V2)."""

from __future__ import annotations

from typing import Any

from aiplatform.contracts.predict import (
    DEADLINE_HEADER,
    MODEL_VERSION_HEADER,
    PREDICTION_ID_HEADER,
    REPOSITORY_INDEX_PATH,
)

TOKEN_SCHEME = "token"  # noqa: S105  (the scheme's name)
_V1, _V2 = "predict: TF Serving (V1)", "predict: Open Inference Protocol (V2)"
_TEXT = {"type": "string"}
_OBJECT = {"type": "object", "additionalProperties": True}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "description": "With `data`; or in binary form, `binary_data_size` in its parameters and bytes behind the JSON",
    "properties": {
        "name": _TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string", "example": "FP32"},
        "parameters": _OBJECT,
        "data": {"type": "array", "items": {}, "description": "Flat or nested, in row-major order"},
    },
}

PREDICT_SCHEMAS: dict[str, Any] = {
    "V1PredictRequest": {
        "type": "object",
        "description": "Rows (`instances`) or columns (`inputs`), never both. Bytes travel as `{\"b64\": \"...\"}`.",
        "properties": {
            "instances": {"type": "array", "items": {}, "description": "One entry a row"},
            "inputs": {"description": "One tensor, or an object of tensors by name"},
            "signature_name": {"type": "string", "default": "serving_default"},
        },
        "example": {"instances": [{"age": 33, "purpose": "radio/tv"}]},
    },
    "V1PredictResponse": {
        "type": "object",
        "description": "`predictions` answers `instances`, `outputs` answers `inputs`.",
        "properties": {"predictions": {"type": "array", "items": {}}, "outputs": {}},
    },
    "V2Tensor": _TENSOR,
    "V2InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _TEXT,
            "parameters": _OBJECT,
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/V2Tensor"}},
            "outputs": {"type": "array", "items": _OBJECT},
        },
    },
    "V2InferResponse": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": _OBJECT,
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/V2Tensor"}},
        },
    },
}  # fmt: skip


def _operation(
    tag: str, name: str, summary: str, answer: dict[str, Any], body: dict[str, Any] | None = None
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": [{TOKEN_SCHEME: []}],
        "responses": {"200": {"description": "OK", "content": _json(answer)}},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
        operation["parameters"] = [_header(DEADLINE_HEADER, "integer", "How long the caller waits, in milliseconds")]
        operation["responses"]["200"]["headers"] = {
            PREDICTION_ID_HEADER: {"schema": _TEXT, "description": "Name it in feedback"},
            MODEL_VERSION_HEADER: {"schema": _TEXT, "description": "The version that answered"},
        }
    return operation


def _header(name: str, kind: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": kind}, "description": text}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part.split("}")[0] for part in path.split("{")[1:]]
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _v1_paths() -> dict[str, Any]:
    image = {"type": "object", "properties": {"image": {"type": "string", "format": "binary"}}}
    body = {**_json(_schema("V1PredictRequest")), "multipart/form-data": {"schema": image}}
    paths = {}
    for name, place in (("", ""), ("_version", "/versions/{version}"), ("_label", "/labels/{label}")):
        path = f"/v1/models/{{model}}{place}"
        answer = _schema("V1PredictResponse")
        summary = "Predict (JSON; or a PNG or JPEG if the model takes images)"
        status = _operation(_V1, f"v1_status{name}", "State of the versions", _OBJECT)
        metadata = _operation(_V1, f"v1_metadata{name}", "Inputs and outputs", _OBJECT)
        paths[f"{path}:predict"] = {"post": _operation(_V1, f"v1_predict{name}", summary, answer, body)}
        paths[path] = {"get": status}
        paths[f"{path}/metadata"] = {"get": metadata}
    return paths


def _v2_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {
        "/v2": {"get": _operation(_V2, "v2_server", "The server and its extensions", _OBJECT)},
        "/v2/health/live": {"get": _operation(_V2, "v2_live", "Is the server alive?", _OBJECT)},
        "/v2/health/ready": {"get": _operation(_V2, "v2_ready", "Can the server predict?", _OBJECT)},
    }
    paths["/v2/models/stats"] = {"get": _operation(_V2, "v2_statistics", "What each version has answered", _OBJECT)}
    index = _operation(_V2, "v2_index", "Every version with its state", {"type": "array", "items": _OBJECT})
    index["requestBody"] = {"required": False, "content": _json(_OBJECT)}
    paths[REPOSITORY_INDEX_PATH] = {"post": index}
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    body = {**_json(_schema("V2InferRequest")), **binary}
    for name, place in (("", ""), ("_version", "/versions/{version}")):
        path = f"/v2/models/{{model}}{place}"
        answer = _schema("V2InferResponse")
        paths[path] = {"get": _operation(_V2, f"v2_metadata{name}", "Inputs and outputs", _OBJECT)}
        paths[f"{path}/ready"] = {"get": _operation(_V2, f"v2_model_ready{name}", "Is the model loaded?", _OBJECT)}
        paths[f"{path}/config"] = {"get": _operation(_V2, f"v2_config{name}", "Configuration", _OBJECT)}
        counts = _operation(_V2, f"v2_statistics_of_model{name}", "What the model has answered", _OBJECT)
        paths[f"{path}/stats"] = {"get": counts}
        infer = _operation(_V2, f"v2_infer{name}", "Predict, with JSON tensors or binary ones", answer, body)
        infer["parameters"].append(_header("Inference-Header-Content-Length", "integer", "Bytes of the JSON part"))
        infer["responses"]["200"]["content"].update(binary)
        paths[f"{path}/infer"] = {"post": infer}
    return paths


def _with_parameters(paths: dict[str, Any]) -> dict[str, Any]:
    for path, operations in paths.items():
        for operation in operations.values():
            operation["parameters"] = [*_path_parameters(path), *operation.get("parameters", [])]
    return paths


PREDICT_PATHS: dict[str, Any] = _with_parameters({**_v1_paths(), **_v2_paths()})
