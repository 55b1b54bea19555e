"""Internal and public URLs of inference."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from inference.api import internal
from inference.api.views import EndpointViewSet

router = SimpleRouter()
router.register("endpoints", EndpointViewSet, basename="inference-endpoint")

urlpatterns: list[URLPattern | URLResolver] = [
    path("internal/inference/deploy", internal.deploy),
    path("internal/inference/rollback", internal.rollback),
    path("internal/inference/endpoints", internal.endpoints),
    path("internal/inference/endpoints/<str:name>", internal.endpoint),
    path("internal/inference/endpoints/<str:name>/history", internal.history),
    path("internal/inference/traffic", internal.traffic),
    path("internal/inference/shadow", internal.shadow),
    path("internal/inference/switch", internal.switch),
    path("internal/inference/freeze", internal.freeze),
    path("internal/inference/replays", internal.order_replay),
    path("internal/inference/replays/<str:key>", internal.replay),
    path("internal/inference/compile", internal.compile_version),
    path("internal/inference/engines/<str:digest>", internal.engines),
    path("internal/inference/predict", internal.predict),
    path("api/inference/", include(router.urls)),
]
