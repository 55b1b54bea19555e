"""What a verdict says: the headline, the worst first, and what is missing where there is too little to judge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring.accuracy import realised_accuracy
from monitoring.drift.results import ColumnDrift, Direction, DriftTable, TestResult, Verdict
from monitoring.performance.results import ChangeEvent, Estimate, EstimatedResult, FeatureQuality, QualityResult
from monitoring.reports.findings import Evidence, FiringAlert, judge_health
from monitoring.reports.verdict import Health, Severity
from monitoring.selectors import Totals

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def column(
    name: str, psi: float | None = 0.01, *, rows: int = 500, direction: Direction = Direction.NONE
) -> ColumnDrift:
    verdict = Verdict.NOT_ENOUGH_DATA if psi is None else Verdict.DRIFTED if psi > 0.1 else Verdict.OK
    test = TestResult(
        test="psi",
        statistic=psi,
        threshold=0.1,
        p_value=0.5,
        baseline_samples=900,
        window_samples=rows,
        verdict=verdict,
    )
    return ColumnDrift(column=name, kind="numeric", tests=(test,), verdict=verdict, direction=direction)


def drift(*features: ColumnDrift, predictions: tuple[ColumnDrift, ...] = ()) -> DriftTable:
    verdicts = [found.verdict for found in (*features, *predictions)]
    verdict = next((v for v in (Verdict.DRIFTED, Verdict.OK) if v in verdicts), Verdict.NOT_ENOUGH_DATA)
    return DriftTable(verdict=verdict, has_baseline=True, features=features, predictions=predictions)


def evidence(*, right: int = 95, labelled: int = 100, **changes: Any) -> Evidence:
    values: dict[str, Any] = {
        "totals": Totals(rows=1000, requests=1000, errors=1),
        "accuracy": realised_accuracy(labelled=labelled, correct=right, predictions=1000),
        "expected_accuracy": 0.95,
        "drift": drift(column("age"), column("income")),
    }
    return Evidence(**{**values, **changes})


def quality(*features: FeatureQuality, violations: Estimate | None = None) -> QualityResult:
    return QualityResult(
        rows=1000, requests=1000, schema_violations=violations or Estimate(), refused={}, duplicates=Estimate(),
        features=features, problems=len(features),
    )  # fmt: skip


def test_a_well_version_says_what_was_judged() -> None:
    found = judge_health(evidence())
    assert found.health is Health.WELL
    assert found.headline == (
        "Well: 1 server error in 1,000 requests, no drift, accuracy 95.0% on the 10.0% that is labelled"
    )


def test_the_headline_is_the_worst_finding_and_counts_the_rest() -> None:
    found = judge_health(
        evidence(right=60, totals=Totals(rows=1000, requests=1000, errors=50), drift=drift(column("age", 0.4)))
    )
    assert found.headline == "Not well: 5.0% of 1,000 requests failed, and 2 more"
    assert [problem.area for problem in found.problems] == ["errors", "accuracy", "drift"]
    assert [problem.section for problem in found.problems] == ["service", "performance", "drift"]


def test_bad_findings_come_before_those_worth_a_look() -> None:
    found = judge_health(evidence(drift=drift(*(column(f"f{i}", 0.4 if i == 0 else 0.01) for i in range(5))), right=60))
    assert [problem.severity for problem in found.problems] == [Severity.BAD, Severity.WARN]


def test_one_drifted_feature_of_many_is_worth_a_look_and_half_of_them_are_not_well() -> None:
    few = drift(*(column(f"f{i}", 0.4 if i == 0 else 0.01) for i in range(5)))
    many = drift(*(column(f"f{i}", 0.4 if i < 3 else 0.01) for i in range(5)))
    assert judge_health(evidence(drift=few)).health is Health.WATCH
    assert judge_health(evidence(drift=many)).health is Health.NOT_WELL


def test_how_a_feature_moved_is_said() -> None:
    found = judge_health(evidence(drift=drift(column("age", 0.4, direction=Direction.UP))))
    assert found.problems[0].text == "drifted: age (up, PSI 0.40)"


def test_falling_confidence_is_worth_a_look_but_other_predictions_are_not_well() -> None:
    sure = judge_health(evidence(drift=drift(column("age"), predictions=(column("confidence", 0.4),))))
    said = judge_health(evidence(drift=drift(column("age"), predictions=(column("label", 0.4),))))
    assert (sure.health, said.health) == (Health.WATCH, Health.NOT_WELL)


def test_many_drifted_features_are_counted_not_listed() -> None:
    found = judge_health(evidence(drift=drift(*(column(f"f{i}", 0.4) for i in range(40)))))
    assert "(40 of 40 features)" in found.problems[0].text
    assert found.problems[0].text.endswith("and 36 more")


def test_too_few_labels_and_predictions_say_how_many_more_are_needed() -> None:
    found = judge_health(evidence(labelled=12, right=12, drift=drift(column("age", None, rows=39))))
    assert found.health is Health.NOT_ENOUGH_DATA
    assert [(gap.area, gap.missing, gap.unit) for gap in found.gaps] == [
        ("accuracy", 18, "labels"),
        ("drift", 61, "predictions"),
    ]
    assert "accuracy needs 30 labels, there are 12: 18 more" in found.text


def test_no_baseline_is_a_gap_with_its_reason() -> None:
    missing = DriftTable(verdict=Verdict.NOT_ENOUGH_DATA, has_baseline=False, reason="no profile")
    found = judge_health(evidence(labelled=0, right=0, drift=missing))
    assert [gap.text for gap in found.gaps][1] == "no baseline (no profile)"


def test_no_traffic_is_no_verdict_whatever_else_is_known() -> None:
    found = judge_health(evidence(totals=Totals(), alerts=[FiringAlert(rule="r", severity="critical", since=AT)]))
    assert (found.health, found.headline, found.problems) == (Health.NO_TRAFFIC, "No traffic in this period", ())


@pytest.mark.parametrize(("labelled", "expected"), [(0, ["estimate"]), (100, [])])
def test_estimated_accuracy_counts_only_while_labels_are_missing(labelled: int, expected: list[str]) -> None:
    estimated = EstimatedResult(
        samples=900, expected=0.95, accuracy=Estimate(value=0.8, low=0.78, high=0.82, samples=900)
    )
    found = judge_health(evidence(labelled=labelled, right=round(labelled * 0.95), estimated=estimated))
    assert [problem.area for problem in found.problems] == expected


def test_broken_data_changes_and_alerts_are_worth_a_look() -> None:
    broken = FeatureQuality(
        feature="age", kind="numeric", rows=1000, missing=Estimate(value=0.4), expected_missing=0.0,
        out_of_range=Estimate(), problems=("missing",),
    )  # fmt: skip
    change = ChangeEvent(
        endpoint="digits", version=1, stream="feature:age", detector="adwin", at=AT, before=1.0, after=2.0,
        **({"detected_at": AT} if "detected_at" in ChangeEvent.__dataclass_fields__ else {}),
    )  # fmt: skip
    found = judge_health(
        evidence(
            quality=quality(broken, violations=Estimate(value=0.2, low=0.18, high=0.22, samples=1000)),
            changes=[change],
            alerts=[
                FiringAlert(rule="slow", severity="warning", since=AT),
                FiringAlert(rule="i", severity="info", since=AT),
            ],
        )
    )
    assert found.health is Health.WATCH
    assert [problem.text for problem in found.problems] == [
        "data quality: age (missing)",
        "20.0% of requests did not fit the model's schema",
        "a change was detected in age",
        "the alert 'slow' fires since 22 Nov 12:00 UTC",
    ]


def test_a_critical_alert_is_not_well() -> None:
    found = judge_health(evidence(alerts=[FiringAlert(rule="down", severity="critical", since=AT)]))
    assert found.health is Health.NOT_WELL
