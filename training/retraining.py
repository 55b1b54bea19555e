"""Trains a model anew as one of its versions was trained, on new data or on more."""

from __future__ import annotations

from aiplatform.contracts.training import RetrainModel
from aiplatform.errors import ConflictError
from training import selectors
from training.data.combined import combine_uris
from training.models import Run
from training.resources.asking import resources_of
from training.services import RunOrder, create_run


def retrain_model(order: RetrainModel) -> Run:
    """Queue a run with the recipe, parameters, target and seed of a version's own.

    Raises: NotFoundError for an unknown model or version; ConflictError if the version has no run
    (it was imported); InvalidInputError if the recipe does not take its parameters any more.
    """
    version = selectors.get_version(order.model, str(order.version))
    before = version.run
    if before is None:
        raise ConflictError(
            f"version {version.version} of model '{order.model}' was imported: there is no recipe to repeat"
        )
    sources = [order.data_uri or before.data_uri, order.extra_data_uri]
    return create_run(
        RunOrder(
            recipe=before.recipe,
            data_uri=combine_uris([uri for uri in sources if uri]),
            model_name=order.model,
            target=before.target,
            parameters=before.parameters,
            seed=before.seed,
            actor=order.actor,
            reason=order.reason,
            idempotency_key=order.idempotency_key,
            resources=resources_of(before),
        )
    )
