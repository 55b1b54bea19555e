"""Typed parameters: a recipe declares a frozen dataclass; texts and JSON values are checked against it.

    @dataclass(frozen=True, kw_only=True)
    class Parameters(FitParameters):
        dropout: float = parameter(0.5, minimum=0.0, maximum=0.9, help="Share of features left out.")

Bounds are included, and what breaks one is refused with the rule and the value.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from aiplatform.embeddings import DIMENSIONS, MAX_DIMENSIONS
from aiplatform.errors import InvalidConfigurationError
from training.recipes.schedules import CONSTANT, SCHEDULES

TYPES: dict[type, str] = {int: "int", float: "float", bool: "bool", str: "str"}
SMALLEST_BATCH, LARGEST_BATCH = 16, 128  # of those chosen by the number of rows
EQUAL, BALANCED = "equal", "balanced"
FLOAT32, BFLOAT16 = "float32", "bfloat16"
LAST, BEST = "last", "best"
MSE, HUBER = "mse", "huber"
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter as people and interfaces see it. `type` is int, float, bool or str."""

    name: str
    type: str
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    help: str = ""


def parameter(
    default: Any,
    *,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
) -> Any:
    """Declare a field of a parameters dataclass; bounds are included."""
    rules = {"minimum": minimum, "maximum": maximum, "choices": choices, "help": help}
    return dataclasses.field(default=default, metadata=rules)


@dataclass(frozen=True, kw_only=True)
class FitParameters:
    """What every recipe that learns in batches has."""

    epochs: int = parameter(5, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    batch_size: int = parameter(
        0, minimum=0, maximum=65_536, help="Rows per step; 0 chooses 16 to 128 by the number of training rows."
    )
    learning_rate: float = parameter(0.001, minimum=1e-8, maximum=10.0, help="Step size of the optimizer (Adam).")
    schedule: str = parameter(
        CONSTANT,
        choices=SCHEDULES,
        help="How the learning rate goes: it stays, or falls to 0 along a line or a cosine.",
    )
    warmup: float = parameter(
        0.0, minimum=0.0, maximum=0.5, help="Share of all steps in which the learning rate grows from 0."
    )
    clip_norm: float = parameter(
        0.0, minimum=0.0, maximum=1e6, help="Longest gradient of a step, over all weights; 0: any length."
    )
    pieces: int = parameter(
        1, minimum=1, maximum=1024, help="Compute a step in so many pieces, for the same result in less memory."
    )
    class_weights: str = parameter(
        EQUAL, choices=(EQUAL, BALANCED), help="How much a row counts: all alike, or rare classes more."
    )
    precision: str = parameter(
        FLOAT32, choices=(FLOAT32, BFLOAT16), help="Numbers of the network while it learns; it is served in float32."
    )
    workers: int = parameter(
        1,
        minimum=1,
        maximum=64,
        help="Share each batch among so many processes (data-parallel), of several pods on a cluster.",
    )
    deterministic: bool = parameter(True, help="Same order, same weights, where the device allows; off may be faster.")
    patience: int = parameter(
        0, minimum=0, maximum=10_000, help="Stop after so many epochs without a better val_loss; 0: never."
    )
    keep: str = parameter(
        LAST,
        choices=(LAST, BEST),
        help="Whose weights become the model: the last epoch's, or those of the best val_loss.",
    )
    max_minutes: float = parameter(
        0.0, minimum=0.0, maximum=100_000.0, help="Learn no longer than this, and keep what was learned; 0: no limit."
    )
    embedding: int = parameter(
        DIMENSIONS,
        minimum=0,
        maximum=MAX_DIMENSIONS,
        help="Numbers that the served model makes of its last hidden layer, for monitoring alone; 0: none.",
    )

    def batch_rows(self, training_rows: int) -> int:
        """Return the batch size: as chosen, else a power of two that gives an epoch some 100 steps."""
        if self.batch_size:
            return self.batch_size
        wanted = min(max(training_rows // 80, SMALLEST_BATCH), LARGEST_BATCH)
        return int(2 ** math.floor(math.log2(wanted)))


def describe_parameters(parameters_class: type) -> tuple[Parameter, ...]:
    """Return the parameters that a dataclass declares, in its order.

    Raises: InvalidConfigurationError if it is no dataclass, or a type is not one of four.
    """
    if not dataclasses.is_dataclass(parameters_class):
        raise InvalidConfigurationError(f"{parameters_class!r} must be a dataclass to declare parameters")
    types = get_type_hints(parameters_class)
    return tuple(_describe(field, types[field.name]) for field in dataclasses.fields(parameters_class))


def _describe(field: dataclasses.Field[Any], kind: type) -> Parameter:
    if kind not in TYPES:
        raise InvalidConfigurationError(f"parameter '{field.name}' must be int, float, bool or str, not {kind}")
    return Parameter(name=field.name, type=TYPES[kind], default=field.default, **field.metadata)


def resolve(parameters: tuple[Parameter, ...], raw: Mapping[str, Any], *, owner: str) -> dict[str, Any]:
    """Return a typed value for every parameter: the given one, else the default.

    Raises: InvalidConfigurationError naming the rule that is broken and the value received.
    """
    known = {p.name for p in parameters}
    for name in raw:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise InvalidConfigurationError(
                f"recipe '{owner}' has no parameter '{name}'{hint}; it has: {', '.join(sorted(known))}"
            )
    return {p.name: check_value(p, raw[p.name]) if p.name in raw else p.default for p in parameters}


def check_value(rule: Parameter, raw: Any) -> Any:
    """Return `raw` in the parameter's type.

    Raises: InvalidConfigurationError if it is not of that type, or outside range or choices.
    """
    value = _convert(rule, raw)
    if rule.choices and value not in rule.choices:
        allowed = ", ".join(str(choice) for choice in rule.choices)
        raise InvalidConfigurationError(f"parameter '{rule.name}' must be one of {allowed}, not '{value}'")
    if rule.minimum is not None and value < rule.minimum:
        raise InvalidConfigurationError(f"parameter '{rule.name}' must be at least {rule.minimum}, not {value}")
    if rule.maximum is not None and value > rule.maximum:
        raise InvalidConfigurationError(f"parameter '{rule.name}' must be at most {rule.maximum}, not {value}")
    return value


def _convert(rule: Parameter, raw: Any) -> Any:
    text = str(raw).strip()
    try:
        if rule.type == "bool":
            return _boolean(text.lower())
        if rule.type == "int":
            return _whole(text)
        if rule.type == "float":
            return _finite(text)
    except ValueError as error:
        raise InvalidConfigurationError(f"parameter '{rule.name}' must be of type {rule.type}, not '{raw}'") from error
    if not isinstance(raw, str):
        raise InvalidConfigurationError(f"parameter '{rule.name}' must be text, not {raw!r}")
    return raw


def _boolean(text: str) -> bool:
    if text not in _TRUE + _FALSE:
        raise ValueError(text)
    return text in _TRUE


def _whole(text: str) -> int:
    number = float(text)  # '1e3' and JSON's 5.0 are whole numbers too
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
