"""What a PyTorch file really holds, found without loading it: pickles and code in disguise are refused.

`torch.export.load` unpickles some members, evaluates the program's shape expressions and guards as
Python, and looks operators up by name; compiled packages hold machine code. Each is checked here.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiplatform.archives import open_archive
from aiplatform.errors import InvalidInputError

EXPORT_ADVICE = "export it with torch.export.save(torch.export.export(model, inputs), 'model.pt2')"
_OPERATOR = re.compile(
    r"torch\.ops\.(?!load_library\b|import_module\b|__)\w+(\.(?!__)\w+)+|(_operator|math)\.[a-z]\w*|torch\._?sym_\w+"
)
_UNPICKLED = ("custom_obj_", "opaque_obj_")
_METHODS = {"size", "stride", "storage_offset", "dim", "shape"}
_FUNCTION = re.compile(r"[A-Z]\w*|floor|ceiling")
_STRING = re.compile(r"[\w. -]*")
_NODES = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Load,
    ast.Constant, ast.Attribute, ast.Subscript, ast.Tuple, ast.List,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_LONGEST_EXPRESSION = 10_000


def check_script(path: Path) -> None:
    """Raise InvalidInputError unless a file is a TorchScript archive: its code is TorchScript, not Python."""
    _refuse_bare_pickle(path)
    with open_archive(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if "archive_format" in names:
        raise InvalidInputError(f"'{path.name}' is an exported program; import it with --format torch_export")
    if "constants.pkl" not in names or not any(name.startswith("code/") for name in names):
        raise InvalidInputError(
            f"'{path.name}' is a pickle (torch.save), which would run code when it is loaded; "
            f"{EXPORT_ADVICE}, or torch.jit.save"
        )


def check_program(path: Path) -> None:
    """Raise InvalidInputError unless a file is an exported program of plain operators and shapes."""
    _refuse_bare_pickle(path)
    with open_archive(path) as archive:
        names = archive.namelist()
        inner = [name.partition("/")[2] for name in names]
        if "archive_format" not in inner:
            raise InvalidInputError(f"'{path.name}' is no exported program; {EXPORT_ADVICE}")
        if any("aotinductor" in name or name.endswith((".so", ".o")) for name in inner):
            raise InvalidInputError(f"'{path.name}' holds compiled machine code and is not loaded; {EXPORT_ADVICE}")
        for name in names:
            if name.endswith(".json"):
                _check_document(path, archive, name)


def _check_document(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    for key, value in _pairs(json.loads(archive.read(name))):
        if key == "path_name" and str(value).startswith(_UNPICKLED):
            raise InvalidInputError(f"'{path.name}' holds a pickled object ({value}) and is not loaded")
        if key == "target" and isinstance(value, str) and not _OPERATOR.fullmatch(value):
            raise InvalidInputError(f"'{path.name}' calls '{value[:100]}', which is no operator, and is not loaded")
        texts = [value] if key == "expr_str" else value if key == "guards_code" else []
        for text in texts if isinstance(texts, list) else [texts]:
            if not is_arithmetic(text):
                raise InvalidInputError(
                    f"'{path.name}' has code where a shape should be ({str(text)[:100]!r}) and is not loaded"
                )


def is_arithmetic(text: object) -> bool:
    """Say whether a text that PyTorch will evaluate can only compute sizes."""
    if not isinstance(text, str) or len(text) > _LONGEST_EXPRESSION:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(node) for node in ast.walk(tree))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        return isinstance(node.func, ast.Attribute) or bool(_FUNCTION.fullmatch(name))
    if isinstance(node, ast.Attribute):
        return node.attr in _METHODS
    if isinstance(node, ast.Name):
        return not node.id.startswith("_")
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_STRING.fullmatch(node.value))
    return isinstance(node, _NODES)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, at any depth."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield from found.items()
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _refuse_bare_pickle(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80":
        raise InvalidInputError(
            f"'{path.name}' is a pickle, which would run code when it is loaded; {EXPORT_ADVICE}, or torch.jit.save"
        )
