"""URLs of alerts, rules, channels, silences and notifications."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from monitoring.api import alert_views as views

router = SimpleRouter()
router.register("alerts", views.AlertViewSet, basename="alert")
router.register("rules", views.RuleViewSet, basename="alert-rule")
router.register("channels", views.ChannelViewSet, basename="alert-channel")
router.register("silences", views.SilenceViewSet, basename="alert-silence")
router.register("notifications", views.NotificationViewSet, basename="alert-notification")

urlpatterns: list[URLPattern | URLResolver] = [path("api/monitoring/", include(router.urls))]
