"""Becomes the real Triton that the nvidia-pytriton wheel ships, with one model that doubles.

python triton_double.py PORT FOLDER      (run by the environment that has the wheel)
"""

import os
import shutil
import sys
from pathlib import Path

CONFIG = """
backend: "python"
max_batch_size: 64
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
# The backend's process looks into the base interpreter's packages; numpy must be the environment's.
MODEL = """
import sys
sys.path.insert(0, {site!r})
import numpy as np
import triton_python_backend_utils as triton

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = triton.get_input_tensor_by_name(request, "x").as_numpy()
        return triton.InferenceResponse([triton.Tensor("y", np.multiply(x, 2, dtype=np.float32))])
"""


def main(port: int, folder: Path) -> None:
    """Lay out a model repository and become the server."""
    from pytriton.utils.distribution import get_libs_path, get_root_module_path, get_stub_path  # type: ignore[import-not-found]

    version = folder / "repository" / "double" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL.format(site=str(get_root_module_path().parent)))
    (version.parent / "config.pbtxt").write_text(CONFIG)
    home = get_root_module_path() / "tritonserver"
    backend = shutil.copytree(home / "backends" / "python", folder / "backends" / "python")
    shutil.copy(get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}"), backend)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join([str(get_libs_path()), f"{sys.base_prefix}/lib"]),
        "PYTHONHOME": sys.base_prefix,
    }
    arguments = {
        "model-repository": folder / "repository",
        "backend-directory": folder / "backends",
        "http-address": "127.0.0.1",
        "http-port": port,
        "allow-grpc": "false",
        "allow-metrics": "false",
    }
    server = home / "bin" / "tritonserver"
    os.execve(server, [str(server), *(f"--{name}={value}" for name, value in arguments.items())], environment)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
