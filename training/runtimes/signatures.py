"""Joins what a model says of its inputs and outputs with what people say of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, DType, TensorSpec

Specs = tuple[TensorSpec, ...]


def tensor_spec(name: str, dtype: object, shape: Sequence[object] | None) -> TensorSpec:
    """Return a spec for what a framework says; sizes that are no numbers are free.

    Raises: InvalidInputError for a type that no wire type stands for, and for an unknown rank.
    """
    if shape is None:
        raise InvalidInputError(f"tensor '{name}' has no rank in the model; name its shape with --signature")
    sizes = tuple(size if isinstance(size, int) and size >= 0 else FREE for size in shape)
    try:
        return TensorSpec(name=name, dtype=DType.of(np.dtype(dtype)), shape=sizes)  # type: ignore[call-overload]
    except TypeError as error:
        raise InvalidInputError(f"tensor '{name}' is of type {dtype}, which cannot be served") from error


def join_by_name(kind: str, found: Specs, given: Specs, *, may_choose: bool = False) -> Specs:
    """Return the found specs as the given ones say; the names must be the model's.

    `may_choose`: the given ones may leave some out, and their order counts.
    Raises: InvalidInputError naming what does not fit.
    """
    if not given:
        return found
    known = {spec.name: spec for spec in found}
    wanted = {spec.name for spec in given}
    if wanted - known.keys() or (not may_choose and known.keys() - wanted):
        raise InvalidInputError(f"--signature names the {kind} {sorted(wanted)}; the model has {sorted(known)}")
    return tuple(_fitting(kind, known[spec.name], spec) for spec in given)


def join_by_position(kind: str, found: Specs, given: Specs) -> Specs:
    """Return the given specs for a model whose tensors have places and no lasting names.

    Raises: InvalidInputError if their number, types or shapes do not fit.
    """
    if not given:
        return found
    if found and len(found) != len(given):
        raise InvalidInputError(f"--signature has {len(given)} {kind}; the model has {len(found)}")
    pairs = zip(found, given, strict=True) if found else ()
    return tuple(_fitting(kind, one, spec) for one, spec in pairs) or given


def _fitting(kind: str, found: TensorSpec, given: TensorSpec) -> TensorSpec:
    told_free = kind == "outputs"  # an output's sizes may be told too narrowly by the model
    pairs = list(zip(found.shape, given.shape, strict=False))
    fits = len(found.shape) == len(given.shape) and all(
        have in (FREE, want) or (told_free and want == FREE) for have, want in pairs
    )
    if found.dtype is not given.dtype or not fits:
        raise InvalidInputError(
            f"--signature says {given.dtype} {list(given.shape)} of '{given.name}' ({kind}); "
            f"the model says {found.dtype} {list(found.shape)} (-1: any)"
        )
    return given


def unique_names(names: Sequence[str], *, fallback: str) -> list[str]:
    """Return a usable name for each tensor: those without one are numbered."""
    if len(names) == 1:
        return [names[0] or fallback]
    return [name or f"{fallback}_{i}" for i, name in enumerate(names)]
