"""Work on a model file in a process of its own: whatever the file does to it, the command goes on.

Parent and child share one folder: the parent writes `order.json`, the child `result.json` or
`error.json`. The child is a fresh interpreter in a session of its own, with a limit of memory and
of time, and is the first to go when memory runs out. Nothing here imports Django.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from aiplatform.errors import ERRORS_BY_CODE, InvalidInputError, PlatformError, UnavailableError, error_from_payload
from training.processes import prefer_for_oom_kill

ORDER, RESULT, ERROR, LOG = "order.json", "result.json", "error.json", "log.txt"
PROJECT = Path(__file__).resolve().parents[1]
_MIB = 2**20
_LAST_BYTES = 4000
# What a process that reads a stranger's file gets of the environment: no secret, no address.
_PLAIN = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV")

Order = TypeVar("Order")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class ChildLimits:
    """`memory_mib` 0: none. The names are those of the settings, for messages."""

    timeout_s: float
    memory_mib: int
    timeout_setting: str = "MODEL_WORK_TIMEOUT_S"
    memory_setting: str = "MODEL_WORK_MEMORY_MB"


def run_child(
    module: str,
    order: Any,
    result_type: type[Result],
    *,
    folder: Path,
    limits: ChildLimits,
    keep_environment: bool = False,
) -> Result:
    """Have a module's process do an order in `folder`, and return its result.

    `keep_environment`: for work on our own artifacts that needs a store's credentials.
    Raises: PlatformError as the child raised it; InvalidInputError if the child died;
    UnavailableError if it took too long.
    """
    (folder / ORDER).write_bytes(msgspec.json.encode(order))
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), str(limits.memory_mib)],
            cwd=PROJECT,
            env=_environment(dict(os.environ), keep=keep_environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(limits.timeout_s)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"the process was ended after {limits.timeout_s:g} s ({limits.timeout_setting}); nothing was changed"
        ) from error
    finally:
        _end(process)  # also when Ctrl-C interrupts the wait
    return _read_answer(folder, code, result_type, limits)


def answer(arguments: Sequence[str], order_type: type[Order], work: Callable[[Order, Path], Any]) -> NoReturn:
    """Do the order of a folder and end this process; called by the child's module with its arguments."""
    folder = Path(arguments[0])
    prefer_for_oom_kill()
    _limit_memory(int(arguments[1]))
    try:
        order = msgspec.json.decode((folder / ORDER).read_bytes(), type=order_type)
        result = work(order, folder)
        _write(folder / RESULT, msgspec.json.encode(result))
        code = 0
    except PlatformError as error:
        _write(folder / ERROR, msgspec.json.encode(error.payload()))
        code = 1
    except MemoryError:
        _write(folder / ERROR, msgspec.json.encode({"code": "out_of_memory", "error": ""}))
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a framework's threads must not hold up a process whose work is done


def last_line(folder: Path) -> str:
    """Return the last line that a child wrote."""
    raw = (folder / LOG).read_bytes()[-_LAST_BYTES:] if (folder / LOG).exists() else b""
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _environment(inherited: Mapping[str, str], *, keep: bool) -> dict[str, str]:
    chosen = {k: v for k, v in inherited.items() if k != "PROMETHEUS_MULTIPROC_DIR" and (keep or k in _PLAIN)}
    return {**chosen, "TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}


def _limit_memory(mib: int) -> None:
    """Bound what this process may allocate; set here and not in the parent, which may hold a framework."""
    if mib > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (mib * _MIB, mib * _MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a child that still runs, with whatever it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read_answer(folder: Path, code: int, result_type: type[Result], limits: ChildLimits) -> Result:
    try:
        if (folder / RESULT).exists():
            return msgspec.json.decode((folder / RESULT).read_bytes(), type=result_type)
        payload = msgspec.json.decode((folder / ERROR).read_bytes()) if (folder / ERROR).exists() else {}
    except msgspec.MsgspecError as error:
        raise InvalidInputError(f"the process left an answer that cannot be read: {error}") from error
    if payload.get("code") == "out_of_memory" or code == -signal.SIGKILL:
        raise InvalidInputError(
            f"the model needs more memory than its process may take: {limits.memory_mib} MiB "
            f"({limits.memory_setting}), "
            "or than the machine has"
        )
    if str(payload.get("code", "")) in ERRORS_BY_CODE:
        raise error_from_payload(400, payload)
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    raise InvalidInputError(
        f"the process that read the model ended with {how}; the file is broken. {last_line(folder)}"
    )


def _write(path: Path, raw: bytes) -> None:
    staged = path.with_suffix(".part")
    staged.write_bytes(raw)
    staged.rename(path)
