"""What a search may choose from, as people write it.

    learning_rate=log:1e-4..1e-1,units=int:16..128,activation=relu|tanh

A range has its bounds included; `log:` spreads it by magnitude, `int:` (or `logint:`) takes whole numbers, which a
whole-numbered parameter does by itself; `/N` makes it N points, for the sampler `grid`. Nothing here imports Django or
Optuna.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiplatform.errors import InvalidInputError
from training.recipes.parameters import Parameter, check_value

MOST_DIMENSIONS = 20
LARGEST_GRID = 10_000
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(?:(log|int|logint):)?({_NUMBER})\.\.({_NUMBER})(?:/(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One parameter: `choices`, or all from `low` to `high`; `points` 0: as many as there are."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    points: int = 0

    def grid(self) -> list[Any]:
        """Return the points of a grid.

        Raises: InvalidInputError if the range has no end of points.
        """
        if self.choices:
            return list(self.choices)
        if not self.points and self.is_whole and not self.is_log:
            return list(range(int(self.low), int(self.high) + 1))
        if not self.points:
            raise InvalidInputError(
                f"the sampler 'grid' needs a number of points for '{self.name}', as in {self.low:g}..{self.high:g}/5"
            )
        values = [self._at(place / max(1, self.points - 1)) for place in range(self.points)]
        return list(dict.fromkeys(round(value) for value in values)) if self.is_whole else values

    def _at(self, share: float) -> float:
        if self.is_log:
            low, high = math.log(self.low), math.log(self.high)
            return float(f"{math.exp(low + share * (high - low)):.6g}")
        return float(f"{self.low + share * (self.high - self.low):.6g}")

    def to_dict(self) -> dict[str, Any]:
        """Return the dimension as JSON keeps it."""
        return {
            "name": self.name, "choices": list(self.choices), "low": self.low, "high": self.high,
            "is_log": self.is_log, "is_whole": self.is_whole, "points": self.points,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Dimension:
        """Return what `to_dict` gave."""
        return cls(**{**stored, "choices": tuple(stored["choices"])})


def parse_space(text: str, parameters: Sequence[Parameter]) -> list[Dimension]:
    """Return the dimensions of a space for a recipe that has these parameters.

    Raises: InvalidInputError naming the part that is not of the form; InvalidConfigurationError if a bound or a
    choice is none that the parameter takes.
    """
    known = {parameter.name: parameter for parameter in parameters}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not 1 <= len(parts) <= MOST_DIMENSIONS:
        raise InvalidInputError(f"a space has 1 to {MOST_DIMENSIONS} parameters, not {len(parts)}")
    space = [_parse_part(part, known) for part in parts]
    names = [dimension.name for dimension in space]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InvalidInputError(f"the space gives '{repeated[0]}' twice")
    return space


def grid_points(space: Sequence[Dimension]) -> list[dict[str, Any]]:
    """Return every combination of a grid.

    Raises: InvalidInputError if a range has no end of points, or there are too many combinations.
    """
    axes = [dimension.grid() for dimension in space]
    count = math.prod(len(axis) for axis in axes)
    if count > LARGEST_GRID:
        raise InvalidInputError(f"a grid has at most {LARGEST_GRID} combinations, not {count}")
    names = [dimension.name for dimension in space]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]


def _parse_part(part: str, known: Mapping[str, Parameter]) -> Dimension:
    name, equals, rest = (piece.strip() for piece in part.partition("="))
    if not equals or not name or not rest:
        raise InvalidInputError(f"a part of a space reads name=low..high or name=a|b, not '{part}'")
    if name not in known:
        raise InvalidInputError(f"the recipe has no parameter '{name}'; it has: {', '.join(sorted(known))}")
    rule = known[name]
    if ".." not in rest:
        return _choices(name, rest, rule)
    found = _RANGE.fullmatch(rest)
    if found is None:
        raise InvalidInputError(f"a range reads [log:|int:|logint:]low..high[/points], not '{rest}'")
    return _range(name, found, rule)


def _choices(name: str, text: str, rule: Parameter) -> Dimension:
    values = tuple(check_value(rule, value.strip()) for value in text.split("|"))
    if len(set(values)) != len(values):
        raise InvalidInputError(f"the choices of '{name}' must differ, not '{text}'")
    return Dimension(name=name, choices=values)


def _range(name: str, found: re.Match[str], rule: Parameter) -> Dimension:
    kind, points = found[1] or "", int(found[4] or 0)
    if rule.type not in ("int", "float"):
        raise InvalidInputError(f"'{name}' is of type {rule.type}: give its values as a|b, not a range")
    low, high = check_value(rule, found[2]), check_value(rule, found[3])
    is_log = kind in ("log", "logint")
    if not low < high:
        raise InvalidInputError(f"the range of '{name}' must grow, not {found[2]}..{found[3]}")
    if is_log and low <= 0:
        raise InvalidInputError(f"the range of '{name}' must be above 0 for log, not from {found[2]}")
    if found[4] and points < 2:
        raise InvalidInputError(f"the range of '{name}' must have 2 points or more, not {points}")
    is_whole = rule.type == "int" or kind in ("int", "logint")
    if is_whole and not (float(low).is_integer() and float(high).is_integer()):
        raise InvalidInputError(f"the bounds of '{name}' must be whole numbers, not {found[2]}..{found[3]}")
    return Dimension(name=name, low=float(low), high=float(high), is_log=is_log, is_whole=is_whole, points=points)
