"""The forms that order a training or a search: one field for each parameter of the chosen recipe, by its type.

What is wrong is said at its field; the rules are those of the services, asked one parameter at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.forms import BoundField

from aiplatform.errors import PlatformError
from training.admin.resource_fields import RESOURCES, ResourceFields
from training.data.sql_places import check_no_password
from training.names import check_public_name
from training.recipes.parameters import Parameter, check_value
from training.recipes.registry import RecipeInfo
from training.searching.choosing import GRID, PRUNERS, SAMPLERS
from training.searching.orders import MOST_PARALLEL, MOST_TRIALS, SearchOrder
from training.searching.space import Dimension, parse_space
from training.services import LARGEST_SEED, RunOrder

_SET, _OVER = "set_", "over_"
_GOALS = [("", "as the metric's name says"), ("min", "the least"), ("max", "the greatest")]


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """A parameter as the page shows it; `over` is there in a search."""

    parameter: Parameter
    rule: str
    value: BoundField
    over: BoundField | None


class OrderForm(ResourceFields):
    """What every training says: data, model, seed, and the recipe's parameters."""

    searches = False

    data_uri = forms.CharField(
        label="Data", max_length=1000,
        help_text="digits, mnist, dataset:NAME, s3://..., gs://..., or a whole path on the machine that trains.",
    )  # fmt: skip
    target = forms.CharField(
        label="Target", max_length=200, required=False, help_text="Column to predict; for tables and series."
    )
    model_name = forms.CharField(label="Model", help_text="Its name in the registry: a-z 0-9 . _ -")
    seed = forms.IntegerField(
        min_value=0, max_value=LARGEST_SEED, initial=0, help_text="The same seed, the same weights, on a CPU."
    )

    def __init__(self, *arguments: Any, recipe: RecipeInfo, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recipe = recipe
        self.chosen: dict[str, Any] = {}
        for parameter in recipe.parameters:
            self.fields[_SET + parameter.name] = _value_field(parameter)
            if self.searches:
                self.fields[_OVER + parameter.name] = _over_field(parameter)

    @property
    def general(self) -> list[BoundField]:
        """Return the fields that are neither parameters nor asked of a machine."""
        return [field for field in self if not field.name.startswith((_SET, _OVER)) and field.name not in RESOURCES]

    @property
    def asked(self) -> list[BoundField]:
        """Return the fields that are asked of a machine."""
        return [self[name] for name in RESOURCES]

    @property
    def has_asked(self) -> bool:
        """Return whether one of those is filled in, or is wrong."""
        return any(field.errors or field.value() not in (None, "", 0, "0") for field in self.asked)

    @property
    def rows(self) -> list[ParameterRow]:
        """Return the recipe's parameters."""
        return [
            ParameterRow(
                parameter=parameter, rule=rule_text(parameter), value=self[_SET + parameter.name],
                over=self[_OVER + parameter.name] if self.searches else None,
            )
            for parameter in self.recipe.parameters
        ]  # fmt: skip

    @property
    def error_count(self) -> int:
        """Return how many fields need another look."""
        return len([name for name in self.errors if name != NON_FIELD_ERRORS])

    def clean_data_uri(self) -> str:
        """Return the source, which names no password."""
        text = str(self.cleaned_data["data_uri"])
        _ask(check_no_password, text)
        return text

    def clean_model_name(self) -> str:
        """Return the name."""
        return str(_ask(check_public_name, "model", self.cleaned_data["model_name"]))

    def clean(self) -> dict[str, Any]:
        """Read the parameters that are set."""
        for parameter in self.recipe.parameters:
            text = self.cleaned_data.get(_SET + parameter.name, "")
            if text != "":
                self._set(parameter, text)
        return self.cleaned_data

    def _set(self, parameter: Parameter, text: str) -> None:
        try:
            self.chosen[parameter.name] = check_value(parameter, text)
        except PlatformError as error:
            self.add_error(_SET + parameter.name, error.message)

    def _common(self) -> dict[str, Any]:
        names = ("data_uri", "target", "model_name", "seed")
        chosen = {name: self.cleaned_data[name] for name in names}
        return {"recipe": self.recipe.name, "resources": self.resources(), **chosen}


class RunForm(OrderForm):
    """One training."""

    deploy_endpoint = forms.CharField(
        label="Deploy to", required=False, help_text="An endpoint, new or there already; empty: it is only registered."
    )

    def clean_deploy_endpoint(self) -> str:
        """Return the endpoint's name, or nothing."""
        name = str(self.cleaned_data["deploy_endpoint"])
        return str(_ask(check_public_name, "endpoint", name)) if name else ""

    def order(self, *, actor: str) -> RunOrder:
        """Return what was filled in."""
        deploy = self.cleaned_data["deploy_endpoint"]
        return RunOrder(**self._common(), parameters=self.chosen, deploy_endpoint=deploy, actor=actor)


class SearchForm(OrderForm):
    """A search for parameters."""

    searches = True

    trials = forms.IntegerField(min_value=1, max_value=MOST_TRIALS, initial=20, help_text="Trainings altogether.")
    parallel = forms.IntegerField(
        label="At once",
        min_value=1,
        max_value=MOST_PARALLEL,
        initial=1,
        help_text="As far as there is room on the machines.",
    )
    metric = forms.CharField(
        initial="val_loss",
        max_length=100,
        help_text="Of the epochs: val_loss, val_accuracy ... Test rows may not choose.",
    )
    goal = forms.ChoiceField(choices=_GOALS, required=False, label="Best is")
    sampler = forms.ChoiceField(
        choices=[(name, name) for name in SAMPLERS], initial=SAMPLERS[0],
        help_text="tpe learns from the trials before; grid tries every combination.",
    )  # fmt: skip
    pruner = forms.ChoiceField(
        choices=[(name, name) for name in PRUNERS], initial="median", help_text="Gives up trials that are hopeless."
    )

    def clean_metric(self) -> str:
        """Return the metric, which is not one of the test rows."""
        metric = str(self.cleaned_data["metric"])
        if metric.startswith("test"):
            raise forms.ValidationError(
                f"Test rows must not choose parameters; take a metric of the epochs, not '{metric}'."
            )
        return metric

    def clean(self) -> dict[str, Any]:
        """Read the parameters that are set, and those to search over."""
        values = super().clean()
        self.space = [part for parameter in self.recipe.parameters if (part := self._part(parameter))]
        if not self.space and not self.errors:
            raise forms.ValidationError("Say for one parameter at least what to search over.")
        return values

    def _part(self, parameter: Parameter) -> str:
        name = _OVER + parameter.name
        text = over_text(self.cleaned_data.get(name, ""))
        if not text:
            return ""
        if parameter.name in self.chosen:
            self.add_error(name, f"It is set to {self.chosen[parameter.name]}: leave one of the two empty.")
            return ""
        part = f"{parameter.name}={text}"
        try:
            for dimension in parse_space(part, self.recipe.parameters):
                self._check_points(dimension)
        except PlatformError as error:
            self.add_error(name, error.message)
        return part

    def _check_points(self, dimension: Dimension) -> None:
        if self.cleaned_data.get("sampler") == GRID:
            dimension.grid()
        elif dimension.points:
            self.add_error(_OVER + dimension.name, f"'/{dimension.points}' is for the sampler 'grid' only.")

    def order(self, *, actor: str) -> SearchOrder:
        """Return what was filled in."""
        names = ("trials", "parallel", "metric", "goal", "sampler", "pruner")
        more = {name: self.cleaned_data[name] for name in names}
        return SearchOrder(**self._common(), parameters=self.chosen, space=",".join(self.space), actor=actor, **more)


def rule_text(parameter: Parameter) -> str:
    """Return type and range as a person reads them."""
    kinds = {"int": "whole number", "float": "number", "bool": "yes or no", "str": "text"}
    if parameter.choices:
        return "one of these"
    low, high = parameter.minimum, parameter.maximum
    bounds = "" if low is None else f" from {low:g}"
    bounds += "" if high is None else f" to {high:g}"
    return f"{kinds[parameter.type]}{bounds}"


def over_text(value: Any) -> str:
    """Return what to search over as the space has it."""
    return "|".join(value) if isinstance(value, list) else str(value).strip()


def _choices(parameter: Parameter) -> list[str]:
    if parameter.type == "bool":
        return ["true", "false"]
    return [str(choice) for choice in parameter.choices]


def _default_text(parameter: Parameter) -> str:
    if parameter.type == "bool":
        return str(parameter.default).lower()
    return str(parameter.default) if parameter.default != "" else "empty"


def _value_field(parameter: Parameter) -> forms.Field:
    default = _default_text(parameter)
    choices = _choices(parameter)
    if choices:
        listed = [("", f"default: {default}"), *((choice, choice) for choice in choices)]
        return forms.ChoiceField(choices=listed, required=False, label=parameter.name)
    widget = forms.TextInput(attrs={"placeholder": default, "autocomplete": "off"})
    return forms.CharField(required=False, label=parameter.name, widget=widget)


def _over_field(parameter: Parameter) -> forms.Field:
    label = f"{parameter.name}, searched over"
    choices = _choices(parameter)
    if choices:
        return forms.MultipleChoiceField(
            choices=[(choice, choice) for choice in choices], required=False, label=label,
            widget=forms.CheckboxSelectMultiple,
        )  # fmt: skip
    example = "low..high" if parameter.type in ("int", "float") else "a|b"
    widget = forms.TextInput(attrs={"placeholder": example, "autocomplete": "off"})
    return forms.CharField(required=False, label=label, widget=widget)


def _ask(check: Any, *arguments: Any) -> Any:
    """Return what a rule of the services returns; its refusal is said at the field."""
    try:
        return check(*arguments)
    except PlatformError as error:
        raise forms.ValidationError(error.message) from error


def recipe_groups(recipes: list[RecipeInfo]) -> Mapping[str, list[RecipeInfo]]:
    """Return recipes by what they learn from."""
    groups: dict[str, list[RecipeInfo]] = {}
    for recipe in recipes:
        groups.setdefault(recipe.data_kind, []).append(recipe)
    return groups
