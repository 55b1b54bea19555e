"""What a run asks for, as options of commands; and the ledger as text."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, TextIO

from training.cli.tables import write_table
from training.cli.texts import age_text
from training.resources.asking import ResourceOrder, parse_size
from training.resources.wording import cores_text, memory_text

_DEFAULT = "by default its machine's share (TRAINING_SLOTS)"


def add_resources(parser: ArgumentParser) -> None:
    """Declare what a run may ask for."""
    parser.add_argument("--cpus", type=float, metavar="N", help=f"cores, 0.5 is half of one; {_DEFAULT}")
    parser.add_argument(
        "--memory", metavar="SIZE", help="memory, as 512M or 3.5G, and a limit; by default what runs like it took"
    )
    parser.add_argument("--gpus", type=int, metavar="N", help=f"devices for itself; {_DEFAULT}")
    parser.add_argument("--gpu-memory", metavar="SIZE", help="memory of each device that others may not hold")
    parser.add_argument("--priority", type=int, metavar="N", help="-100 to 100, 0 by default; higher goes first")


def read_resources(options: Mapping[str, Any], *, before: ResourceOrder | None = None) -> ResourceOrder:
    """Return what the options ask for; what they leave out is as `before`.

    Raises: InvalidInputError for what is no size.
    """
    before = before or ResourceOrder()
    memory, gpu_memory = options.get("memory"), options.get("gpu_memory")
    cpus, gpus, priority = options.get("cpus"), options.get("gpus"), options.get("priority")
    return ResourceOrder(
        cores=before.cores if cpus is None else cpus,
        memory_bytes=before.memory_bytes if memory is None else parse_size(memory),
        gpus=before.gpus if gpus is None else gpus,
        gpu_memory_bytes=before.gpu_memory_bytes if gpu_memory is None else parse_size(gpu_memory),
        priority=before.priority if priority is None else priority,
    )


def write_resources(out: TextIO, record: Mapping[str, Any]) -> None:
    """Write machines with their holders, then the queue."""
    for host in record["hosts"]:
        out.write(f"{_host_line(host)}\n")
        if host["limits"]:
            out.write(f"    limits: {host['limits']}\n")
        for holder in host["holders"]:
            out.write(f"    {_holder_line(holder, host)}\n")
    if not record["hosts"]:
        out.write("no training machine has been heard of lately\n")
    if record["waiting"]:
        rows = [
            (one["position"], one["short_id"], one["priority"], one["requester"] or "-", one["asks"] or "-",
             age_text(one["queued_at"]), one["reason"])
            for one in record["waiting"]
        ]  # fmt: skip
        write_table(out, ("PLACE", "RUN", "PRIORITY", "FOR", "ASKS", "QUEUED", "WHY"), rows)


def _host_line(host: Mapping[str, Any]) -> str:
    if host["is_cluster"]:
        return f"{host['host']}: {len(host['holders'])} of {host['slots']} attempts ordered"
    parts = [
        f"{cores_text(host['cores_free'])} of {cores_text(host['cores'])} cores free",
        f"{memory_text(host['memory_free_bytes'])} of {memory_text(host['memory_bytes'])} memory free",
    ]
    for gpu in host["gpus"]:
        held = f", held by {', '.join(gpu['holders'])}" if gpu["holders"] else ""
        used = f"{memory_text(gpu['used_bytes'])} of {memory_text(gpu['memory_bytes'])} used"
        parts.append(f"GPU {gpu['index']} {gpu['name']} ({used}{held})")
    return f"{host['host']}: {', '.join(parts)}"


def _holder_line(holder: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    cores = f"{cores_text(holder['cores'])} cores, " if holder["cores"] else ""
    peak = f" (at its peak {memory_text(holder['memory_peak_bytes'])})" if holder["memory_peak_bytes"] else ""
    index = {gpu["uuid"]: gpu["index"] for gpu in host["gpus"]}
    gpus = ", ".join(str(index[uuid]) for uuid in holder["gpus"] if uuid in index)
    devices = f", GPU {gpus}" if gpus else ""
    limit = f", limit {memory_text(holder['memory_limit_bytes'])}" if holder["memory_limit_bytes"] else ""
    by = f" ({holder['limits']})" if limit and holder["limits"] else ""
    return f"{holder['name']}  {cores}{memory_text(holder['memory_bytes'])} memory{peak}{limit}{by}{devices}"
