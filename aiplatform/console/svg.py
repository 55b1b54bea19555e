"""Writes SVG (and the little HTML around it) with everything escaped, so that no label can break out."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Attribute = str | float | int | None


def element(tag: str, *children: object, **attributes: Attribute) -> SafeString:
    """Return one element. `class_` becomes class, `stroke_width` stroke-width; None is left out."""
    pairs = ((_attribute_name(name), _attribute_text(value)) for name, value in attributes.items() if value is not None)
    written = format_html_join("", ' {}="{}"', pairs)
    return format_html("<{}{}>{}</{}>", tag, written, join(children), tag)


def words(text: str, *, x: float, y: float, anchor: str = "start", **more: Attribute) -> SafeString:
    """Return a text at a place, in the colour of the page's text unless told otherwise."""
    return element("text", text, x=x, y=y, text_anchor=anchor, **{"fill": "currentColor", **more})


def join(children: object) -> SafeString:
    """Return the children one after the other; plain strings are escaped."""
    parts = children if isinstance(children, (list, tuple)) else [children]
    return format_html_join("", "{}", ((part,) for part in parts))


def _attribute_name(name: str) -> str:
    return name.rstrip("_").replace("_", "-") if name != "viewBox" else name


def _attribute_text(value: Attribute) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
