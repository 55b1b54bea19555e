"""URLs of rollouts, holds, policies, retrainings and timelines."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from monitoring.api import rollout_views as views

router = SimpleRouter()
router.register("rollouts", views.RolloutViewSet, basename="rollout")
router.register("holds", views.HoldViewSet, basename="automation-hold")
router.register("policies", views.PolicyViewSet, basename="promotion-policy")
router.register("retrainings", views.RetrainingViewSet, basename="retraining")

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/monitoring/timelines/<str:endpoint>/", views.TimelineView.as_view(), name="timeline"),
    path("api/monitoring/", include(router.urls)),
]
