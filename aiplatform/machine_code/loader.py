"""Finds compiled modules before Python finds their sources.

All or nothing: compiled classes know each other's layout, so one source that has changed since turns all of it off,
and so does one that was imported before. The settings call `install`, before they import anything that is compiled.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = Path(__file__).resolve().parent / "built"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class MachineCode:
    """What was built, and why it is not used; `problem` is empty if it is. `is_built` says whether there is any."""

    problem: str
    files: Mapping[str, Path]
    is_built: bool = True

    @property
    def is_used(self) -> bool:
        """Say whether this process runs it."""
        return not self.problem


class CompiledFinder(MetaPathFinder):
    """Finds the compiled modules by name."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a compiled module is, None for any other."""
        file = self._files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))


def install(built: Path = BUILT, root: Path = ROOT) -> MachineCode:
    """Have Python find the compiled modules, if there are any that may be used."""
    found = look(built, root)
    early = sorted(found.files.keys() & sys.modules.keys())
    if early:
        return MachineCode(f"{early[0]} was imported before the settings", {})
    if found.is_used:
        sys.meta_path.insert(0, CompiledFinder(found.files))
    return found


def look(built: Path = BUILT, root: Path = ROOT) -> MachineCode:
    """Return what was built into a folder, and whether it fits this Python and the sources below `root`."""
    try:
        manifest = json.loads((built / MANIFEST).read_text())
        suffix, sources = manifest["suffix"], manifest["sources"].items()
        files = {name: (built / file["path"], file["size_bytes"]) for name, file in manifest["files"].items()}
    except FileNotFoundError:
        return MachineCode("not built", {}, is_built=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return MachineCode(f"{built / MANIFEST} cannot be read: {error!r}", {})
    if suffix != EXTENSION_SUFFIXES[0]:
        return MachineCode(f"built for another Python: {suffix}, this one wants {EXTENSION_SUFFIXES[0]}", {})
    for name, digest in sources:
        source = source_of(name, root)
        if source.exists() and digest_of(source) != digest:  # an image holds some of the apps only
            return MachineCode(f"built from another {source.relative_to(root)}", {})
    for file, size_bytes in files.values():
        if not file.exists() or file.stat().st_size != size_bytes:
            return MachineCode(f"{file} is not the file that was built", {})
    return MachineCode("", {name: file for name, (file, _) in files.items()})


def source_of(name: str, root: Path) -> Path:
    """Return the source of a module."""
    return root.joinpath(*name.split(".")).with_suffix(".py")


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
