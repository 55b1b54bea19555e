"""Runs mypyc and the C compiler: `compile_modules.py GROUP WORK_FOLDER RESULT_FOLDER SOURCE...`."""

from __future__ import annotations

import sys
from pathlib import Path


def main(group: str, work: Path, result: Path, sources: list[str]) -> None:
    """Compile sources, named from the current folder, into extension modules below `result`."""
    from mypyc.build import mypycify
    from setuptools import setup

    words = ["--config-file", str(Path(__file__).with_name("mypy.ini")), *sources]
    extensions = mypycify(words, group_name=group, target_dir=str(work / "c"), opt_level="2", debug_level="0")
    for extension in extensions:
        # A warning of a compiler that mypyc was not tried with is no reason to have no machine code.
        extension.extra_compile_args = [word for word in extension.extra_compile_args if word != "-Werror"]
    folders = ["--build-lib", str(result), "--build-temp", str(work / "objects")]
    setup(name=group, packages=[], py_modules=[], ext_modules=extensions, script_args=["build_ext", *folders])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
