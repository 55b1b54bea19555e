"""What a list of endpoints may be narrowed by."""

from __future__ import annotations

import django_filters  # type: ignore[import-untyped]

from inference.models import Endpoint


class EndpointFilter(django_filters.FilterSet):  # type: ignore[misc]
    """By model, or by a part of the name."""

    model = django_filters.CharFilter(field_name="model", help_text="The exact model name")
    name = django_filters.CharFilter(field_name="name", lookup_expr="icontains", help_text="A part of the name")

    class Meta:
        model = Endpoint
        fields = ("model", "name")
