"""Internal and public URLs of training."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from training.api import internal
from training.api.data_views import DatasetDiff, DatasetList, DatasetVersionDetail, DatasetVersionList, RunData
from training.api.registry_views import AliasDetail, AliasList, ModelDetail, ModelList, VersionDetail, VersionList
from training.api.resource_views import ResourcesView
from training.api.run_views import (
    RecipeDetail,
    RecipeList,
    RunCancel,
    RunClone,
    RunCompare,
    RunDetail,
    RunList,
    RunLog,
    RunMetrics,
    RunResume,
    RunUsageDetail,
)
from training.api.schedule_views import ScheduleDetail, ScheduleList, ScheduleRun
from training.api.search_views import SearchCancel, SearchDetail, SearchList, SearchRegister, SearchResume

_MODELS = "internal/training/models/<str:model>"
_API = "api/training"

urlpatterns: list[URLPattern | URLResolver] = [
    path("internal/training/retrain", internal.retrain),
    path("internal/training/runs/<str:run_id>", internal.get_run),
    path("internal/training/aliases", internal.set_alias),
    path("internal/training/holdings", internal.report_holdings),
    path(f"{_MODELS}/runs", internal.list_runs),
    path(f"{_MODELS}/versions", internal.list_versions),
    path(f"{_MODELS}/versions/<str:reference>", internal.get_version),
    path(f"{_MODELS}/versions/<int:version>/lineage", internal.get_lineage),
    path(f"{_API}/recipes/", RecipeList.as_view(), name="recipe-list"),
    path(f"{_API}/recipes/<str:name>/", RecipeDetail.as_view(), name="recipe-detail"),
    path(f"{_API}/runs/", RunList.as_view(), name="run-list"),
    path(f"{_API}/runs/compare/", RunCompare.as_view(), name="run-compare"),
    path(f"{_API}/runs/<str:run_id>/clone/", RunClone.as_view(), name="run-clone"),
    path(f"{_API}/runs/<str:run_id>/", RunDetail.as_view(), name="run-detail"),
    path(f"{_API}/runs/<str:run_id>/cancel/", RunCancel.as_view(), name="run-cancel"),
    path(f"{_API}/runs/<str:run_id>/resume/", RunResume.as_view(), name="run-resume"),
    path(f"{_API}/runs/<str:run_id>/metrics/", RunMetrics.as_view(), name="run-metrics"),
    path(f"{_API}/runs/<str:run_id>/usage/", RunUsageDetail.as_view(), name="run-usage"),
    path(f"{_API}/runs/<str:run_id>/log/", RunLog.as_view(), name="run-log"),
    path(f"{_API}/resources/", ResourcesView.as_view(), name="training-resources"),
    path(f"{_API}/searches/", SearchList.as_view(), name="search-list"),
    path(f"{_API}/searches/<str:search_id>/", SearchDetail.as_view(), name="search-detail"),
    path(f"{_API}/searches/<str:search_id>/cancel/", SearchCancel.as_view(), name="search-cancel"),
    path(f"{_API}/searches/<str:search_id>/resume/", SearchResume.as_view(), name="search-resume"),
    path(f"{_API}/searches/<str:search_id>/register/", SearchRegister.as_view(), name="search-register"),
    path(f"{_API}/runs/<str:run_id>/data/", RunData.as_view(), name="run-data"),
    path(f"{_API}/datasets/", DatasetList.as_view(), name="dataset-list"),
    path(f"{_API}/datasets/<str:name>/versions/", DatasetVersionList.as_view(), name="dataset-version-list"),
    path(
        f"{_API}/datasets/<str:name>/versions/<str:reference>/",
        DatasetVersionDetail.as_view(),
        name="dataset-version-detail",
    ),
    path(f"{_API}/datasets/<str:name>/diff/", DatasetDiff.as_view(), name="dataset-diff"),
    path(f"{_API}/schedules/", ScheduleList.as_view(), name="training-schedule-list"),
    path(f"{_API}/schedules/<str:name>/", ScheduleDetail.as_view(), name="training-schedule-detail"),
    path(f"{_API}/schedules/<str:name>/run/", ScheduleRun.as_view(), name="training-schedule-run"),
    path(f"{_API}/models/", ModelList.as_view(), name="model-list"),
    path(f"{_API}/models/<str:model>/", ModelDetail.as_view(), name="model-detail"),
    path(f"{_API}/models/<str:model>/versions/", VersionList.as_view(), name="version-list"),
    path(f"{_API}/models/<str:model>/versions/<str:reference>/", VersionDetail.as_view(), name="version-detail"),
    path(f"{_API}/models/<str:model>/aliases/", AliasList.as_view(), name="alias-list"),
    path(f"{_API}/models/<str:model>/aliases/<str:alias>/", AliasDetail.as_view(), name="alias-detail"),
]
