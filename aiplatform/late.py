"""Modules that are loaded when something of them is first used.

Some libraries take a tenth of a second and tens of megabytes each, and most processes that know of them never use
them: a command that lists runs reads no Parquet file. A module says so in the place of its import:

    if TYPE_CHECKING:
        import pyarrow as pa
    else:
        pa = late_module("pyarrow")
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class LateModule(ModuleType):
    """Stands for a module; the first attribute that is asked for loads it.

    Attributes are asked of the module each time, so that one that is replaced there is replaced here.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def late_module(name: str) -> Any:
    """Return a module, by its full name, that is loaded when it is used."""
    return LateModule(name)


def load_tensorflow() -> Any:
    """Return TensorFlow, imported, and not JAX with it.

    Where JAX is installed TensorFlow imports it for a converter that nothing here uses, which takes as long as all the
    rest. JAX can be imported as ever afterwards.
    """
    is_left_out = "jax" not in sys.modules
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: it cannot be imported
    if is_left_out:
        modules["jax"] = None
    try:
        return importlib.import_module("tensorflow")
    finally:
        if is_left_out:
            del modules["jax"]
