"""`manage.py models export`: what people type, as a wish, and what they get to read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.cli.arguments import absolute_data_uri
from training.cli.texts import metrics_text, version_record
from training.exporting.messages import ExportForm, ParityReport, Quantization, Side
from training.exports import Exported, ExportWish
from training.names import LATEST


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `export`, beside model and reference."""
    parser.add_argument("--to", "--output", required=True, type=Path, dest="to", help="a path where nothing is yet")
    parser.add_argument("--format", choices=list(ExportForm), default=ExportForm.ARTIFACT.value, dest="form")
    parser.add_argument("--quantize", choices=list(Quantization), default=Quantization.NONE.value, help="litert only")
    parser.add_argument("--int8-io", action="store_true", help="int8: take and return integers, too")
    parser.add_argument("--data", default="", help="calibrate and measure with this source; default: the training data")
    parser.add_argument("--target", default="", help="the label's column or array in that data")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="or with an .npz, .npy or .csv file of rows")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the parity report here")


def split_reference(model: str, reference: str) -> tuple[str, str]:
    """Return model and reference of `NAME`, `NAME REFERENCE` or `NAME@REFERENCE`.

    Raises: InvalidConfigurationError if it is named twice.
    """
    name, at, named = model.partition("@")
    if not at:
        return model, reference or LATEST
    if reference or not named:
        raise InvalidConfigurationError(
            f"name the version once: NAME@REFERENCE or NAME REFERENCE, not '{model} {reference}'"
        )
    return name, named


def parse_wish(options: dict[str, Any]) -> ExportWish:
    """Return what is to be written where."""
    report = options["report"]
    if report is not None and options["form"] in (ExportForm.ARTIFACT, ExportForm.SAVED_MODEL):
        raise InvalidConfigurationError(f"a copy as {options['form']} changes nothing, so there is no --report")
    return ExportWish(
        form=ExportForm(options["form"]),
        target=options["to"],
        quantize=Quantization(options["quantize"]),
        integer_io=options["int8_io"],
        data_uri=absolute_data_uri(options["data"]) if options["data"] else "",
        data_target=options["target"],
        samples=options["samples"],
    )


def write_report(report: ParityReport, path: Path) -> None:
    """Write the report as JSON."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise InvalidInputError(f"--report '{path}' cannot be written: {error}") from error


def export_lines(exported: Exported) -> list[str]:
    """Return what was written and how it compares, for people."""
    version, report = exported.version, exported.report
    lines = [f"{version.model.name} version {version.version} is in {exported.target}"]
    if exported.labels_file:
        lines.append(f"its labels are in {exported.labels_file}")
    return lines if report is None else [*lines, *_report_lines(report)]


def export_record(exported: Exported) -> dict[str, Any]:
    """Return the same for `--json`."""
    return {
        **version_record(exported.version),
        "output": str(exported.target),
        "labels_file": str(exported.labels_file or ""),
        "report": msgspec.to_builtins(exported.report),
    }


def _report_lines(report: ParityReport) -> list[str]:
    trained = {True: ", as it was trained on", False: ", which has changed since the training", None: ""}
    calibrated = f", calibrated with {report.calibration_rows} others" if report.quantize == Quantization.INT8 else ""
    lines = [f"compared on {report.compared_rows} rows ({report.data}{trained[report.is_training_data]}){calibrated}"]
    lines += [_side_line("before", report.before), _side_line("after", report.after)]
    same = "" if report.agreement is None else f"same label in {report.agreement:.2%} of the rows; "
    gap = f"{report.largest_difference:.3g} at most, {report.mean_difference:.3g} on average"
    return [*lines, f"  {same}outputs differ by {gap}"]


def _side_line(name: str, side: Side) -> str:
    measured = metrics_text(side.metrics) or "no labels to measure with"
    size = f"{side.size_bytes / 1000:,.1f} kB"
    return f"  {name:<7} {side.format:<12} {size:>12}  {side.latency_ms:.3f} ms a row  {measured}"
