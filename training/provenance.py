"""What else a result depends on: the commit of the code and the versions of the packages."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "django", "numpy", "scikit-learn", "pandas", "pyarrow", "pillow", "datasketches",
    "keras", "tensorflow", "tensorflow-cpu", "torch", "jax", "jaxlib", "onnx", "onnxruntime", "ai-edge-litert",
)  # fmt: skip
_GIT_TIMEOUT_S = 5


def code_commit(folder: Path, *, known: str = "") -> str:
    """Return the commit that is checked out in a folder, with '-dirty' if files differ from it.

    `known` is taken as it is (images have no .git). Empty if there is no git, or no repository.
    """
    if known:
        return known
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return ""
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that bear on a result, of those that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
