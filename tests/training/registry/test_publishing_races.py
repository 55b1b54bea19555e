"""Two attempts at one run publish at the same time: the one that was taken for dead, and the one that has the run now.

The old one is stopped at the worst moments, between what it asks and what it does, while the new one goes all the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from aiplatform.artifact_staging import StagedArtifact
from aiplatform.artifacts import fetch_artifact
from aiplatform.errors import ConflictError
from aiplatform.storage import local_path
from tests.aiplatform.object_stores import BUCKET, running_s3
from training import import_publishing, leases, publishing, registry
from training.import_publishing import ImportedModel, clear_abandoned_imports, publish_import
from training.leases import Claim, StaleFenceError
from training.models import ModelVersion, Run
from training.publishing import adopt_published, publish_model
from training.recipes.api import TrainedModel
from training.states import ExitClass, VersionState

from ..conftest import Bench
from .test_publishing import ORIGIN, claimed_run


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the address of an empty bucket."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # each test has a server of its own
    with running_s3() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/artifacts"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, bench: Bench) -> str:
    """Have artifacts lie in one store and the other."""
    if request.param == "s3":
        bench.limit(ARTIFACT_STORE=request.getfixturevalue("s3"))
    return str(bench.settings.ARTIFACT_STORE)


def publish(bench: Bench, run: Run, claim: Claim, trained: TrainedModel) -> ModelVersion:
    scratch = bench.folder / f"scratch-{claim.fence}"
    return publish_model(run, claim, trained, ORIGIN, scratch=scratch)


def take_over(bench: Bench, run: Run, old: Claim) -> Claim:
    """Do what supervision does with a run whose process is silent, and claim it anew."""
    assert leases.take_back_run(run.pk, old.fence, ExitClass.LOST, message="silent")
    new = leases.claim_run(run.pk)
    assert new is not None
    return new


def assert_whole(bench: Bench, store: str, *, weights: str) -> None:
    """Say that there is one ready version with the new attempt's bytes, and nothing beside it."""
    version = ModelVersion.objects.get()
    assert version.state == VersionState.READY
    folder = fetch_artifact(version.artifact_uri, cache=bench.folder / "cache", digest=version.artifact_digest)
    assert (folder / "model/weights.txt").read_text() == weights
    if not store.startswith("s3"):
        assert [path.name for path in local_path(store).glob("*/*")] == [Path(version.artifact_uri).name]


def saving(trained: TrainedModel, text: str, then: Callable[[], Any] = lambda: None) -> TrainedModel:
    """Return a model that writes other weights, and does something once they are written."""

    def save(folder: Path) -> None:
        (folder / "weights.txt").write_text(text)
        then()

    return replace(trained, save_model=save)


def test_an_attempt_that_wakes_after_its_number_cannot_clear_what_the_next_has_published(
    bench: Bench, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, old, trained = claimed_run(bench)
    reserve = registry.reserve_version

    def reserve_and_sleep(**order: Any) -> Any:
        found = reserve(**order)
        monkeypatch.setattr(publishing, "reserve_version", reserve)
        publish(bench, run, take_over(bench, run, old), saving(trained, "new"))
        return found

    monkeypatch.setattr(publishing, "reserve_version", reserve_and_sleep)
    with pytest.raises(StaleFenceError):
        publish(bench, run, old, saving(trained, "old"))
    assert_whole(bench, store, weights="new")


def test_an_attempt_that_wakes_while_it_writes_changes_nothing_of_the_next_ones(bench: Bench, store: str) -> None:
    run, old, trained = claimed_run(bench)

    def go_on() -> None:
        publish(bench, run, take_over(bench, run, old), saving(trained, "new"))

    with pytest.raises(StaleFenceError):
        publish(bench, run, old, saving(trained, "old", go_on))
    assert_whole(bench, store, weights="new")


def test_an_attempt_that_wakes_as_it_moves_its_artifact_leaves_the_next_one_its_place(
    bench: Bench, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is asked for its fence last before the move; after that only the place itself keeps them apart."""
    run, old, trained = claimed_run(bench)
    commit = StagedArtifact.commit

    def sleep_and_commit(staged: StagedArtifact, manifest: Any) -> str:
        monkeypatch.setattr(StagedArtifact, "commit", commit)
        publish(bench, run, take_over(bench, run, old), saving(trained, "new"))
        return commit(staged, manifest)

    monkeypatch.setattr(StagedArtifact, "commit", sleep_and_commit)
    with pytest.raises(StaleFenceError):
        publish(bench, run, old, saving(trained, "old"))
    assert_whole(bench, store, weights="new")


def test_what_is_adopted_is_not_cleared_by_the_attempt_that_wrote_it(
    bench: Bench, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, old, trained = claimed_run(bench)
    complete = registry.complete_run

    def sleep_and_complete(**order: Any) -> None:
        monkeypatch.setattr(publishing, "complete_run", complete)
        assert adopt_published(run, take_over(bench, run, old)) is not None
        complete(**order)

    monkeypatch.setattr(publishing, "complete_run", sleep_and_complete)
    with pytest.raises(StaleFenceError):
        publish(bench, run, old, saving(trained, "old"))
    assert_whole(bench, store, weights="old")


def test_an_import_that_was_given_up_while_it_wrote_is_not_made_ready_without_its_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clearing comes between the import's move and its readiness, and its readiness within the clearing."""
    reserved = registry.reserve_import(model_name="tiny")
    place = local_path(reserved.artifact_uri)
    place.mkdir(parents=True)
    (place / "file").write_text("x")
    clear = publishing.clear_place

    def ready_and_clear(uri: str) -> None:
        ModelVersion.objects.filter(pk=reserved.pk, state=VersionState.PENDING).update(state=VersionState.READY)
        clear(uri)

    monkeypatch.setattr(import_publishing, "clear_place", ready_and_clear)
    clear_abandoned_imports("tiny", older_s=0)
    assert not ModelVersion.objects.filter(state=VersionState.READY).exists()
    assert not place.exists()


def test_an_import_that_finds_itself_given_up_takes_its_files_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_and_be_given_up(staged: StagedArtifact, imported: ImportedModel) -> None:
        (staged.folder / "model").mkdir()
        (staged.folder / "model/weights.txt").write_text("x")
        clear_abandoned_imports("sleepy", older_s=0)

    run, _, trained = claimed_run(bench)

    def manifest_of(name: str, version: ModelVersion, imported: ImportedModel, origin: Any) -> Any:
        return publishing.build_manifest(run, version, trained, ORIGIN)

    monkeypatch.setattr(import_publishing, "_fill", fill_and_be_given_up)
    monkeypatch.setattr(import_publishing, "_manifest", manifest_of)
    with pytest.raises(ConflictError, match="import it again"):
        publish_import("sleepy", None, ORIGIN, scratch=bench.folder)  # type: ignore[arg-type]
    assert not list(local_path(bench.settings.ARTIFACT_STORE).glob("*/*"))
