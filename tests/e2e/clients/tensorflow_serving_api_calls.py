"""What a user of tensorflow-serving-api does: its stubs with Predict, GetModelStatus, GetModelMetadata.

Arguments: address, token, model. Prints one JSON object.
"""

import json
import sys
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (  # type: ignore[import-not-found]
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

address, token, model = sys.argv[1:]
metadata = [("authorization", f"Bearer {token}")]
channel = grpc.insecure_channel(address)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)
images = np.linspace(0, 255, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)


def predict_request(**spec: Any) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.get("name", model)
    request.model_spec.signature_name = "serving_default"
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(images))
    return request


def refusal(request: Any, **options: Any) -> str:
    try:
        predictions.Predict(request, **{"timeout": 10, "metadata": metadata, **options})
    except grpc.RpcError as error:
        return str(error.code().name)
    return "answered"


answer = predictions.Predict(predict_request(), 10, metadata=metadata)
named = predictions.Predict(predict_request(version=1), 10, metadata=metadata)
typed = predict_request()
typed.inputs["image"].ClearField("tensor_content")
typed.inputs["image"].float_val.extend(images.ravel().tolist())
about = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
about.model_spec.name = model
told = predictions.GetModelMetadata(about, 10, metadata=metadata)
signatures = get_model_metadata_pb2.SignatureDefMap()
told.metadata["signature_def"].Unpack(signatures)
definition = signatures.signature_def["serving_default"]
asked = get_model_status_pb2.GetModelStatusRequest()
asked.model_spec.name = model
classify = classification_pb2.ClassificationRequest()
classify.model_spec.name = model
for image in images:
    values = tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel()))
    classify.input.example_list.examples.append(tf.train.Example(features=tf.train.Features(feature={"image": values})))
classes = predictions.Classify(classify, 10, metadata=metadata).result.classifications
status = models.GetModelStatus(asked, 10, metadata=metadata)
print(
    json.dumps(
        {
            "outputs": tf.make_ndarray(answer.outputs["probabilities"]).tolist(),
            "float_val": len(answer.outputs["probabilities"].float_val),
            "version": answer.model_spec.version.value,
            "named": tf.make_ndarray(named.outputs["probabilities"]).tolist(),
            "typed": list(predictions.Predict(typed, 10, metadata=metadata).outputs["probabilities"].float_val),
            "classes": [[c.score for c in row.classes] for row in classes],
            "input": [definition.inputs["image"].dtype, [d.size for d in definition.inputs["image"].tensor_shape.dim]],
            "method": definition.method_name,
            "states": [[s.version, s.state, s.status.error_code] for s in status.model_version_status],
            "no_token": refusal(predict_request(), metadata=[]),
            "unknown_model": refusal(predict_request(name="none")),
            "unknown_version": refusal(predict_request(version=99)),
        }
    )
)
