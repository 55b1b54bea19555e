"""Pages for people: the admin, the playground, the API documentation."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from aiplatform.console import playground
from aiplatform.console.api_document import LastingGenerator
from aiplatform.console.openapi import documented_urls

admin.autodiscover()  # see aiplatform.console.apps

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(url="/admin/"), name="root"),
    path("playground/", playground.show_playground, name="playground"),
    path("playground/predict", playground.predict, name="playground-predict"),
    path("playground/truth", playground.tell_truth, name="playground-truth"),
    path(
        "api/schema/",
        SpectacularAPIView.as_view(urlconf=documented_urls(), generator_class=LastingGenerator),
        name="api-schema",
    ),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    path("api/redoc/", SpectacularRedocView.as_view(url_name="api-schema"), name="api-redoc"),
]
