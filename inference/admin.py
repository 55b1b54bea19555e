"""Endpoints in the console: what is served, how it got there, and buttons that ask first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from aiplatform.console.pages import page_context
from aiplatform.contracts.inference import EndpointInfo
from aiplatform.errors import NotFoundError
from inference import selectors
from inference.admin_orders import EndpointOrders
from inference.charts import draw_endpoint
from inference.models import Endpoint
from inference.panel import describe_for_people, health_state
from inference.traffic import describe_traffic

HISTORY_ROWS = 50


@admin.register(Endpoint)
class EndpointAdmin(ModelAdmin):  # type: ignore[misc]
    """The list of endpoints, a page for each, and orders to them."""

    empty_hint = "An endpoint is a public name that versions are served under. Open a model version and deploy it, or:"
    empty_command = "python manage.py endpoints deploy NAME --model MODEL --version latest"

    list_display = ("name", "state", "model", "traffic_now", "replica_count", "generation", "updated_at")
    list_display_links = ("name",)
    search_fields = ("name", "model")
    list_filter = ("model",)
    list_per_page = 50
    actions = None

    def get_urls(self) -> list[URLPattern]:
        """Add the endpoint's page and the orders before the admin's own pages."""
        orders = EndpointOrders(self)
        wrap = self.admin_site.admin_view
        mine = [
            path("deploy/", wrap(orders.deploy_new), name="inference_endpoint_deploy_new"),
            path("<str:name>/detail/", wrap(self.detail), name="inference_endpoint_detail"),
            path("<str:name>/deploy/", wrap(orders.deploy), name="inference_endpoint_deploy"),
            path("<str:name>/traffic/", wrap(orders.set_traffic), name="inference_endpoint_traffic"),
            path("<str:name>/rollback/", wrap(orders.roll_back), name="inference_endpoint_rollback"),
            path("<str:name>/switch/", wrap(orders.switch), name="inference_endpoint_switch"),
            path("<str:name>/freeze/", wrap(orders.freeze), name="inference_endpoint_freeze"),
            path("<str:name>/stop/", wrap(orders.delete), name="inference_endpoint_stop"),
        ]
        return [*mine, *super().get_urls()]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Give each row of the page its real state, in two queries for all."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        for row, info in zip(rows, selectors.describe_endpoints(rows), strict=True):
            row.info = info
        changelist.result_list = rows
        return changelist

    @admin.display(description="State")
    def state(self, row: Endpoint) -> SafeString:
        """Return a badge."""
        return render_to_string("inference/state.html", {"state": health_state(_info(row))})

    @admin.display(description="Traffic")
    def traffic_now(self, row: Endpoint) -> str:
        """Return the wanted split."""
        return describe_traffic(_info(row).traffic)

    @admin.display(description="Replicas")
    def replica_count(self, row: Endpoint) -> int:
        """Return how many serving processes were heard lately."""
        return len({replica.replica for replica in _info(row).replicas})

    def detail(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show one endpoint: state, traffic, replicas, history."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            info = selectors.get_endpoint(name)
        except NotFoundError as error:
            raise Http404(error.message) from error
        charts, gap = draw_endpoint(info)
        context = page_context(
            request,
            title=f"Endpoint {name}",
            charts=charts,
            gap=gap,
            endpoint=describe_for_people(info),
            info=info,
            revisions=selectors.list_revisions(name)[:HISTORY_ROWS],
            may_change=self.has_change_permission(request),
            may_roll_back=selectors.find_rollback_revision(name) is not None,
            original=selectors.list_endpoint_rows().get(name=name),
            opts=self.model._meta,
        )
        return TemplateResponse(request, "inference/endpoint.html", context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the endpoint's page: its row is only changed by orders."""
        name = selectors.find_endpoint_name(object_id)
        if name is None:
            raise Http404("there is no such endpoint")
        return HttpResponseRedirect(reverse("admin:inference_endpoint_detail", args=[name]))

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask for a first deployment, which makes the endpoint."""
        return HttpResponseRedirect(reverse("admin:inference_endpoint_deploy_new"))

    def has_delete_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        """Say no: an endpoint is stopped by an order, which is remembered."""
        return False


def _info(row: Endpoint) -> EndpointInfo:
    info: EndpointInfo | None = getattr(row, "info", None)
    return info or selectors.get_endpoint(row.name)
