"""Stored requests in the form in which inference runs them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiplatform.contracts.inference import ReplayRequest

if TYPE_CHECKING:
    import numpy as np

    from monitoring.store.requests import StoredRequest


def to_request(stored: StoredRequest) -> ReplayRequest:
    """Return one row as a request of its own."""
    row = {name: _plain(array) for name, array in stored.inputs.items()}
    instance = next(iter(row.values())) if len(row) == 1 else row
    return ReplayRequest(prediction_id=_id(stored), instances=(instance,))


def truths_of(requests: Iterable[StoredRequest]) -> dict[str, str]:
    """Return the labels that are known, by the request's id."""
    return {_id(stored): stored.label for stored in requests if stored.label is not None}


def _id(stored: StoredRequest) -> str:
    return f"{stored.prediction_id}/{stored.row}"


def _plain(array: np.ndarray[Any, Any]) -> Any:
    return _texts(array[0].tolist() if array.ndim else array.item())


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
