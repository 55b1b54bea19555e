"""Internal and public URLs of monitoring."""

from django.urls import URLPattern, URLResolver, include, path

from monitoring.api import internal, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("internal/monitoring/predictions", internal.predictions),
    path("internal/monitoring/feedback", internal.feedback),
    path("internal/monitoring/report", internal.report),
    path("internal/monitoring/comparisons", internal.comparisons),
    path("internal/monitoring/profile-drift", internal.profile_drift),
    path("internal/monitoring/store-policies", internal.store_policies),
    path("api/monitoring/versions/", views.ServedVersionList.as_view(), name="served-version-list"),
    path("api/monitoring/metrics/", views.MetricList.as_view(), name="metric-list"),
    path("api/monitoring/measurements/", views.MeasurementView.as_view(), name="measurement"),
    path("api/monitoring/feedback/", views.FeedbackView.as_view(), name="feedback"),
    path("api/monitoring/predictions/<str:prediction_id>/", views.PredictionView.as_view(), name="prediction"),
    path("", include("monitoring.api.report_urls")),
    path("", include("monitoring.api.alert_urls")),
    path("", include("monitoring.api.rollout_urls")),
    path("", include("monitoring.api.store_urls")),
]
