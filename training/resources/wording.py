"""Why a run waits, and amounts, in words: each sentence has the numbers that it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.resources.amounts import Ask, Capacity, Holder, HostState, Need

_GIB, _MIB = 2**30, 2**20
_PLACES = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_MOST_NAMED = 3


def cores_text(cores: float) -> str:
    """Return a number of cores without needless digits."""
    return f"{round(cores, 2):g}"


def memory_text(size_bytes: float) -> str:
    """Return a size in GiB or MiB."""
    return f"{size_bytes / _GIB:.1f} GiB" if size_bytes >= _GIB else f"{size_bytes / _MIB:.0f} MiB"


def place_text(position: int) -> str:
    """Return a place in the queue: first, second, ..., number 11."""
    return _PLACES[position] if position < len(_PLACES) else f"number {position}"


def explain_shortage(need: Need, host: HostState) -> str:
    """Return what there is too little of on a machine, and who holds it."""
    if host.is_cluster:
        ordered = sum(one.is_run for one in host.holders)
        return f"waits for its turn: {ordered} of {host.capacity.slots} attempts are ordered (TRAINING_SLOTS)"
    parts = [part for part in (_cores(need, host), _memory(need, host), _gpus(need, host)) if part]
    return f"waits for {', and for '.join(parts)}" if parts else "waits for room"


def explain_kept(short_id: str, backfill_s: float) -> str:
    """Return that the machine is kept for a run which has let others pass for long enough."""
    return f"waits behind run {short_id}, which has let smaller runs pass for {backfill_s:g} s (TRAINING_BACKFILL_S)"


def explain_too_large(ask: Ask, capacities: Sequence[Capacity]) -> str:
    """Return that no machine has so much, with the most that there is."""
    return "; ".join(too_large(ask, capacities)) or "no training machine has all that it asks for together"


def too_large(ask: Ask, capacities: Sequence[Capacity]) -> list[str]:
    """Return each amount that no machine has; empty if for each amount there is one."""
    cores = max((one.cores for one in capacities), default=0.0)
    memory = max((one.memory_bytes for one in capacities), default=0)
    gpus = max((len(one.gpus) for one in capacities), default=0)
    device = max((gpu.memory_bytes for one in capacities for gpu in one.gpus), default=0)
    said = []
    if (ask.cores or 0) > cores + 0.001:
        said.append(f"it asks for {cores_text(ask.cores or 0)} cores, and the largest machine has {cores_text(cores)}")
    if (ask.memory_bytes or 0) > memory:
        said.append(
            f"it asks for {memory_text(ask.memory_bytes or 0)} of memory, and the largest machine has "
            f"{memory_text(memory)}"
        )
    if (ask.gpus or 0) > gpus:
        said.append(f"it asks for {_devices(ask.gpus or 0)}, and the largest machine has {gpus}")
    elif (ask.gpus or 0) and (ask.gpu_memory_bytes or 0) > device:
        said.append(
            f"it asks for {memory_text(ask.gpu_memory_bytes or 0)} of GPU memory, and the largest device has "
            f"{memory_text(device)}"
        )
    return said


def _cores(need: Need, host: HostState) -> str:
    if need.cores <= host.free_cores + 0.001:
        return ""
    held = _held(host.holders, lambda one: one.cores, cores_text)
    return f"{cores_text(need.cores)} of {cores_text(host.capacity.cores)} cores{held}"


def _memory(need: Need, host: HostState) -> str:
    if need.memory_bytes <= host.free_memory_bytes or not (need.is_memory_asked or host.has_runs):
        return ""
    held = _held(host.holders, lambda one: one.memory_bytes, memory_text)
    return f"{memory_text(need.memory_bytes)} of {memory_text(host.capacity.memory_bytes)} memory{held}"


def _gpus(need: Need, host: HostState) -> str:
    free = len(host.free_gpus(need.gpu_memory_bytes))
    if need.gpus <= free:
        return ""
    index = {gpu.uuid: gpu.index for gpu in host.capacity.gpus}
    holders = [
        f"{one.label} holds GPU {', '.join(str(index[uuid]) for uuid in one.gpus)}"
        for one in host.holders
        if one.gpus and set(one.gpus) <= set(index)
    ]
    held = f": {', '.join(holders[:_MOST_NAMED])}" if holders else f": {free} free, others use the rest"
    return f"{need.gpus} of {_devices(len(host.capacity.gpus))}{held}"


def _devices(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"


def _held(holders: Sequence[Holder], amount: Callable[[Holder], float], text: Callable[[float], str]) -> str:
    """Return who holds most, the largest first."""
    found = sorted((one for one in holders if amount(one) > 0), key=amount, reverse=True)
    named = [f"{one.label} holds {text(amount(one))}" for one in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        rest = sum(amount(one) for one in found[_MOST_NAMED:])
        named.append(f"others hold {text(rest)}")
    return f": {', '.join(named)}" if named else ""
