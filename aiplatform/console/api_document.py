"""The API's document as the console shows it: written at the first question, kept as long as the process lives."""

from __future__ import annotations

import threading
from typing import Any

from django.utils.translation import get_language
from drf_spectacular.generators import SchemaGenerator


class LastingGenerator(SchemaGenerator):
    """Writes the document once a language: it is made of the code alone, and takes seconds of a web worker's processor.

    A question for a version of the API is answered anew each time: the platform has none, so any name is one.
    """

    _lock = threading.Lock()
    _documents: dict[str, Any] = {}

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        """Return the document; `public` is what SPECTACULAR_SETTINGS says, for everybody the same."""
        if self.api_version is not None:
            return self._write(request, public)
        with self._lock:
            language = get_language() or ""
            if language not in self._documents:
                self._documents[language] = self._write(request, public)
            return self._documents[language]

    def _write(self, request: Any, public: bool) -> Any:
        return super().get_schema(request=request, public=public)  # type: ignore[no-untyped-call]
