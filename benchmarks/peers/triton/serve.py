"""Triton: lays out a model repository and becomes the server that the nvidia-pytriton wheel ships."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import engine
from pytriton.utils.distribution import get_libs_path, get_root_module_path, get_stub_path

HERE = Path(__file__).parent

if __name__ == "__main__":
    scratch = Path(os.environ["BENCH_SCRATCH"], "triton")
    model = scratch / "repository" / engine.NAME
    (model / "1").mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "config.pbtxt", model)
    shutil.copy(HERE / "model.py", model / "1")
    shutil.copy(engine.__file__, model / "1")
    home = get_root_module_path() / "tritonserver"
    backend = shutil.copytree(home / "backends" / "python", scratch / "backends" / "python", dirs_exist_ok=True)
    shutil.copy(get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}"), backend)
    site = get_root_module_path().parent
    environ = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join([str(get_libs_path()), f"{sys.base_prefix}/lib"]),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent / "common"), str(site)]),
        "PYTHONHOME": sys.base_prefix,
    }
    server = home / "bin" / "tritonserver"
    arguments = {
        "model-repository": scratch / "repository",
        "backend-directory": scratch / "backends",
        "http-address": "127.0.0.1",
        "http-port": engine.HTTP_PORT,
        "grpc-address": "127.0.0.1",
        "grpc-port": engine.GRPC_PORT,
        "allow-metrics": "false",
        "log-info": "false",
    }
    os.execve(server, [str(server), *(f"--{name}={value}" for name, value in arguments.items())], environ)
