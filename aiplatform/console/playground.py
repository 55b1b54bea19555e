"""The playground: ask an endpoint by hand, watch it answer, and tell it when it is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import msgspec
import numpy as np
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_GET, require_POST

from aiplatform.console.pages import page_context
from aiplatform.console.samples import find_sample_row
from aiplatform.contracts.inference import EndpointInfo, Predictions, PredictRows
from aiplatform.contracts.monitoring import FeedbackItem, RecordFeedback
from aiplatform.errors import PlatformError
from aiplatform.features import summarise_predictions
from aiplatform.http.authentication import console_identity
from aiplatform.http.codec import decode_message
from aiplatform.http.views import error_response
from aiplatform.services import inference_client, monitoring_client


@dataclass(frozen=True, kw_only=True)
class Question:
    """One row, in TF Serving's row form, for an endpoint."""

    endpoint: str
    row: Any


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person says of an earlier answer: the true label, or the true number."""

    prediction_id: str
    label: str | None = None
    value: float | None = None


@require_GET
@staff_member_required
def show_playground(request: HttpRequest) -> HttpResponse:
    """Show the page; its endpoints are what the serving side has now."""
    problem = ""
    endpoints: tuple[EndpointInfo, ...] = ()
    try:
        endpoints = inference_client(console_identity(request.user)).list_endpoints().endpoints
    except PlatformError as error:
        problem = error.message
    chosen = _choose(endpoints, request.GET.get("endpoint", ""))
    context = page_context(
        request,
        title="Playground",
        endpoints=endpoints,
        chosen=chosen,
        problem=problem,
        description=_describe(chosen) if chosen else {},
        report_url=_report_url(chosen),
    )
    return TemplateResponse(request, "console/playground.html", context)


def _answers_errors(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except PlatformError as error:
            return error_response(error)

    return answer


@require_POST
@staff_member_required
@_answers_errors
def predict(request: HttpRequest) -> HttpResponse:
    """Predict one row; answer label, probabilities, version, prediction id and latency."""
    question = decode_message(request.body, Question)
    client = inference_client(console_identity(request.user))
    started = time.perf_counter()
    answer = client.predict_rows(PredictRows(endpoint=question.endpoint, instances=(question.row,)))
    latency_ms = (time.perf_counter() - started) * 1000
    return JsonResponse({**summarise_answer(answer), "latency_ms": round(latency_ms, 1)})


@require_POST
@staff_member_required
@_answers_errors
def tell_truth(request: HttpRequest) -> HttpResponse:
    """Record what the answer should have been."""
    verdict = decode_message(request.body, Verdict)
    item = FeedbackItem(
        prediction_id=verdict.prediction_id,
        label=verdict.label,
        value=verdict.value,
        source=f"playground:{request.user.get_username()}",
    )
    client = monitoring_client(console_identity(request.user))
    receipt = client.record_feedback(RecordFeedback(items=(item,)))
    return JsonResponse(msgspec.to_builtins(receipt))


def summarise_answer(answer: Predictions) -> dict[str, Any]:
    """Return one row's answer as the page shows it: probabilities by label, or the number."""
    outputs = {name: np.asarray([value]) for name, value in answer.rows[0].items()}
    summary = summarise_predictions(outputs, answer.labels)
    return {
        "prediction_id": answer.prediction_id,
        "version": answer.version,
        "label": summary.labels[0] if summary.labels else None,
        "value": summary.values[0] if summary.values else None,
        "probabilities": _probabilities(next(iter(outputs.values())), answer.labels) if summary.labels else [],
        "outputs": {name: value.tolist() for name, value in outputs.items()},
    }


def _probabilities(scores: np.ndarray[Any, Any], labels: tuple[str, ...]) -> list[dict[str, Any]]:
    row = scores.reshape(-1).astype(float).tolist()
    if len(row) == 1 and len(labels) == 2:
        row = [1.0 - row[0], row[0]]
    names = [labels[index] if index < len(labels) else str(index) for index in range(len(row))]
    return [{"label": name, "probability": value} for name, value in zip(names, row, strict=True)]


def _choose(endpoints: tuple[EndpointInfo, ...], name: str) -> EndpointInfo | None:
    by_name = {endpoint.name: endpoint for endpoint in endpoints}
    with_images = [endpoint for endpoint in endpoints if endpoint.image]
    return by_name.get(name) or next(iter([*with_images, *endpoints]), None)


def _describe(endpoint: EndpointInfo) -> dict[str, Any]:
    image = msgspec.to_builtins(endpoint.image) if endpoint.image else None
    return {
        "endpoint": endpoint.name,
        "labels": list(endpoint.labels),
        "image": image,
        "sample": None if image else find_sample_row(endpoint),
        "predict_url": reverse("playground-predict"),
        "truth_url": reverse("playground-truth"),
    }


def _report_url(endpoint: EndpointInfo | None) -> str:
    if endpoint is None or not endpoint.traffic:
        return ""
    version = max(endpoint.traffic, key=lambda share: share.weight).version
    try:
        return reverse("admin:monitoring-report", args=[endpoint.name, version])
    except NoReverseMatch:
        return ""  # the page is the monitoring app's, and that app may bring none
