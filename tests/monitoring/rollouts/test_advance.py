"""The way of a challenger: through its gates, back by itself, and through every death of the process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aiplatform.contracts.inference import ReplayAnswer, TrafficShare
from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError
from monitoring.models.rollouts import Rollout
from monitoring.rollouts import desk as desks
from monitoring.rollouts import services
from monitoring.rollouts.advance import advance_rollouts
from monitoring.rollouts.gates.canary import VersionCounts, judge_canary
from monitoring.rollouts.holds import lift_hold, place_hold
from monitoring.rollouts.policy import Policy
from monitoring.rollouts.vocabulary import Verdict
from tests.monitoring.rollouts.fakes import Cutter, Killed, Scene, compare

pytestmark = [pytest.mark.long, pytest.mark.django_db]

POLICY = {"steps": [5, 50, 100], "step_s": 60, "min_samples": 50, "shadow_s": 60, "shadow_requests": 20,
          "replay_requests": 40, "min_labels": 20, "alpha": 0.05}  # fmt: skip


def start(scene: Scene, key: str = "k", **more: Any) -> Rollout:
    return services.start_rollout(
        endpoint="digits", challenger="2", actor="ann", now=scene.now, key=key, inference=scene.inference,
        training=scene.training, overrides={**POLICY, **more},
    )  # fmt: skip


def look(scene: Scene, owner: str = "p1") -> Rollout:
    advance_rollouts(scene.world, owner=owner)
    return Rollout.objects.get()


def live_on(scene: Scene, *, looks: int = 40, **traffic: Any) -> Rollout:
    """Look, serve and let time pass until it is over."""
    for _ in range(looks):
        rollout = look(scene)
        if not rollout.is_active:
            return rollout
        if scene.inference.info.shadow:
            compare(scene)
        scene.serve(**traffic)
        scene.pass_time(61)
    return Rollout.objects.get()


def steps(rollout: Rollout) -> list[tuple[str, str]]:
    return [(step.name, step.state) for step in rollout.steps.all()]


def test_a_good_challenger_passes_every_gate_and_becomes_champion() -> None:
    scene = Scene()
    start(scene)
    rollout = live_on(scene)
    assert rollout.state == "promoted"
    assert scene.inference.history == [
        {1: 100, 2: 0}, {1: 95, 2: 5}, {1: 50, 2: 50}, {1: 0, 2: 100}, {2: 100},
    ]  # fmt: skip
    assert scene.training.aliases == {"champion": 2}
    assert scene.inference.shadows == [2, None]
    assert {state for _, state in steps(rollout)} == {"passed"}
    texts = [event.text for event in rollout.events.all()]
    assert texts[0] == "version 2 shall replace version 1"
    assert texts[-1] == "version 2 is the champion"
    assert all(step.evidence and step.text for step in rollout.steps.all())


def test_a_challenger_that_fails_in_the_canary_goes_back_at_the_next_look() -> None:
    scene = Scene()
    start(scene)
    for _ in range(30):
        rollout = look(scene)
        if scene.inference.info.shadow:
            compare(scene)
        if (1, 95) in [(s.version, s.weight) for s in scene.inference.info.traffic]:
            break
        scene.pass_time(61)
    scene.serve(30, bad_errors=0.5)
    rollout = look(scene)
    assert (rollout.state, scene.inference.history[-1]) == ("rolled_back", {1: 100})
    assert "errors: 50.0% of 30" in rollout.reason
    assert ("canary 5%", "failed") in steps(rollout)
    assert scene.training.aliases == {}


def test_wrong_labels_in_the_canary_lead_back_too() -> None:
    scene = Scene()
    start(scene)
    rollout = live_on(scene, wrong=(0.05, 0.4))
    assert (rollout.state, "wrong answers" in rollout.reason) == ("rolled_back", True)


def test_numbers_further_from_the_truth_in_the_canary_lead_back() -> None:
    scene = Scene(scale=20.0)
    start(scene)
    rollout = live_on(scene, errors_of_numbers=(0.25, 0.6))
    assert rollout.state == "rolled_back"
    assert "mean error: 12 of 200, the champion's 5 of 200" in rollout.reason
    step = rollout.steps.get(state="failed")
    assert (step.kind, step.baseline["loss_scale"], step.evidence["loss_scale"]) == ("canary", 20.0, 20.0)


def test_numbers_as_near_to_the_truth_pass_and_are_told_in_the_models_own_unit() -> None:
    scene = Scene(scale=20.0)
    start(scene)
    rollout = live_on(scene, errors_of_numbers=(0.25, 0.24))
    assert rollout.state == "promoted"
    last = rollout.steps.get(kind="canary", weight=100)
    assert "mean error 4.8 (the champion's 5)" in last.text


def test_without_labels_of_the_time_before_numbers_are_not_judged() -> None:
    scene = Scene(scale=None)
    start(scene)
    rollout = live_on(scene)
    assert rollout.state == "promoted"
    assert "too few labels to speak of accuracy" in rollout.steps.get(kind="canary", weight=50).text


def test_callers_who_all_stay_with_the_champion_are_named_as_the_reason_for_waiting() -> None:
    policy = Policy(min_samples=20)
    found = judge_canary(VersionCounts(requests=500), VersionCounts(), policy, elapsed_s=900)
    assert (found.verdict, "routing key" in found.text) == (Verdict.NOT_ENOUGH_DATA, True)
    found = judge_canary(VersionCounts(requests=19), VersionCounts(), policy, elapsed_s=900)
    assert "routing key" not in found.text


def test_a_passed_step_tells_the_shares_beside_the_champions() -> None:
    policy = Policy(min_samples=40, min_labels=20, step_s=3)
    champion = VersionCounts(requests=100, errors=1, answered=100, slow=5, labelled=50, wrong=45)
    found = judge_canary(champion, VersionCounts(requests=40, answered=40, labelled=40, wrong=2), policy, elapsed_s=9)
    assert (found.verdict, found.text) == (
        Verdict.PASS,
        "no harm found in 40 requests: errors 0.0% (the champion's 1.0%), slow answers 0.0% (the champion's 5.0%), "
        "wrong answers 5.0% (the champion's 90.0%)",
    )


def test_a_passed_step_in_which_the_challenger_was_worse_says_what_the_policy_allows() -> None:
    policy = Policy(min_samples=40, min_labels=20, step_s=3, latency_margin=0.9)
    champion = VersionCounts(requests=100, answered=100, slow=2, valued=50, loss=5)
    challenger = VersionCounts(requests=40, answered=40, slow=27, valued=40, loss=4.4)
    found = judge_canary(champion, challenger, policy, elapsed_s=9, loss_scale=10.0)
    assert (found.verdict, found.text) == (
        Verdict.PASS,
        "no harm found in 40 requests: errors 0.0% (the champion's 0.0%), "
        "slow answers 67.5% (the champion's 2.0%; the policy allows 92.0%), "
        "mean error 1.1 (the champion's 1; the policy allows 1.2)",
    )


def test_too_few_requests_are_waited_for_and_said_with_how_many_more() -> None:
    scene = Scene()
    start(scene, shadow_s=0, replay_requests=0)
    look(scene)
    scene.serve(20)
    scene.pass_time(1000)
    rollout = look(scene)
    step = rollout.steps.get(kind="canary", weight=5)
    assert (step.state, step.text) == ("waiting", "20 of 50 requests to the challenger: 30 more")
    assert rollout.waiting_for == "canary 5%: 20 of 50 requests to the challenger: 30 more"
    scene.stored = 3
    start_again = rollout.steps.filter(kind="replay")
    assert not start_again.exists()


def test_a_worse_validation_metric_ends_it_before_anything_is_loaded() -> None:
    scene = Scene()
    scene.training.metrics[2] = {"accuracy": 0.8}
    start(scene)
    rollout = live_on(scene)
    assert (rollout.state, "accuracy 0.8" in rollout.reason) == ("rolled_back", True)
    assert scene.inference.history == [{1: 100}]


def test_a_replay_in_which_the_challenger_fails_or_disagrees_leads_back() -> None:
    for failing in (True, False):
        scene = Scene()

        def answer(version: int, request: str, *, failing: bool = failing) -> ReplayAnswer:
            is_bad = version == 2 and failing
            said = "3" if version == 2 else "7"
            return ReplayAnswer(
                prediction_id=request, http_status=500 if is_bad else 200, latency_ms=1.0,
                labels=() if is_bad else (said,),
            )  # fmt: skip

        scene.inference.answers = answer
        start(scene, key=f"k{failing}")
        advance_rollouts(scene.world, owner="p")
        scene.pass_time(10)
        advance_rollouts(scene.world, owner="p")
        rollout = Rollout.objects.first()
        assert rollout is not None
        assert rollout.state == "rolled_back"
        assert ("100.0% of the requests failed" if failing else "only 0.0% of the answers agree") in rollout.reason


def test_where_labels_say_who_is_right_disagreement_is_no_fault() -> None:
    scene = Scene(truth="3")
    scene.inference.answers = lambda version, request: ReplayAnswer(
        prediction_id=request, http_status=200, latency_ms=1.0, labels=("3" if version == 2 else "7",)
    )
    start(scene)
    for _ in range(30):
        rollout = look(scene)
        if scene.inference.info.shadow:
            compare(scene, agreed=0)
        scene.serve()
        scene.pass_time(61)
    assert rollout.state == "promoted"
    assert "100.0% right, the champion 0.0%" in rollout.steps.get(kind="replay").text


def test_a_shadow_that_fails_ends_before_its_time_and_is_taken_away() -> None:
    scene = Scene()
    start(scene, replay_requests=0)
    look(scene)
    scene.pass_time(2)
    compare(scene, requests=15, errors=15)
    rollout = look(scene)
    assert (rollout.state, scene.inference.info.shadow) == ("rolled_back", None)
    assert "15 of 15 copies failed: boom" in rollout.reason


def test_a_version_that_cannot_be_loaded_is_not_waited_for() -> None:
    scene = Scene()
    scene.inference.failed = "the checksum differs"
    start(scene)
    look(scene)
    scene.pass_time(31)
    rollout = look(scene)
    assert (rollout.state, "the checksum differs" in rollout.reason) == ("rolled_back", True)


def test_a_newer_order_of_a_person_wins_and_is_left_as_it_is() -> None:
    scene = Scene()
    start(scene, shadow_s=0, replay_requests=0)
    look(scene)
    scene.inference.take_traffic(TrafficShare(version=9, weight=100))
    rollout = look(scene)
    assert (rollout.state, scene.inference.history[-1]) == ("superseded", {9: 100})
    look(scene)
    assert scene.inference.history[-1] == {9: 100}


def test_a_newer_order_during_the_shadow_ends_the_shadow() -> None:
    scene = Scene()
    start(scene, replay_requests=0)
    look(scene)
    assert scene.inference.info.shadow == 2
    scene.inference.take_traffic(TrafficShare(version=9, weight=100))
    rollout = look(scene)
    assert (rollout.state, scene.inference.shadows[-1]) == ("superseded", None)


def test_a_paused_rollout_begins_no_step_and_still_goes_back_on_a_bad_verdict() -> None:
    scene = Scene()
    rollout = start(scene, shadow_s=0, replay_requests=0)
    look(scene)
    services.pause_rollout(rollout.pk, actor="bob", now=scene.now)
    scene.serve()
    scene.pass_time(61)
    assert (look(scene).waiting_for, scene.inference.history[-1]) == ("paused by bob", {1: 95, 2: 5})
    services.resume_rollout(rollout.pk, actor="bob", now=scene.now)
    look(scene)
    assert scene.inference.history[-1] == {1: 50, 2: 50}
    services.pause_rollout(rollout.pk, actor="bob", now=scene.now)
    scene.serve(40, bad_errors=0.5)
    assert look(scene).state == "rolled_back"


def test_a_frozen_endpoint_stops_the_steps_and_not_the_way_back() -> None:
    scene = Scene()
    start(scene, shadow_s=0, replay_requests=0)
    look(scene)
    scene.inference.info = replace(scene.inference.info, is_frozen=True, frozen_reason="drift")
    scene.serve()
    scene.pass_time(61)
    assert look(scene).waiting_for == "the endpoint is frozen: drift"
    services.abort_rollout(Rollout.objects.get().pk, actor="bob", now=scene.now)
    assert (look(scene).state, scene.inference.history[-1]) == ("aborted", {1: 100})


def test_a_hold_stops_even_the_way_back_but_not_a_persons_order() -> None:
    scene = Scene()
    rollout = start(scene, shadow_s=0, replay_requests=0)
    look(scene)
    place_hold(reason="we look ourselves", actor="eve", now=scene.now)
    scene.serve(40, bad_errors=1.0)
    assert look(scene).waiting_for == "automation is held everywhere by eve: we look ourselves"
    services.abort_rollout(rollout.pk, actor="bob", now=scene.now)
    assert look(scene).state == "aborted"
    lift_hold(actor="eve", now=scene.now)
    with pytest.raises(NotFoundError):
        lift_hold(actor="eve", now=scene.now)


def test_a_person_may_promote_past_the_gates() -> None:
    scene = Scene()
    rollout = start(scene)
    look(scene)
    services.promote_rollout(rollout.pk, actor="bob", now=scene.now)
    rollout = look(scene)
    assert (rollout.state, rollout.reason) == ("promoted", "promoted by bob")
    assert ("canary 100%", "skipped") in steps(rollout)
    with pytest.raises(ConflictError, match="is promoted"):
        services.abort_rollout(rollout.pk, actor="bob", now=scene.now)


def test_while_inference_is_away_it_waits_and_says_so() -> None:
    scene = Scene()
    start(scene)
    scene.inference.is_away = True
    assert look(scene).waiting_for == "trying again: inference cannot be reached"
    scene.inference.is_away = False
    assert live_on(scene).state == "promoted"


@pytest.mark.postgres
def test_one_rollout_goes_on_at_an_endpoint_and_a_repeated_key_names_it() -> None:
    scene = Scene()
    first = start(scene)
    assert start(scene).pk == first.pk
    with pytest.raises(ConflictError, match="goes on already"):
        start(scene, key="other")
    with pytest.raises(InvalidInputError, match="growing percents"):
        start(scene, key="third", steps=[50, 5])
    with pytest.raises(InvalidInputError, match="has no 'stepz'"):
        start(scene, key="third", stepz=[5])


def test_it_begins_only_where_exactly_one_other_version_answers() -> None:
    scene = Scene()
    scene.inference.take_traffic(TrafficShare(version=1, weight=50), TrafficShare(version=3, weight=50))
    with pytest.raises(ConflictError, match="has 2: 1, 3"):
        start(scene)
    scene.inference.take_traffic(TrafficShare(version=2, weight=100))
    with pytest.raises(ConflictError, match="already"):
        start(scene)


@pytest.mark.postgres
def test_while_one_process_holds_a_rollout_another_leaves_it_and_the_dead_one_can_write_nothing() -> None:
    scene = Scene()
    rollout = start(scene)
    held = desks.claim_rollout(rollout.pk, owner="p1", now=scene.now)
    assert held is not None
    assert desks.claim_rollout(rollout.pk, owner="p2", now=scene.now) is None
    scene.pass_time(desks.CLAIM_S + 1)
    assert desks.claim_rollout(rollout.pk, owner="p2", now=scene.now) is not None
    with pytest.raises(desks.LostClaimError):
        held.write(waiting_for="I am alive")
    assert Rollout.objects.get().waiting_for == ""


def run_cut(at: int, monkeypatch: pytest.MonkeyPatch, **traffic: Any) -> tuple[Scene, Rollout]:
    """Live through a rollout; the process is killed at the given place, and another takes over."""
    scene = Scene(cutter=Cutter())
    start(scene)
    scene.cutter.at = scene.cutter.passed + at if at else -1
    write = desks.Desk.write

    def cut_write(self: desks.Desk, **changes: Any) -> None:
        scene.cutter.pass_by()
        write(self, **changes)
        scene.cutter.pass_by()

    monkeypatch.setattr(desks.Desk, "write", cut_write)
    for attempt in range(60):
        try:
            rollout = look(scene, owner=f"p{attempt}")
        except Killed:
            Rollout.objects.update(claimed_until=scene.now)  # its claim has run out
            continue
        if not rollout.is_active:
            break
        if scene.inference.info.shadow:
            compare(scene)
        scene.serve(**traffic)
        scene.pass_time(61)
    monkeypatch.setattr(desks.Desk, "write", write)
    return scene, Rollout.objects.get()


@pytest.mark.parametrize("bad_errors", [0.0, 0.5])
def test_a_process_may_be_killed_at_any_point(bad_errors: float, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rollout = run_cut(0, monkeypatch, bad_errors=bad_errors)
    assert rollout.state == ("promoted" if not bad_errors else "rolled_back")
    places = whole.cutter.passed
    assert places > 40
    for place in range(1, places):
        Rollout.objects.all().delete()
        scene, rollout = run_cut(place, monkeypatch, bad_errors=bad_errors)
        assert (place, rollout.state) == (place, "promoted" if not bad_errors else "rolled_back")
        assert scene.inference.history == whole.inference.history, f"killed at {place}"
        assert scene.inference.info.shadow is None
