"""The API documents: complete, valid, local, and the same as the file in docs/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from aiplatform.console.api_document import LastingGenerator
from tests.aiplatform.console.fake_world import World


@pytest.fixture(scope="module")
def document() -> Any:
    """Give the document of all apps."""
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def test_the_document_is_valid_openapi(document: Any) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/{model}:predict",
        "/v1/models/{model}/labels/{label}:predict",
        "/v2/models/{model}/infer",
        "/v2/health/ready",
    ],
)
def test_the_predict_protocols_are_documented(document: Any, path: str) -> None:
    [operation] = document["paths"][path].values()
    assert operation["security"] == [{"token": []}]


def test_every_path_parameter_is_declared(document: Any) -> None:
    for path, operations in document["paths"].items():
        wanted = {part.split("}")[0] for part in path.split("{")[1:]}
        for operation in operations.values():
            found = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert found == wanted, path


def test_what_the_apps_ask_of_each_other_is_not_public(document: Any) -> None:
    assert not [path for path in document["paths"] if "internal" in path]


def test_every_operation_says_how_it_fails(document: Any) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["responses"]["default"]["content"]["application/json"]["schema"] == {
                "$ref": "#/components/schemas/Error"
            }


def test_the_documentation_pages_need_no_login_and_no_other_server(client: Client, db: Any, fake_world: World) -> None:
    for address in ("/api/docs/", "/api/redoc/"):
        response = client.get(address)
        assert response.status_code == 200
        assert "/static/drf_spectacular_sidecar/" in response.content.decode()
    assert client.get("/api/schema/").status_code == 200


def test_the_kept_document_is_the_one_that_the_code_gives(document: Any) -> None:
    kept = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"
    written = OpenApiYamlRenderer().render(document, renderer_context={})  # type: ignore[no-untyped-call]
    assert yaml.safe_load(kept.read_text()) == yaml.safe_load(written), "run `make docs`"


class CountingGenerator(LastingGenerator):
    """Counts how often the document is written."""

    _documents: dict[str, Any] = {}
    written = 0

    def parse(self, input_request: Any, public: bool) -> Any:
        type(self).written += 1
        return {}


def written_document(version: str | None = None) -> Any:
    return CountingGenerator(api_version=version).get_schema(public=True)  # type: ignore[no-untyped-call]


def test_the_document_is_written_once_a_language() -> None:
    documents = [written_document() for _ in range(3)]
    assert CountingGenerator.written == 1
    assert documents[0]["info"]["title"] == "aiplatform"
    with translation.override("de"):
        written_document()
    assert CountingGenerator.written == 2
    named = [written_document(version) for version in ("a", "b")]
    assert CountingGenerator.written == 4, "what anybody may name is not kept"
    assert named[0]["info"]["version"] != named[1]["info"]["version"]
