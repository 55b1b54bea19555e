"""A URL configuration with a serving and a monitoring side that keep what they were told."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib import admin
from django.http import HttpRequest
from django.urls import include, path

from aiplatform.artifacts import ImageInput
from aiplatform.contracts.inference import (
    EndpointInfo,
    EndpointList,
    Predictions,
    PredictRows,
    TrafficShare,
)
from aiplatform.contracts.monitoring import FeedbackItem, FeedbackReceipt, RecordFeedback
from aiplatform.errors import NotFoundError, UnavailableError
from aiplatform.http.views import internal_view, read_message
from aiplatform.identity import Identity

DIGITS = tuple(str(digit) for digit in range(10))


def endpoint(name: str, image: ImageInput | None, labels: tuple[str, ...]) -> EndpointInfo:
    """Return a ready endpoint that gives version 3 all its traffic."""
    return EndpointInfo(
        name=name,
        model=name,
        generation=1,
        traffic=(TrafficShare(version=3, weight=100),),
        replicas=(),
        is_ready=True,
        labels=labels,
        image=image,
    )


@dataclass
class World:
    """What the fakes serve and what reached them."""

    endpoints: list[EndpointInfo] = field(default_factory=list)
    is_serving_down: bool = False
    questions: list[PredictRows] = field(default_factory=list)
    feedback: list[FeedbackItem] = field(default_factory=list)
    callers: list[Identity] = field(default_factory=list)

    def reset(self) -> None:
        """Begin with two endpoints: digits as images, credit as columns."""
        self.__init__()  # type: ignore[misc]
        self.endpoints = [
            endpoint("credit", None, ("bad", "good")),
            endpoint("digits", ImageInput(height=8, width=8, channels=1), DIGITS),
        ]


world = World()


def list_endpoints(request: HttpRequest) -> EndpointList:
    """Answer with the world's endpoints."""
    if world.is_serving_down:
        raise UnavailableError("inference cannot be reached: connection refused")
    return EndpointList(endpoints=tuple(world.endpoints))


def predict(request: HttpRequest) -> Predictions:
    """Answer 7 with 90% to every image, 'good' with 80% to every row."""
    rows = read_message(request, PredictRows)
    if rows.endpoint not in {known.name for known in world.endpoints}:
        raise NotFoundError(f"there is no endpoint '{rows.endpoint}'")
    world.questions.append(rows)
    world.callers.append(request.platform_identity)  # type: ignore[attr-defined]
    is_image = rows.endpoint == "digits"
    probabilities = [0.9 if digit == 7 else 0.1 / 9 for digit in range(10)] if is_image else [0.8]
    return Predictions(
        prediction_id=f"prediction-{len(world.questions)}",
        endpoint=rows.endpoint,
        version=3,
        rows=({"probabilities": probabilities},),
        labels=DIGITS if is_image else ("bad", "good"),
    )


def record_feedback(request: HttpRequest) -> FeedbackReceipt:
    """Keep the feedback."""
    items = read_message(request, RecordFeedback).items
    world.feedback.extend(items)
    return FeedbackReceipt(joined=len(items), repeated=0, pending=0)


urlpatterns = [
    path("internal/inference/endpoints", internal_view(list_endpoints)),
    path("internal/inference/predict", internal_view(predict)),
    path("internal/monitoring/feedback", internal_view(record_feedback)),
    path("", include("aiplatform.console.urls")),
]
__all__ = ["admin", "urlpatterns", "world"]
