"""What a form can say of the versions there are, if the registry answers."""

from __future__ import annotations

from aiplatform.errors import PlatformError
from aiplatform.services import training_client

SHOWN = 8


def known_references(model: str) -> str:
    """Return a line that names a model's newest versions and aliases."""
    rule = "A number, an alias, or 'latest'."
    try:
        versions = training_client().list_model_versions(model).versions
    except PlatformError as error:
        return f"{rule} The registry cannot be asked now: {error.message}"
    names = [f"{v.version} ({', '.join(v.aliases)})" if v.aliases else str(v.version) for v in versions[:SHOWN]]
    return f"{rule} There are: {', '.join(names)}{', ...' if len(versions) > SHOWN else ''}"
