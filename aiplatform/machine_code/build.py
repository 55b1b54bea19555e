"""Compiles the modules with mypyc, in a folder of its own, and puts the whole in place at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from aiplatform.machine_code.loader import MANIFEST, ROOT, digest_of, source_of
from aiplatform.machine_code.modules import MODULES

GROUP = "aiplatform_machine_code"
LOG_LINES = 30  # of what the compiler said, in the error


class BuildError(Exception):
    """What is missing, or what the compiler said."""


def build(target: Path, *, modules: Sequence[str] = MODULES, root: Path = ROOT) -> None:
    """Compile modules below `root` into `target`, replacing what is there.

    Raises: BuildError; then what was there stays.
    """
    if find_spec("mypyc") is None:
        raise BuildError("mypyc is not installed: pip install -r requirements-dev.txt")
    digests = {name: digest_of(source_of(name, root)) for name in modules}
    with tempfile.TemporaryDirectory(prefix="machine-code-") as folder:
        made = Path(folder, "made")
        _compile([source_of(name, root) for name in modules], root, Path(folder), made)
        files = {
            _module_name(file, made): {"path": str(file.relative_to(made)), "size_bytes": file.stat().st_size}
            for file in sorted(made.rglob("*.so"))
        }
        missing = set(modules) - set(files)
        if missing:
            raise BuildError(f"mypyc made no module of {', '.join(sorted(missing))}")
        manifest = {"suffix": EXTENSION_SUFFIXES[0], "sources": digests, "files": files}
        Path(made, MANIFEST).write_text(json.dumps(manifest, indent=1))
        beside = target.with_name(f"{target.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(made, beside)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def _compile(sources: Sequence[Path], root: Path, folder: Path, made: Path) -> None:
    """Run the compilers in a process of their own: they write into the current folder's caches, and say much."""
    script = Path(__file__).with_name("compile_modules.py")
    words = [sys.executable, str(script), GROUP, str(folder / "work"), str(made)]
    done = subprocess.run(
        [*words, *[str(source.relative_to(root)) for source in sources]],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-LOG_LINES:])
        raise BuildError(f"the modules were not compiled:\n{said}")


def _module_name(file: Path, made: Path) -> str:
    return ".".join(file.relative_to(made).with_name(file.name.removesuffix(EXTENSION_SUFFIXES[0])).parts)
