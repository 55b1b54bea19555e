"""Says in one line why a training failed, and what to do; the traceback comes after it.

Frameworks raise classes of their own, which are known by name here, without importing them.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiplatform.errors import PlatformError
from training.launchers.base import ProcessEnd
from training.processes import LOST_EXIT_CODE
from training.states import ExitClass

_MEMORY_ERRORS = {"MemoryError", "ResourceExhaustedError", "OutOfMemoryError", "ArrayMemoryError", "_ArrayMemoryError"}
_MEMORY_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "RESOURCE_EXHAUSTED",
)
# Lines with which TensorFlow begins what it has to say, and which say nothing.
_HEADERS = ("Graph execution error", "Detected at node", "<stack traces", "File ", "Traceback", "[[{{")
_LINE_LENGTH = 400
_NEARLY_FULL = 0.9
_GIB, _MIB = 2**30, 2**20
READING = "preparing"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a training was: its phase, epoch and step (0: not begun), parameters, and memory."""

    phase: str = ""
    epoch: int = 0
    step: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    memory_bytes: int = 0
    peak_bytes: int = 0
    limit_bytes: int | None = None
    gpu_peak_bytes: int | None = None


def explain_error(error: BaseException, moment: Moment) -> tuple[ExitClass, str]:
    """Return the exit class of what a recipe raised, and one line that says what happened and what to do."""
    name, line = type(error).__name__, telling_line(str(error))
    if name in _MEMORY_ERRORS or any(words in str(error) for words in _MEMORY_WORDS):
        return ExitClass.OUT_OF_MEMORY, f"{memory_sentence(moment)} ({name}: {line})" if line else (
            f"{memory_sentence(moment)} ({name})"
        )
    if isinstance(error, PlatformError):
        return ExitClass.FAILED, error.message
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return ExitClass.FAILED, (
            f"module '{error.name}' is not installed where the run trains; "
            f"install the package that has '{module}' there"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" at {error.filename}" if error.filename else ""
        return (
            ExitClass.FAILED,
            f"the disk is full{where}; make room, then resume the run: it goes on from its checkpoint",
        )
    what = f"{name}: {line}" if line else name
    return ExitClass.FAILED, f"{what}{_place(moment)}"


def explain_end(end: ProcessEnd, moment: Moment, *, is_starting: bool) -> tuple[ExitClass, str]:
    """Return the exit class of a process that is gone without a word, and one line."""
    if end.limit_bytes:
        own = replace(moment, peak_bytes=end.peak_bytes, limit_bytes=end.limit_bytes, gpu_peak_bytes=None)
        return ExitClass.OUT_OF_MEMORY, own_limit_sentence(own)
    if end.is_out_of_memory:
        return ExitClass.OUT_OF_MEMORY, f"{memory_sentence(moment)} (the system killed the training process)"
    how = _describe_exit_code(end.exit_code)
    if is_starting and end.exit_code is not None and end.exit_code > 0:
        return ExitClass.FAILED, f"the training process did not come up ({how}); its log says why"
    return ExitClass.LOST, f"the training process is gone ({how}){_hint(end.exit_code, moment)}"


def memory_sentence(moment: Moment) -> str:
    """Return that memory ran out, how much was taken of how much, and what to lower."""
    if moment.gpu_peak_bytes:
        taken = f"at its peak the run held {size_text(moment.gpu_peak_bytes)} on the GPU"
    elif moment.peak_bytes:
        of_all = f" of {size_text(moment.limit_bytes)}" if moment.limit_bytes else ""
        taken = f"at its peak the run held {size_text(moment.peak_bytes)}{of_all}"
    else:
        taken = "how much the run held was not measured"
    return f"out of memory{_place(moment)}: {taken}; {_what_to_lower(moment)}"


def own_limit_sentence(moment: Moment) -> str:
    """Return the same of a run that went over what it had asked for itself."""
    return f"{memory_sentence(moment)}, or a greater --memory when it is resumed: it was ended at its own limit"


def telling_line(text: str) -> str:
    """Return the first line of an error's text that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_HEADERS)]
    return ((telling or lines or [""])[0])[:_LINE_LENGTH]


def size_text(size_bytes: float) -> str:
    """Return a size in GiB or MiB."""
    return f"{size_bytes / _GIB:.1f} GiB" if size_bytes >= _GIB else f"{size_bytes / _MIB:.0f} MiB"


def _what_to_lower(moment: Moment) -> str:
    if moment.phase == READING:
        return "it was reading the data: train on fewer rows or smaller images, or where there is more memory"
    advice = []
    if "batch_size" in moment.parameters:
        batch = moment.parameters["batch_size"] or "chosen by the data"
        advice.append(f"a smaller batch_size (now {batch})")
    if "pieces" in moment.parameters:
        advice.append(f"more pieces (now {moment.parameters['pieces']})")
    if moment.parameters.get("precision") == "float32":
        advice.append("precision=bfloat16")
    if not advice:
        return "train on less at once, or where there is more memory"
    return f"{', or '.join(advice)} needs less"


def _place(moment: Moment) -> str:
    if moment.epoch:
        return f" at epoch {moment.epoch}, after step {moment.step}"
    return " while reading the data" if moment.phase == READING else ""


def _describe_exit_code(code: int | None) -> str:
    if code is None:
        return "nobody saw it end"
    if code >= 0:
        return "a worker of its team was gone; its log says which" if code == LOST_EXIT_CODE else f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _hint(code: int | None, moment: Moment) -> str:
    limit = moment.limit_bytes
    if code in (None, -signal.SIGKILL) and limit and moment.memory_bytes >= _NEARLY_FULL * limit:
        return (
            f"; memory was nearly full, {size_text(moment.memory_bytes)} of {size_text(limit)}: "
            f"{_what_to_lower(moment)}"
        )
    if code == -signal.SIGBUS:
        return "; a full /dev/shm or a file cut while it was read ends so"
    if code in (-signal.SIGSEGV, -signal.SIGILL, -signal.SIGABRT, -signal.SIGFPE):
        return "; compiled code of a library crashed: its log may say where"
    return ""
