"""What holds for inputs and outputs in every protocol."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import Signature
from inference.protocols.messages import Arrays


def check_inputs(signature: Signature, arrays: Arrays) -> None:
    """Raise InvalidInputError unless the arrays are exactly the signature's inputs."""
    check_names(signature, arrays)
    for spec in signature.inputs:
        spec.check(arrays[spec.name])


def check_names(signature: Signature, names: Collection[str], *, where: str = "the request") -> None:
    """Raise InvalidInputError for an input that is unknown or missing."""
    for name in names:
        signature.input(name)
    for spec in signature.inputs:
        if spec.name not in names:
            known = ", ".join(s.name for s in signature.inputs)
            raise InvalidInputError(f"{where} lacks input '{spec.name}'; the inputs are: {known}")


def select_outputs(outputs: Arrays, wanted: Iterable[str]) -> Arrays:
    """Return the wanted outputs in the wanted order; all if none is named."""
    names = list(wanted)
    return {name: outputs[name] for name in names} if names else outputs


def check_output_names(signature: Signature, wanted: Iterable[str]) -> None:
    """Raise InvalidInputError for an output that the model does not have."""
    known = [spec.name for spec in signature.outputs]
    for name in wanted:
        if name not in known:
            raise InvalidInputError(f"no output is named '{name:.80}'; the outputs are: {', '.join(known)}")
