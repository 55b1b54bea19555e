"""`manage.py models import`: what people type, as an order, and what they get to read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.cli.texts import metrics_text, version_record
from training.importing.messages import TASKS, Examined
from training.imports import Description, ModelSource
from training.models import ModelVersion
from training.runtimes.base import GivenSignature, ModelForm
from training.runtimes.remote import RemoteModel

SAME_AS_NAME = "\0"  # --deploy without an endpoint
_FORMS = [form.value for form in ModelForm if form is not ModelForm.REMOTE]
_LARGEST_SIDE = 16_384


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `import`."""
    parser.add_argument("path", nargs="?", default="", help="file or folder; also s3:// and gs://")
    parser.add_argument("--name", required=True, help="the model's name in the registry")
    parser.add_argument("--format", choices=_FORMS, default="", dest="form", help="default: by the name")
    parser.add_argument("--signature", type=Path, metavar="FILE.json", help="inputs (and outputs): name, dtype, shape")
    parser.add_argument("--signature-name", default="", help="which of a SavedModel's or LiteRT file's signatures")
    parser.add_argument("--labels", default="", help="class labels in the outputs' order: a,b,c or a file, one a line")
    parser.add_argument("--task", choices=TASKS, default="", help="default: by image, labels and outputs")
    parser.add_argument("--image", default="", metavar="HxWxC", help="the input is an image: pictures can be uploaded")
    parser.add_argument("--low", type=float, default=0.0, help="the value of black")
    parser.add_argument("--high", type=float, default=255.0, help="the value of white")
    parser.add_argument(
        "--samples", type=Path, metavar="FILE", help=".npz, .npy or .csv with rows, perhaps with labels"
    )
    parser.add_argument("--target", default="", help="array or column of labels in the samples; default: y or labels")
    parser.add_argument("--remote", default="", metavar="URL", help="the model runs on another server, at this address")
    parser.add_argument("--protocol", choices=("v2", "tf_serving"), default="v2", help="which that server speaks")
    parser.add_argument("--model", default="", dest="remote_model", help="the model's name there; default: NAME")
    parser.add_argument("--remote-version", default="", help="the version there; default: the server's choice")
    parser.add_argument("--alias", default="", help="point this alias at the version, for example champion")
    parser.add_argument(
        "--deploy", nargs="?", const=SAME_AS_NAME, default="", metavar="ENDPOINT", help="deploy it, by default as NAME"
    )


def parse_source(options: dict[str, Any]) -> ModelSource:
    """Return where the model is.

    Raises: InvalidConfigurationError unless exactly one of path and --remote is given.
    """
    path, url = options["path"], options["remote"]
    if bool(path) == bool(url):
        raise InvalidConfigurationError("name a file or folder, or --remote URL; one of the two")
    if not url:
        return ModelSource(place=path, form=ModelForm(options["form"]) if options["form"] else None)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidConfigurationError(
            f"--remote takes an http:// or https:// address of host, port and path alone, not '{url}'"
        )
    model = options["remote_model"] or options["name"]
    return ModelSource(
        remote=RemoteModel(protocol=options["protocol"], url=url, model=model, version=options["remote_version"])
    )


def parse_description(options: dict[str, Any]) -> Description:
    """Return what is said of the model.

    Raises: InvalidInputError or InvalidConfigurationError naming the argument that cannot be.
    """
    if options["target"] and not options["samples"]:
        raise InvalidConfigurationError("--target names labels in --samples, which are not given")
    return Description(
        given=read_signature(options["signature"]),
        signature_name=options["signature_name"],
        labels=parse_labels(options["labels"]),
        task=options["task"],
        image=parse_image(options["image"], low=options["low"], high=options["high"]),
        samples=options["samples"],
        target=options["target"],
    )


def read_signature(path: Path | None) -> GivenSignature:
    """Return the signature of a JSON file: {"inputs": [{"name", "dtype", "shape"}], "outputs": [...]}."""
    if path is None:
        return GivenSignature()
    try:
        given = msgspec.json.decode(path.read_bytes(), type=GivenSignature)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--signature '{path}' cannot be used: {error}") from error
    for spec in (*given.inputs, *given.outputs):
        if not spec.name or not spec.shape or any(size < -1 or size == 0 for size in spec.shape):
            raise InvalidInputError(
                f"--signature: '{spec.name}' must have a name and a shape of positive sizes (-1: any), "
                f"with the batch first, not {list(spec.shape)}"
            )
    return given


def parse_labels(text: str) -> tuple[str, ...]:
    """Return labels from a list with commas or from a file with one on each line."""
    if not text:
        return ()
    path = Path(text)
    try:
        listed = path.read_text("utf-8").splitlines() if path.is_file() else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--labels '{text}' cannot be read: {error}") from error
    labels = tuple(label.strip() for label in listed if label.strip())
    if len(labels) < 2:
        raise InvalidInputError(f"--labels must name at least 2 labels, or a file with one on each line, not '{text}'")
    return labels


def parse_image(text: str, *, low: float, high: float) -> ImageInput | None:
    """Return the image of HEIGHTxWIDTHxCHANNELS."""
    if not text:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part[:6]) <= _LARGEST_SIDE for part in parts):
        raise InvalidConfigurationError(f"--image takes HEIGHTxWIDTHxCHANNELS, for example 28x28x1, not '{text}'")
    height, width, channels = (int(part) for part in parts)
    if channels not in (1, 3, 4):
        raise InvalidConfigurationError(f"--image has 1, 3 or 4 channels, not {channels}")
    return ImageInput(height=height, width=width, channels=channels, low=low, high=high)


def import_lines(version: ModelVersion, examined: Examined) -> list[str]:
    """Return what was found out, for people."""
    lines = [f"{version.model.name} version {version.version}: {version.framework}, {examined.task}"]
    for kind, specs in (("input", examined.signature.inputs), ("output", examined.signature.outputs)):
        lines += [f"  {kind:<7} {spec.name}  {spec.dtype.value}  {list(spec.shape)}" for spec in specs]
    if examined.labels:
        lines.append(f"  labels  {', '.join(examined.labels[:10])}{' ...' if len(examined.labels) > 10 else ''}")
    if examined.metrics:
        lines.append(f"  on {examined.sample_rows} samples: {metrics_text(examined.metrics)}")
    if not examined.sample_rows:
        lines.append("  no samples were given: there is no profile of its data, so drift cannot be judged")
    return [*lines, *(f"  note: {note}" for note in examined.notes)]


def import_record(version: ModelVersion, examined: Examined, deployed: str) -> dict[str, Any]:
    """Return what was found out, for `--json`."""
    return {
        **version_record(version),
        "signature": msgspec.to_builtins(examined.signature),
        "sample_rows": examined.sample_rows,
        "notes": list(examined.notes),
        "deployed": deployed,
    }
