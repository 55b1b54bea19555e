"""The project's URLs, with a registry of this test in training's place."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path

from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.http.views import internal_view
from aiplatform.urls import urlpatterns as project_urlpatterns
from tests.inference.endpoints.fakes import FakeRegistry

registries: list[FakeRegistry] = []  # the fixture puts the present one here


@internal_view
def version(request: HttpRequest, model: str, reference: str) -> ModelVersionInfo:
    """Answer as training does."""
    return registries[-1].get_model_version(model, reference)


urlpatterns = [path("internal/training/models/<str:model>/versions/<str:reference>", version), *project_urlpatterns]
