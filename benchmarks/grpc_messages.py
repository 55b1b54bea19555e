"""The messages of inference.proto, compiled when they are first needed."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROTO = Path(__file__).with_name("inference.proto")
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@functools.cache
def messages() -> dict[str, Any]:
    """Return the message classes by their names."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "descriptors")
        # In a process of its own: beside TensorFlow's and ONNX's protobuf the compiler's ends the process.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={written}"]
        subprocess.run([*command, str(PROTO)], check=True)
        found = descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes())
    pool = descriptor_pool.DescriptorPool()  # of its own: the platform registers the same names
    pool.Add(found.file[0])
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in ("ModelInferRequest", "ModelInferResponse")
    }
