"""Machine code is used only while it is what the sources say; a real one is built of a small module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from aiplatform import checks
from aiplatform.machine_code import loader
from aiplatform.machine_code.build import BuildError, build
from aiplatform.machine_code.loader import MANIFEST, CompiledFinder, digest_of, look, source_of
from aiplatform.machine_code.modules import MODULES

SOURCE = """
class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self, rows: int) -> int:
        self.count += rows
        return self.count
"""
REPORT = """
import sys
from pathlib import Path
from aiplatform.machine_code.loader import install
found = install(Path(sys.argv[1]), Path(sys.argv[2]))
sys.path.insert(0, sys.argv[2])
from small import counting
counter = counting.Counter()
counter.add(2)
print(Path(counting.__file__).suffix, counter.add(3), found.problem)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one package of one module."""
    package = tmp_path / "root" / "small"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "counting.py").write_text(SOURCE)
    return package.parent


@pytest.fixture
def built(tmp_path: Path, root: Path) -> Path:
    """A folder as a build leaves it; the module itself is only named."""
    folder = tmp_path / "built"
    folder.mkdir()
    sources = {"small.counting": digest_of(source_of("small.counting", root)), "elsewhere.absent": "0" * 64}
    (folder / "small").mkdir()
    (folder / "small/counting.so").write_bytes(b"machine code")
    files = {"small.counting": {"path": "small/counting.so", "size_bytes": 12}}
    manifest = {"suffix": EXTENSION_SUFFIXES[0], "sources": sources, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_every_module_of_the_list_is_there_once() -> None:
    assert [name for name in MODULES if not source_of(name, loader.ROOT).exists()] == []
    assert sorted(set(MODULES)) == list(MODULES)


def test_it_is_used_while_the_sources_are_those_it_was_built_from(built: Path, root: Path) -> None:
    found = look(built, root)
    assert found.is_used and found.files == {"small.counting": built / "small/counting.so"}
    finder = CompiledFinder(found.files)
    spec = finder.find_spec("small.counting")
    assert spec is not None and spec.origin == str(built / "small/counting.so")
    assert finder.find_spec("small.other") is None
    source_of("small.counting", root).write_text(SOURCE + "\n")
    changed = look(built, root)
    assert (changed.is_used, changed.is_built) == (False, True)
    assert changed.problem == "built from another small/counting.py" and changed.files == {}


def test_what_was_imported_before_turns_it_off(built: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "small.counting", sys)
    before = list(sys.meta_path)
    found = loader.install(built, root)
    assert not found.is_used and found.problem == "small.counting was imported before the settings"
    assert sys.meta_path == before


@pytest.mark.parametrize(("word", "is_looked_for"), [("0", False), ("off", False), ("n", False), ("1", True)])
def test_it_can_be_turned_off(word: str, is_looked_for: bool) -> None:
    script = "from aiplatform import settings; print(settings.FOUND_MACHINE_CODE is not None)"
    env = {**os.environ, "MACHINE_CODE": word}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=loader.ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(is_looked_for)


def test_nothing_that_is_compiled_is_imported_before_the_settings_look_for_it() -> None:
    script = (
        "import sys; from aiplatform.machine_code import loader, modules; seen = []\n"
        "def note(*a): seen.extend(m for m in modules.MODULES if m in sys.modules); return loader.look()\n"
        "loader.install = note\n"
        "import aiplatform.gunicorn_conf; print(seen)"
    )
    env = {**os.environ, "MACHINE_CODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=loader.ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_where_none_was_built_nothing_is_missed(tmp_path: Path, root: Path) -> None:
    found = look(tmp_path / "nowhere", root)
    assert (found.is_used, found.is_built, found.problem) == (False, False, "not built")


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00"])
def test_a_broken_manifest_is_told_and_not_used(built: Path, root: Path, text: str) -> None:
    (built / MANIFEST).write_text(text)
    found = look(built, root)
    assert not found.is_used and found.is_built and "cannot be read" in found.problem


@pytest.mark.parametrize("content", [None, b"", b"machine co"])
def test_a_file_that_is_gone_or_cut_short_is_told_and_nothing_is_used(
    built: Path, root: Path, content: bytes | None
) -> None:
    file = built / "small/counting.so"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    found = look(built, root)
    assert not found.is_used and found.problem == f"{file} is not the file that was built"


def test_what_was_built_for_another_python_is_not_used(built: Path, root: Path) -> None:
    manifest = json.loads((built / MANIFEST).read_text()) | {"suffix": ".cpython-39-none.so"}
    (built / MANIFEST).write_text(json.dumps(manifest))
    assert "built for another Python: .cpython-39-none.so" in look(built, root).problem


def test_the_check_warns_of_what_is_not_what_the_sources_say(built: Path, root: Path, settings: Any) -> None:
    settings.FOUND_MACHINE_CODE = look(built, root)
    assert checks.check_machine_code(None) == []
    source_of("small.counting", root).write_text("")
    settings.FOUND_MACHINE_CODE = look(built, root)
    problems = checks.check_machine_code(None)
    assert [problem.id for problem in problems] == ["aiplatform.W002"]
    assert "small/counting.py" in problems[0].msg and "make machine-code" in str(problems[0].hint)
    settings.FOUND_MACHINE_CODE = look(built / "nowhere", root)
    assert checks.check_machine_code(None) == []
    settings.FOUND_MACHINE_CODE = None
    assert checks.check_machine_code(None) == []


def _run(built: Path, root: Path) -> str:
    words = [sys.executable, "-c", REPORT, str(built), str(root)]
    return subprocess.run(words, cwd=loader.ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.timeout(300)
def test_a_module_is_built_run_and_left_when_its_source_changes(tmp_path: Path, root: Path) -> None:
    compiler = str(sysconfig.get_config_var("CC") or "gcc").split()[0]
    if shutil.which(compiler) is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip(f"machine code needs a C compiler ({compiler}) and Python's headers")
    target = tmp_path / "made"
    build(target, modules=["small.counting"], root=root)
    assert _run(target, root) == ".so 5"
    source_of("small.counting", root).write_text(SOURCE.replace("+= rows", "+= 2 * rows"))
    assert _run(target, root) == ".py 10 built from another small/counting.py"
    source_of("small.counting", root).write_text("def f() -> int:\n    return 'no number'\n")
    with pytest.raises(BuildError, match="the modules were not compiled"):
        build(target, modules=["small.counting"], root=root)
    assert look(target, root).is_built, "what was there stays"
