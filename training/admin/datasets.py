"""Data sets in the console: versions with the plots of their profiles, and two of them compared."""

from __future__ import annotations

import itertools
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart
from aiplatform.console.pages import page_context
from aiplatform.errors import PlatformError
from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from training import dataset_registry
from training.admin.base import ReadOnlyAdmin
from training.models import DatasetVersion, Run

BARS, MOST_CHARTS, MOST_RUNS = 12, 24, 10
_LEAST_RANK, _GREATEST_RANK = 0.005, 0.995  # a few far values would flatten all others


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    """Versions of data sets."""

    empty_hint = "Give data a name, so that its versions are known and compared:"
    empty_command = "python manage.py data register NAME --data FILE --target COLUMN"

    list_display = ("shown", "kind", "rows", "source_uri", "created_by", "created_at")
    list_display_links = ("shown",)
    list_filter = ("dataset",)
    search_fields = ("dataset__name", "source_uri", "fingerprint")
    list_select_related = ("dataset",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DatasetVersion]:
        """Return the versions, the newest registered first."""
        versions: QuerySet[DatasetVersion] = super().get_queryset(request)
        return versions.select_related("dataset").defer("profile").order_by("-created_at")

    @admin.display(description="Data set", ordering="dataset__name")
    def shown(self, version: DatasetVersion) -> str:
        """Return name and version."""
        return str(version)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a version; with `?with=NUMBER` beside another."""
        self.require_view(request)
        version = get_object_or_404(DatasetVersion.objects.select_related("dataset"), pk=object_id)
        context = page_context(
            request,
            title=f"Data set {version}",
            version=version,
            original=version,
            opts=self.opts,
            facts=_facts(version),
            labels=label_chart(version),
            charts=profile_charts(version),
            left_out=max(0, len(version.profile["features"]) - MOST_CHARTS),
            sources=version.report,
            others=dataset_registry.list_versions(version.dataset.name).exclude(pk=version.pk),
            runs=Run.objects.filter(data__versions=version).order_by("-created_at")[:MOST_RUNS],
            comparison=_comparison(version, request.GET.get("with", "")),
        )
        return TemplateResponse(request, "training/dataset_page.html", context)


def _facts(version: DatasetVersion) -> list[tuple[str, Any]]:
    facts = [
        ("Source", version.source_uri), ("Target", version.target), ("Kind", version.kind), ("Rows", version.rows),
        ("Bytes", version.size_bytes), ("Inputs", len(version.schema["inputs"])),
        ("Classes", len(version.schema["labels"])), ("Fingerprint", version.fingerprint),
        ("Registered by", version.created_by), ("Registered", f"{version.created_at:%Y-%m-%d %H:%M} UTC"),
        ("Train on it", f"--data dataset:{version}"),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value not in ("", None)]


def label_chart(version: DatasetVersion) -> SafeString:
    """Return the rows of each class as bars."""
    counts = sorted(version.schema["labels"].items(), key=lambda item: -item[1])[: 2 * BARS]
    return bar_chart(title="Rows by class", series={"rows": {name: float(count) for name, count in counts}})


def profile_charts(version: DatasetVersion) -> list[SafeString]:
    """Return one chart a feature, as many as a page bears."""
    features = DataProfile.from_dict(version.profile).features
    return [_feature_chart(name, profile) for name, profile in list(features.items())[:MOST_CHARTS]]


def _feature_chart(name: str, profile: FeatureProfile) -> SafeString:
    shares = category_shares(profile) if isinstance(profile, CategoryProfile) else number_shares(profile)
    total = profile.count + profile.missing
    if profile.missing and total:
        shares |= {"(missing)": profile.missing / total}
    return bar_chart(title=name, series={"share of rows": shares}, y_is_share=True, width=380, height=180)


def number_shares(profile: NumericProfile) -> dict[str, float | None]:
    """Return the shares of equal ranges between the outermost half percents, by the middle of each."""
    if not profile.count:
        return {}
    low, high = profile.quantiles([_LEAST_RANK, _GREATEST_RANK])
    if low == high:
        return {f"{low:.4g}": 1.0}
    edges = [low + (high - low) * place / BARS for place in range(BARS + 1)]
    below = profile.cdf(edges[1:-1])
    known = profile.count / (profile.count + profile.missing)
    shares = [(after - before) * known for before, after in zip([0.0, *below], [*below, 1.0], strict=True)]
    middles = [f"{(left + right) / 2:.4g}" for left, right in itertools.pairwise(edges)]
    return dict(zip(middles, shares, strict=True))


def category_shares(profile: CategoryProfile) -> dict[str, float | None]:
    """Return the shares of the most frequent values."""
    total = profile.count + profile.missing
    most = sorted(profile.counts().items(), key=lambda item: -item[1])[:BARS]
    return {name or "(empty)": count / total for name, count in most}


def _comparison(version: DatasetVersion, reference: str) -> dict[str, Any] | None:
    """Return what another version is beside this one, or why it cannot be said; None if none is asked for."""
    if not reference:
        return None
    try:
        other = dataset_registry.get_version(version.dataset.name, reference)
        first, second = sorted((other, version), key=lambda one: one.version)
        found = dataset_registry.compare_versions(first, second)
    except PlatformError as error:
        return {"failed": error.message}
    columns = sorted(
        (*found.drift["features"], *found.drift["predictions"]), key=lambda column: column["verdict"] != "drifted"
    )
    return {"found": found, "columns": [_drift_row(found, column) for column in columns]}


def _drift_row(found: dataset_registry.DatasetDifference, column: dict[str, Any]) -> dict[str, Any]:
    bins = column["distribution"]
    series = {
        str(found.before): dict(zip(bins["bins"], bins["baseline"], strict=True)),
        str(found.after): dict(zip(bins["bins"], bins["window"], strict=True)),
    }
    tests = [(t["test"], t["statistic"], t["threshold"]) for t in column["tests"] if t["statistic"] is not None]
    chart = bar_chart(title=column["column"], series=series, y_is_share=True, width=380, height=180)
    return {"name": column["column"], "verdict": column["verdict"], "tests": tests, "chart": chart}
