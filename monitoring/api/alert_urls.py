"""URLs of alerts, rules, channels, silences, notifications, routes and groups."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from monitoring.api import alert_views as views
from monitoring.api import route_views

router = SimpleRouter()
router.register("alerts", views.AlertViewSet, basename="alert")
router.register("rules", views.RuleViewSet, basename="alert-rule")
router.register("channels", views.ChannelViewSet, basename="alert-channel")
router.register("silences", views.SilenceViewSet, basename="alert-silence")
router.register("notifications", views.NotificationViewSet, basename="alert-notification")
router.register("routes", route_views.RouteViewSet, basename="alert-route")
router.register("inhibitions", route_views.InhibitionViewSet, basename="alert-inhibition")
router.register("quiet-hours", route_views.QuietHoursViewSet, basename="alert-quiet-hours")
router.register("groups", route_views.GroupViewSet, basename="alert-group")

urlpatterns: list[URLPattern | URLResolver] = [path("api/monitoring/", include(router.urls))]
