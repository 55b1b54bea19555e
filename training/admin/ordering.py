"""What the pages that order something of a recipe share: first the recipe is chosen, then a form has its parameters."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from aiplatform.console.pages import done, failed, page_context
from aiplatform.errors import PlatformError
from training.admin.base import ReadOnlyAdmin
from training.admin.order_forms import OrderForm, recipe_groups
from training.recipe_defaults import get_recipe, list_recipes


class OrderingAdmin(ReadOnlyAdmin):
    """An admin whose rows are ordered by a form of a recipe's parameters, by those who may add them."""

    order_form: type[OrderForm]
    order_title = ""
    order_submit = ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may order one."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.add_{self.opts.model_name}"))

    def place_order(self, form: Any, *, actor: str) -> tuple[Any, str]:
        """Order it; return the new row, and what to say.

        Raises: PlatformError naming the rule and the value received.
        """
        raise NotImplementedError

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Let the recipe be chosen, then ask for the rest."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        name = request.GET.get("recipe", "").strip()
        if not name:
            return self._choose(request)
        try:
            recipe = get_recipe(name)
        except PlatformError as error:
            return failed(request, error.message, to=self._url("add"))
        form = self.order_form(request.POST or None, recipe=recipe, label_suffix="")
        if request.method != "POST" or not form.is_valid():
            return self._ask(request, form)
        try:
            made, said = self.place_order(form, actor=request.user.get_username())
        except PlatformError as error:
            return self._ask(request, form, error=error.message)
        return done(request, said, to=reverse(f"admin:{self._name}_change", args=[made.pk]))

    @property
    def _name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def _url(self, page: str) -> str:
        return reverse(f"admin:{self._name}_{page}")

    def _choose(self, request: HttpRequest) -> HttpResponse:
        context = page_context(
            request, title=self.order_title, groups=recipe_groups(list_recipes()),
            list_url=self._url("changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "training/choose_recipe.html", context)

    def _ask(self, request: HttpRequest, form: OrderForm, *, error: str = "") -> HttpResponse:
        context = page_context(
            request, title=f"{self.order_title}: {form.recipe.name}", form=form, recipe=form.recipe,
            error=error, submit=self.order_submit, add_url=self._url("add"), list_url=self._url("changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "training/order_form.html", context)
