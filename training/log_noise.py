"""Lines that TensorFlow's C++ part writes whatever it is told, and that say nothing of a run.

They are left out where a log is read as it goes on; searched and downloaded it has all. TF_CPP_MIN_LOG_LEVEL does not
reach them: they are written while the library is being loaded, before absl's logging is set up.
"""

from __future__ import annotations

import re

_PREFIX = r"[IWEF]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ "
_NOISE = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    r"|I\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+?\.(?:cc|h|cu):\d+\] "  # of absl's level INFO: which CPU, which libraries
    r"|To enable the following instructions: .*, in other operations, rebuild TensorFlow"
    rf"|{_PREFIX}cuda_\w+\.cc:\d+\] failed call to cuInit: .*\(303\)"  # there is no driver: a machine without a GPU
)


def is_noise(line: str) -> bool:
    """Say whether a line is one of those."""
    return _NOISE.match(line) is not None


def without_noise(text: str) -> str:
    """Return a text without such lines; its other lines are as they were."""
    return "".join(line for line in text.splitlines(keepends=True) if not is_noise(line))
