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
        examples = _json(_schema("V1ExamplesRequest"))
        classes, numbers = _schema("V1ClassifyResponse"), _schema("V1RegressResponse")
        classify = _operation(_V1, f"v1_classify{name}", "Label and score of every class", classes, examples)
        regress = _operation(_V1, f"v1_regress{name}", "One number an example", numbers, examples)
        status = _operation(_V1, f"v1_status{name}", "State of the versions", _schema("V1Status"))
        metadata = _operation(_V1, f"v1_metadata{name}", "Inputs and outputs", _schema("V1Metadata"))
        paths[f"{path}:predict"] = {"post": _operation(_V1, f"v1_predict{name}", summary, answer, body)}
        paths[f"{path}:classify"] = {"post": classify}
        paths[f"{path}:regress"] = {"post": regress}
        paths[path] = {"get": status}
        paths[f"{path}/metadata"] = {"get": metadata}
    return paths


def _v2_paths() -> dict[str, Any]:
    def ask(name: str, summary: str, answer: str) -> dict[str, Any]:
        return {"get": _operation(_V2, name, summary, _schema(answer))}

    index = _operation(
        _V2, "v2_index", "Versions and their states", _schema("V2Index"), _json(_schema("V2IndexRequest"))
    )
    index["requestBody"]["required"] = False
    index["parameters"] = []
    del index["responses"]["200"]["headers"]
    paths: dict[str, Any] = {
        "/v2": ask("v2_server", "The server and its extensions", "V2Server"),
        "/v2/health/live": ask("v2_live", "Is the server alive?", "V2Live"),
        "/v2/health/ready": ask("v2_ready", "Can the server predict?", "V2Ready"),
        "/v2/models/stats": ask("v2_statistics", "Counts of all versions, in this process", "V2Statistics"),
        REPOSITORY_INDEX_PATH: {"post": index},
    }
    for name, place in (("", ""), ("_version", "/versions/{version}")):
        path = f"/v2/models/{{model}}{place}"
        paths[path] = ask(f"v2_metadata{name}", "Inputs and outputs", "V2Metadata")
        paths[f"{path}/ready"] = ask(f"v2_model_ready{name}", "Is the model loaded?", "V2Ready")
        paths[f"{path}/config"] = ask(f"v2_config{name}", "The configuration in Triton's words", "V2Config")
        paths[f"{path}/stats"] = ask(f"v2_model_statistics{name}", "Counts, in this process", "V2Statistics")
        paths[f"{path}/infer"] = {"post": _infer(f"v2_infer{name}")}
    return paths


def _infer(name: str) -> dict[str, Any]:
    raw = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    body = {**_json(_schema("V2InferRequest")), **raw}
    operation = _operation(
        _V2, name, "Predict (JSON; or JSON and the tensors' bytes)", _schema("V2InferResponse"), body
    )
    text = "How many bytes of the body are JSON; 0: none, the body is the one input's bytes"
    operation["parameters"].append(_header("Inference-Header-Content-Length", "integer", text))
    operation["responses"]["200"]["content"].update(raw)
    return operation


def _with_parameters(paths: dict[str, Any]) -> dict[str, Any]:
    for path, operations in paths.items():
        for operation in operations.values():
            operation["parameters"] = [*_path_parameters(path), *operation.get("parameters", [])]
    return paths


PREDICT_PATHS: dict[str, Any] = _with_parameters({**_v1_paths(), **_v2_paths()})
