"""The steps between a trained model and a ready version, cut at each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import read_manifest
from aiplatform.errors import ArtifactCorruptError, ConflictError
from aiplatform.storage import local_path
from training import leases, publishing, registry
from training.leases import Claim, StaleFenceError
from training.models import ModelVersion, Run
from training.publishing import Origin, adopt_published, build_manifest, publish_model
from training.recipes.api import TrainedModel, TrainingOrder
from training.states import RunState, VersionState

from ..conftest import Bench
from ..stand_in import _model

ORIGIN = Origin(code_commit="abc", packages={"numpy": "2"})


def claimed_run(bench: Bench) -> tuple[Run, Claim, TrainedModel]:
    """Return a run that an attempt has claimed, and what it has trained."""
    run = bench.create()
    claim = leases.claim_run(run.pk)
    assert claim is not None
    work = bench.folder / "work"
    work.mkdir()
    order = TrainingOrder(
        recipe=run.recipe, parameters=run.parameters, data_uri="digits", target=None, seed=0, work_dir=work
    )
    return run, claim, _model(order)


@pytest.fixture
def claimed(bench: Bench) -> tuple[Run, Claim, TrainedModel]:
    return claimed_run(bench)


def test_reserving_twice_gives_the_same_number(claimed: tuple[Run, Claim, TrainedModel]) -> None:
    run, claim, _ = claimed
    first = registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy")
    assert first.version.version == 1
    assert registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy") == first


def test_a_later_attempt_has_the_same_number_and_a_place_of_its_own(claimed: tuple[Run, Claim, TrainedModel]) -> None:
    run, claim, _ = claimed
    first = registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy").version
    Run.objects.filter(pk=run.pk).update(fence=claim.fence + 2)
    again = registry.reserve_version(run_id=run.pk, fence=claim.fence + 2, model_name="sleepy")
    assert again.version == first
    assert again.abandoned == first.artifact_uri
    assert again.version.artifact_uri == f"{first.artifact_uri}-{claim.fence + 2}"


def test_an_artifact_in_place_is_adopted_by_the_next_attempt(claimed: tuple[Run, Claim, TrainedModel]) -> None:
    run, claim, trained = claimed
    version = registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy").version
    with stage_artifact(version.artifact_uri) as staged:
        trained.write_to(staged)
        digest = staged.commit(build_manifest(run, version, trained, ORIGIN))
    adopted = adopt_published(run, claim)  # as after a crash between the move and the row
    assert adopted == version
    version.refresh_from_db()
    run.refresh_from_db()
    assert (version.state, version.artifact_digest, run.state) == (VersionState.READY, digest, RunState.SUCCEEDED)


def test_what_a_dead_attempt_left_half_done_is_replaced(claimed: tuple[Run, Claim, TrainedModel]) -> None:
    run, claim, trained = claimed
    version = registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy").version
    place = Path(version.artifact_uri.removeprefix("file://"))
    (place / "model").mkdir(parents=True)
    (place / "model" / "half").write_text("of it")
    assert adopt_published(run, claim) is None
    publish_model(run, claim, trained, ORIGIN, scratch=place.parent)
    manifest, _ = read_manifest(version.artifact_uri)
    assert "model/half" not in manifest.files


def test_a_stale_attempt_cannot_complete_the_run(claimed: tuple[Run, Claim, TrainedModel]) -> None:
    run, claim, trained = claimed
    version = registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy").version
    Run.objects.filter(pk=run.pk).update(fence=claim.fence + 1)
    manifest = build_manifest(run, version, trained, ORIGIN)
    with pytest.raises(StaleFenceError):
        registry.complete_run(run_id=run.pk, fence=claim.fence, version=version, manifest=manifest, digest="sha256:1")
    assert ModelVersion.objects.get().state == VersionState.PENDING


def test_an_export_is_a_verified_copy_in_a_new_folder(claimed: tuple[Run, Claim, TrainedModel], bench: Bench) -> None:
    run, claim, trained = claimed
    version = publishing.publish_model(run, claim, trained, ORIGIN, scratch=bench.folder)
    target = bench.folder / "out" / "model"
    registry.export_version(model_name="sleepy", reference="latest", folder=target)
    assert (target / "model" / "weights.txt").exists()
    with pytest.raises(ConflictError, match="exists already"):
        registry.export_version(model_name="sleepy", reference="1", folder=target)
    place = Path(version.artifact_uri.removeprefix("file://"))
    (place / "model" / "weights.txt").write_text("altered")
    with pytest.raises(ArtifactCorruptError, match="weights"):
        registry.export_version(model_name="sleepy", reference="1", folder=bench.folder / "other")


def test_what_a_dead_attempt_was_writing_goes_with_its_place_and_nothing_else_does(bench: Bench) -> None:
    run, claim, trained = claimed_run(bench)
    place = local_path(
        registry.reserve_version(run_id=run.pk, fence=claim.fence, model_name="sleepy").version.artifact_uri
    )
    mine, others = place.with_name(".staging-1.abc"), place.with_name(".staging-1-2.abc")
    for folder in (mine, others):
        folder.mkdir(parents=True)
        (folder / "half").write_text("x")
    publish_model(run, claim, trained, ORIGIN, scratch=bench.folder)
    assert sorted(path.name for path in place.parent.iterdir()) == [others.name, place.name]
