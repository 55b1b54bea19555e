"""What a URL path asks of which model: the paths of all REST protocols, in one place."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import StrEnum

from aiplatform.contracts.predict import REPOSITORY_INDEX_PATH
from aiplatform.errors import InvalidInputError, MethodNotAllowedError, NotFoundError


class Operation(StrEnum):
    """What is asked."""

    V1_PREDICT = "v1 predict"
    V1_CLASSIFY = "v1 classify"
    V1_REGRESS = "v1 regress"
    V1_STATUS = "v1 status"
    V1_METADATA = "v1 metadata"
    V2_SERVER = "v2 server"
    V2_LIVE = "v2 live"
    V2_READY = "v2 ready"
    V2_MODEL = "v2 model"
    V2_MODEL_READY = "v2 model ready"
    V2_INFER = "v2 infer"
    V2_CONFIG = "v2 config"
    V2_MODEL_STATISTICS = "v2 model statistics"
    V2_STATISTICS = "v2 statistics"
    V2_INDEX = "v2 index"

    @property
    def method(self) -> str:
        """Return the one HTTP method that it takes; where that is GET, HEAD is taken too."""
        return "POST" if self in _POSTED else "GET"


EXAMPLE_OPERATIONS = frozenset({Operation.V1_CLASSIFY, Operation.V1_REGRESS})
PREDICTING = frozenset({Operation.V1_PREDICT, Operation.V2_INFER, *EXAMPLE_OPERATIONS})
_POSTED = frozenset({Operation.V1_PREDICT, *EXAMPLE_OPERATIONS, Operation.V2_INFER, Operation.V2_INDEX})


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parsed path."""

    operation: Operation
    model: str = ""
    version: int | None = None
    label: str | None = None


_V1 = re.compile(r"/v1/models/([^/:]+)(?:/versions/([^/:]+)|/labels/([^/:]+))?(:[a-z]+|/metadata)?")
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|config|stats))?")
_V1_OPERATIONS = {
    None: Operation.V1_STATUS,
    "/metadata": Operation.V1_METADATA,
    ":predict": Operation.V1_PREDICT,
    ":classify": Operation.V1_CLASSIFY,
    ":regress": Operation.V1_REGRESS,
}
_V2_OPERATIONS = {
    None: Operation.V2_MODEL,
    "ready": Operation.V2_MODEL_READY,
    "infer": Operation.V2_INFER,
    "config": Operation.V2_CONFIG,
    "stats": Operation.V2_MODEL_STATISTICS,
}
_V2_SERVER = {
    "/v2": Operation.V2_SERVER,
    "/v2/": Operation.V2_SERVER,
    "/v2/health/live": Operation.V2_LIVE,
    "/v2/health/ready": Operation.V2_READY,
    "/v2/models/stats": Operation.V2_STATISTICS,
    REPOSITORY_INDEX_PATH: Operation.V2_INDEX,
}
# Paths of extensions that are known and not offered: clients have methods for them.
_LOADING = re.compile(r"/v2/repository/models/[^/]+/(?:load|unload)")
_NOT_OFFERED = {
    "trace settings": re.compile(r"/v2/(?:models/[^/]+/)?trace/setting"),
    "log settings": re.compile(r"/v2/logging"),
    "shared memory": re.compile(r"/v2/(?:system|cuda|xpu|tpu)sharedmemory(?:/.*)?"),
    "generating text": re.compile(r"/v2/models/[^/]+(?:/versions/[^/]+)?/generate(?:_stream)?"),
}


def parse_target(method: str, path: str) -> Target:
    """Return what a request asks.

    Raises: NotFoundError for an unknown path; InvalidInputError for a version that is no number;
    MethodNotAllowedError.
    """
    target = _parse_path(path)
    allowed = target.operation.method
    if method != allowed and (method, allowed) != ("HEAD", "GET"):
        raise MethodNotAllowedError(f"{path:.200} takes {allowed}, not {method:.20}", allow=allowed)
    return target


@functools.lru_cache(maxsize=4096)
def _parse_path(path: str) -> Target:
    operation = _V2_SERVER.get(path)
    if operation is not None:
        return Target(operation=operation)
    if match := _V1.fullmatch(path):
        model, version, label, verb = match.groups()
        if verb in _V1_OPERATIONS:
            # 0 is "whichever serves", as in the protobufs; OpenVINO's client always writes it.
            number = _version(version) or None
            return Target(operation=_V1_OPERATIONS[verb], model=model, version=number, label=label)
        raise NotFoundError(f"'{verb:.80}' is not served; ':predict', ':classify' and ':regress' are")
    if match := _V2.fullmatch(path):
        model, version, verb = match.groups()
        return Target(operation=_V2_OPERATIONS[verb], model=model, version=_version(version))
    _refuse_extension(path)
    raise NotFoundError(f"there is nothing at {path:.200}")


def _refuse_extension(path: str) -> None:
    if _LOADING.fullmatch(path):
        raise InvalidInputError(
            "models are not loaded or unloaded over this protocol: which versions an endpoint serves is decided in "
            "the console, by `manage.py endpoints` or at /api/inference/, and every replica follows"
        )
    for name, pattern in _NOT_OFFERED.items():
        if pattern.fullmatch(path):
            raise NotFoundError(f"{name}: not offered here ({path:.200}); GET /v2 lists the extensions that are")


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidInputError(f"a version is a whole number, not '{text:.80}'")
    return int(text)
