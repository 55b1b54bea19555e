"""The console's buttons: each asks first, saying what will change, then gives the order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from aiplatform.console.pages import Question, confirm, done
from aiplatform.contracts.inference import EndpointInfo, FreezeEndpoint, SwitchEndpoint
from aiplatform.errors import ConflictError, NotFoundError, PlatformError
from inference import controls, selectors, services
from inference.choice import WISHES
from inference.references import known_references
from inference.traffic import describe_traffic, from_plain, parse_traffic


class DeployForm(forms.Form):
    """Which version is to get all requests."""

    reference = forms.CharField(label="Version", initial="latest", max_length=63)
    engine = forms.ChoiceField(
        required=False,
        choices=[("", "as it is"), *((name, name) for name in WISHES)],
        help_text="Pins an engine for the endpoint; auto is the fastest that reproduces the trainer's outputs",
    )
    reason = forms.CharField(required=False, max_length=2000, help_text="Why; kept in the history")


class NewEndpointForm(DeployForm):
    """The first deployment of an endpoint."""

    endpoint = forms.CharField(max_length=63, help_text="The public name: lower case letters, digits, . _ -")
    model = forms.CharField(max_length=63, help_text="The model's name in the registry")
    field_order = ("endpoint", "model", "reference", "engine", "reason")


class TrafficForm(forms.Form):
    """How requests are shared."""

    shares = forms.CharField(help_text="VERSION=PERCENT, separated by spaces, for example 3=90 4=10; together 100")
    reason = forms.CharField(required=False, max_length=2000, help_text="Why; kept in the history")


class ReasonForm(forms.Form):
    """Why something is undone."""

    reason = forms.CharField(max_length=2000, help_text="Why; kept in the history")


class RollBackForm(ReasonForm):
    """Why, and what was on screen when it was decided."""

    generation = forms.IntegerField(widget=forms.HiddenInput)


class EndpointOrders:
    """Views behind the buttons of the endpoints' admin."""

    def __init__(self, model_admin: Any) -> None:
        self._admin = model_admin

    def deploy_new(self, request: HttpRequest) -> HttpResponse:
        """Ask for an endpoint's name and a version, then serve it."""
        self._require_permission(request)
        form = NewEndpointForm(request.POST or None)
        question = Question(
            title="Serve a model under a new name?",
            submit="Deploy",
            cancel_url=reverse("admin:inference_endpoint_changelist"),
            what_will_change=["A new endpoint is made; serving processes load the version, check it, then answer."],
        )

        def order(data: dict[str, Any]) -> EndpointInfo:
            return services.deploy_version(**data, actor=_actor(request))

        return _ask(request, question, form, order)

    def deploy(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask which version shall get all requests of an endpoint."""
        info = self._endpoint(request, name)
        form = DeployForm(request.POST or None)
        form.fields["reference"].help_text = known_references(info.model)
        question = Question(
            title=f"Deploy a version of {info.model} to {name}?",
            submit="Deploy",
            cancel_url=_detail(name),
            what_will_change=[
                f"Now: {describe_traffic(info.traffic)}.",
                "Then: all requests go to the version that you name, once a serving process has loaded and checked it.",
                "Until then, and if it cannot be loaded, the present traffic goes on.",
            ],
        )

        def order(data: dict[str, Any]) -> EndpointInfo:
            return services.deploy_version(endpoint=name, model=info.model, **data, actor=_actor(request))

        return _ask(request, question, form, order)

    def set_traffic(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask how an endpoint's requests shall be shared."""
        info = self._endpoint(request, name)
        present = " ".join(f"{share.version}={share.weight}" for share in info.traffic)
        form = TrafficForm(request.POST or None, initial={"shares": present})
        question = Question(
            title=f"Share the requests of {name} differently?",
            submit="Set traffic",
            cancel_url=_detail(name),
            what_will_change=[f"Now: {describe_traffic(info.traffic)}.", "Then: the shares that you give."],
        )

        def order(data: dict[str, Any]) -> EndpointInfo:
            traffic = parse_traffic(data["shares"].split())
            return services.set_traffic(endpoint=name, traffic=traffic, actor=_actor(request), reason=data["reason"])

        return _ask(request, question, form, order)

    def roll_back(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask whether to return to the traffic before."""
        info = self._endpoint(request, name)
        target = selectors.find_rollback_revision(name)
        before = f"{target.model}, {describe_traffic(from_plain(target.traffic))}" if target else "nothing earlier"
        question = Question(
            title=f"Roll {name} back?",
            submit="Roll back",
            cancel_url=_detail(name),
            is_dangerous=True,
            what_will_change=[f"Now: {info.model}, {describe_traffic(info.traffic)}.", f"Then: {before}."],
        )

        def order(data: dict[str, Any]) -> EndpointInfo:
            # The form carries the generation that the person saw; a newer one is not rolled back unseen.
            if str(info.generation) != request.POST.get("generation"):
                raise ConflictError(f"{name} was changed since this page was shown; look at it again")
            return services.roll_back_endpoint(
                endpoint=name,
                actor=_actor(request),
                reason=data["reason"],
                idempotency_key=f"console:{name}:{info.generation}",
            )

        form = RollBackForm(request.POST or None, initial={"generation": info.generation})
        return _ask(request, question, form, order)

    def switch(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask whether to switch an endpoint off, or on again."""
        info = self._endpoint(request, name)
        question = Question(
            title=f"Switch {name} {'on' if info.is_off else 'off'}?",
            submit=f"Switch {'on' if info.is_off else 'off'}",
            cancel_url=_detail(name),
            is_dangerous=not info.is_off,
            what_will_change=[
                f"Requests are answered again: {describe_traffic(info.traffic)}."
                if info.is_off
                else "Every request gets 503 with the reason. Versions stay loaded; switching on takes a second."
            ],
        )

        def order(data: dict[str, Any]) -> EndpointInfo:
            wanted = SwitchEndpoint(endpoint=name, is_on=info.is_off, actor=_actor(request), reason=data["reason"])
            return controls.switch_endpoint(wanted).endpoint

        return _ask(request, question, ReasonForm(request.POST or None), order)

    def freeze(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask whether to freeze an endpoint's traffic, or to lift that."""
        info = self._endpoint(request, name)
        question = Question(
            title=f"Lift the freeze of {name}?" if info.is_frozen else f"Freeze {name}?",
            submit="Lift the freeze" if info.is_frozen else "Freeze",
            cancel_url=_detail(name),
            what_will_change=[
                "Deployments and splits are allowed again; a rollout goes on."
                if info.is_frozen
                else "New deployments and splits are refused, a rollout waits. Rolling back stays possible."
            ],
        )

        def order(data: dict[str, Any]) -> EndpointInfo:
            wanted = not info.is_frozen
            freeze = FreezeEndpoint(endpoint=name, is_frozen=wanted, actor=_actor(request), reason=data["reason"])
            return controls.freeze_endpoint(freeze).endpoint

        return _ask(request, question, ReasonForm(request.POST or None), order)

    def delete(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask whether to stop serving an endpoint."""
        self._endpoint(request, name)
        question = Question(
            title=f"Stop serving {name}?",
            submit="Delete the endpoint",
            cancel_url=_detail(name),
            is_dangerous=True,
            what_will_change=["Requests to it get 404.", "Its history stays; the model stays in the registry."],
        )

        def order(data: dict[str, Any]) -> None:
            services.delete_endpoint(endpoint=name, actor=_actor(request), reason=data["reason"])

        return _ask(request, question, ReasonForm(request.POST or None), order)

    def _endpoint(self, request: HttpRequest, name: str) -> EndpointInfo:
        self._require_permission(request)
        try:
            return selectors.get_endpoint(name)
        except NotFoundError as error:
            raise Http404(error.message) from error

    def _require_permission(self, request: HttpRequest) -> None:
        if not self._admin.has_change_permission(request):
            raise PermissionDenied


def _ask(
    request: HttpRequest,
    question: Question,
    form: forms.Form,
    order: Callable[[dict[str, Any]], EndpointInfo | None],
) -> HttpResponse:
    if request.method != "POST" or not form.is_valid():
        return confirm(request, question, form=form)
    try:
        info = order(form.cleaned_data)
    except PlatformError as error:
        return confirm(request, question, form=form, error=error.message, status=error.http_status)
    if info is None:
        return done(request, "The endpoint is no longer served.", to=reverse("admin:inference_endpoint_changelist"))
    return done(request, f"{info.name}: {describe_traffic(info.traffic)} is ordered.", to=_detail(info.name))


def _detail(name: str) -> str:
    return reverse("admin:inference_endpoint_detail", args=[name])


def _actor(request: HttpRequest) -> str:
    return request.user.get_username()
