"""A served model to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inference.asgi import PredictApplication
from inference.lane import PredictLane
from inference.serving import ServingRuntime
from tests.inference.serving_fakes import (
    AsgiClient,
    CountingMetrics,
    FakeEngine,
    LaneClient,
    ListRecorder,
    make_loaded,
    make_runtime,
    route_of,
)


@pytest.fixture
def recorder() -> ListRecorder:
    return ListRecorder()


@pytest.fixture
def metrics() -> CountingMetrics:
    return CountingMetrics()


@pytest.fixture(params=["ordinary", "lane"])
def way(request: pytest.FixtureRequest) -> str:
    """Every request is made on both ways in: they must not differ."""
    return str(request.param)


@pytest.fixture
def serve(way: str, recorder: ListRecorder, metrics: CountingMetrics) -> Iterator[Callable[..., AsgiClient]]:
    running: list[ServingRuntime] = []

    def start(*routes: Any, **options: Any) -> AsgiClient:
        serving = make_runtime(*routes, **options)
        serving.connect(recorder=recorder, metrics=metrics)
        running.append(serving)
        application = PredictApplication(serving)
        return AsgiClient(application) if way == "ordinary" else LaneClient(PredictLane(serving), application)

    yield start
    for serving in running:
        serving.close()


@pytest.fixture
def client(serve: Callable[..., AsgiClient]) -> AsgiClient:
    return serve(route_of(make_loaded(FakeEngine())))
