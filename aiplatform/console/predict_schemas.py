"""What the predict protocols' bodies look like, in OpenAPI's words."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_OBJECT = {"type": "object", "additionalProperties": True}
_INTEGERS = {"type": "array", "items": {"type": "integer"}}
_VALUE = {
    "description": 'A number, text, `{"b64": "..."}`, or nested arrays of such values; null stands for NaN',
}
_FEATURES = {"type": "object", "additionalProperties": _VALUE, "example": {"age": 33, "purpose": ["radio/tv"]}}
_DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
]
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": _TEXT,
        "shape": _INTEGERS,
        "datatype": {"type": "string", "enum": [*_DATATYPES, "BYTES"], "example": "FP32"},
        "data": {"type": "array", "items": {}, "description": "Flat or nested, in row-major order"},
        "parameters": {
            "type": "object",
            "additionalProperties": True,
            "properties": {
                "binary_data_size": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "In place of `data`: its bytes follow the JSON",
                },
            },
        },
    },
}

_PAIR = {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "number"}]}, "minItems": 2, "maxItems": 2}
_VERSION_STATUS = {
    "type": "object",
    "required": ["version", "state", "status"],
    "properties": {
        "version": {"type": "string", "description": "The number, as text"},
        "state": {"type": "string", "enum": ["LOADING", "AVAILABLE", "UNLOADING", "END"]},
        "status": {
            "type": "object",
            "required": ["error_code", "error_message"],
            "properties": {"error_code": _TEXT, "error_message": _TEXT},
        },
    },
}

_WANTED = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": _TEXT,
        "parameters": {
            "type": "object",
            "additionalProperties": True,
            "properties": {
                "binary_data": {"type": "boolean"},
                "classification": {"type": "integer", "minimum": 0, "description": "How many of the best classes"},
            },
        },
    },
}
_METADATA_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {"name": _TEXT, "datatype": _TEXT, "shape": _INTEGERS},
}
_INDEX_ITEM = {
    "type": "object",
    "required": ["name", "version", "state", "reason"],
    "properties": {
        "name": _TEXT,
        "version": _TEXT,
        "state": {"type": "string", "enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]},
        "reason": _TEXT,
    },
}

PREDICT_SCHEMAS: dict[str, Any] = {
    "V1PredictRequest": {
        "type": "object",
        "description": "Rows (`instances`) or columns (`inputs`), never both. Bytes travel as `{\"b64\": \"...\"}`.",
        "properties": {
            "instances": {"type": "array", "items": _VALUE, "minItems": 1, "description": "One entry a row"},
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
    "V1ExamplesRequest": {
        "type": "object",
        "description": "Rows as Examples: features by name, each a value or a flat list of a row's values.",
        "required": ["examples"],
        "properties": {
            "examples": {"type": "array", "items": _FEATURES, "minItems": 1},
            "context": {**_FEATURES, "description": "Features of every example"},
            "signature_name": {"type": "string", "default": "serving_default"},
        },
    },
    "V1ClassifyResponse": {
        "type": "object",
        "description": "For each example the pairs of label and score, in the order of the classes.",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"type": "array", "items": _PAIR}}},
    },
    "V1RegressResponse": {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"type": "number"}, "description": "One an example"}},
    },
    "V1Status": {
        "type": "object",
        "required": ["model_version_status"],
        "properties": {"model_version_status": {"type": "array", "items": _VERSION_STATUS}},
    },
    "V1Metadata": {
        "type": "object",
        "required": ["model_spec", "metadata"],
        "properties": {
            "model_spec": {
                "type": "object",
                "required": ["name", "signature_name", "version"],
                "properties": {"name": _TEXT, "signature_name": _TEXT, "version": _TEXT},
            },
            "metadata": {"type": "object", "required": ["signature_def"], "properties": {"signature_def": _OBJECT}},
        },
    },
    "V2Tensor": _TENSOR,
    "V2Server": {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
    },
    "V2Metadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": _METADATA_TENSOR},
            "outputs": {"type": "array", "items": _METADATA_TENSOR},
        },
    },
    "V2Live": {"type": "object", "required": ["live"], "properties": {"live": {"type": "boolean"}}},
    "V2Ready": {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}, "name": _TEXT}},
    "V2Config": {
        "type": "object",
        "required": ["name", "platform", "max_batch_size", "input", "output"],
        "additionalProperties": True,
    },
    "V2Statistics": {
        "type": "object",
        "required": ["model_stats"],
        "properties": {"model_stats": {"type": "array", "items": _OBJECT}},
    },
    "V2IndexRequest": {"type": "object", "properties": {"ready": {"type": "boolean", "default": False}}},
    "V2Index": {"type": "array", "items": _INDEX_ITEM},
    "V2InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _TEXT,
            "parameters": _OBJECT,
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/V2Tensor"}},
            "outputs": {"type": "array", "items": _WANTED},
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
