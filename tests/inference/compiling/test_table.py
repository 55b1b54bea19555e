"""The rule by which an engine is chosen, and pins."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform.errors import ArtifactCorruptError, InvalidConfigurationError
from inference.choice import EngineNotCompiledError, EngineWish, choose_engine
from inference.compiling.packs import EnginePack, PackPlace
from inference.compiling.table import Candidate, CandidateState, EngineTable, Timing, decode_table, encode_table
from tests.inference.serving_fakes import make_manifest


def candidate(engine: str, *ms: float, threads: int = 1, state: str = "equal", native: bool = False) -> Candidate:
    timings = tuple(Timing(threads=threads, rows=r, ms=t) for r, t in zip((1, 8, 32), ms, strict=False))
    return Candidate(
        engine=engine, state=CandidateState(state), is_native=native, timings=timings, reason="" if ms else "because"
    )


def table(*candidates: Candidate) -> EngineTable:
    return EngineTable(artifact_digest="sha256:0", machine="m", tolerance="t", candidates=candidates)


def pack(*candidates: Candidate) -> EnginePack:
    place = PackPlace(uri="file:///packs/1", machine="m", number=1)
    return EnginePack(place=place, folder=Path("/packs/1"), table=table(*candidates))


def choose(engine: str, *candidates: Candidate, threads: int = 1) -> tuple[str, int]:
    wish = EngineWish(engine=engine, pack=pack(*candidates) if candidates else None)
    choice = choose_engine(make_manifest(), wish, allowed_threads=threads)
    return choice.name, choice.threads


def test_the_geometric_mean_over_the_batch_sizes_decides() -> None:
    steady = candidate("onnxruntime", 1.0, 2.0, 4.0)
    spiky = candidate("litert", 0.5, 3.0, 12.0)  # quick for one row, slow for many
    assert table(steady, spiky).fastest(1) is steady


def test_the_fastest_that_is_equal_serves_not_the_fastest() -> None:
    own, wrong = candidate("tensorflow", 3, 3, 3, native=True), candidate("litert", 1, 1, 1, state="unequal")
    right = candidate("onnxruntime", 2, 2, 2)
    assert choose("auto", own, wrong, right) == ("onnxruntime", 1)


def test_the_own_engine_stays_unless_another_is_clearly_faster() -> None:
    own = candidate("tensorflow", 1.0, 1.0, 1.0, native=True)
    assert choose("auto", own, candidate("litert", 0.97, 0.97, 0.97))[0] == "tensorflow"
    assert choose("auto", own, candidate("litert", 0.9, 0.9, 0.9))[0] == "litert"


def test_more_threads_are_used_only_where_they_are_faster_and_allowed() -> None:
    single, double = candidate("litert", 4, 4, 4), candidate("litert", 2, 2, 2, threads=2)
    both = Candidate(engine="litert", state=CandidateState.EQUAL, timings=(*single.timings, *double.timings))
    own = candidate("tensorflow", 9, 9, 9, native=True)
    assert choose("auto", own, both, threads=2) == ("litert", 2)
    assert choose("auto", own, both, threads=1) == ("litert", 1)
    assert both.call_ms(2) == {1: 2, 8: 2, 32: 2}


def test_without_a_pack_the_own_engine_serves() -> None:
    assert choose("auto") == ("tensorflow", 0)
    assert choose("native") == ("tensorflow", 0)


def test_a_pinned_own_engine_needs_no_pack() -> None:
    assert choose("tensorflow")[0] == "tensorflow"


@pytest.mark.parametrize(
    ("engine", "rule"),
    [
        ("litert", "engine 'litert' is pinned, but it is unequal: because"),
        ("torch", "engine 'torch' is pinned, but it does not run double version 1; tried: tensorflow, litert"),
    ],
)
def test_a_pinned_engine_that_is_not_to_be_had_is_an_error(engine: str, rule: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=rule):
        choose(engine, candidate("tensorflow", 1, 1, 1, native=True), candidate("litert", state="unequal"))


def test_a_pinned_engine_waits_for_its_pack() -> None:
    with pytest.raises(EngineNotCompiledError, match="'onnxruntime' is pinned, but double version 1 is not compiled"):
        choose("onnxruntime")


def test_a_table_survives_its_file() -> None:
    kept = table(candidate("tensorflow", 1.5, 2, 3, native=True), candidate("litert", state="failed"))
    assert decode_table(encode_table(kept)) == kept
    with pytest.raises(ArtifactCorruptError, match=r"table\.json cannot be read"):
        decode_table(b'{"machine": 1}')
