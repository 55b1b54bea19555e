"""URLs of the prediction store."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from monitoring.api import store_views as views

router = SimpleRouter()
router.register("prediction-policies", views.PolicyViewSet, basename="prediction-policy")
router.register("prediction-deletions", views.DeletionViewSet, basename="prediction-deletion")

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/monitoring/prediction-exports/", views.ExportView.as_view(), name="prediction-export"),
    path("api/monitoring/", include(router.urls)),
]
