"""Metrics of drift: how far features and predictions have moved from the baseline."""

from __future__ import annotations

from monitoring.drift.results import ColumnDrift, DriftTable, Verdict
from monitoring.readings import Readings
from monitoring.selectors import Period, get_drift, get_served_version, merge_profiles_by_version
from monitoring.statistics.question import Answer, Measurement, MetricInfo, Question, catalogue
from monitoring.vectors import compare_embeddings


def _drift_tables(question: Question) -> list[tuple[int, DriftTable]]:
    """Return (version, table) for each version with data in the period."""
    return question.readings.once(
        _compare_versions, question.endpoint, question.version, question.period, question.readings
    )


def _compare_versions(
    endpoint: str, version: int | None, period: Period, readings: Readings
) -> list[tuple[int, DriftTable]]:
    profiles = readings.once(merge_profiles_by_version, endpoint, version, period)
    served = {number: readings.once(get_served_version, endpoint, number) for number in profiles}
    return [(number, get_drift(served[number], profile, readings)) for number, profile in profiles.items()]


def _feature_drift(test: str) -> Answer:
    def answer(question: Question) -> Measurement:
        tables = _drift_tables(question)
        columns = [
            (version, column)
            for version, table in tables
            for column in table.features
            if question.feature in (None, "", column.column)
        ]
        return _worst(question, test, columns, tables)

    return answer


def _embedding_drift(question: Question) -> Measurement:
    tables = _drift_tables(question)
    columns = [
        (version, column)
        for version, table in tables
        for column in table.embedding
        if question.feature in (None, "", column.column)
    ]
    return _worst(question, "psi", columns, tables)


def _drifted_dimensions(question: Question) -> Measurement:
    tables = _drift_tables(question)
    return _share(question, [(v, c) for v, table in tables for c in table.embedding], tables)


def _embedding_mmd(question: Question) -> Measurement:
    versions = list(question.totals_by_version)
    if not versions:
        return question.answer(None, 0, reason="no data")
    found = [
        (version, result)
        for version in versions
        if (result := compare_embeddings(question.served(version), question.period))
    ]
    known = [(result.statistic, version, result) for version, result in found if result.statistic is not None]
    seen = max((result.window_samples for _, result in found), default=0)
    if not known:
        return question.answer(None, seen, reason="not enough data" if found else "no embeddings are kept")
    value, version, result = max(known, key=lambda one: one[0])
    return question.answer(
        value, result.window_samples, version=version, p_value=result.p_value, verdict=result.verdict.value,
        baseline_samples=result.baseline_samples, threshold=result.threshold,
    )  # fmt: skip


def _prediction_drift(question: Question) -> Measurement:
    tables = _drift_tables(question)
    columns = [(v, column) for v, table in tables for column in table.predictions if column.column != "confidence"]
    return _worst(question, "psi", columns, tables)


def _worst(
    question: Question, test: str, columns: list[tuple[int, ColumnDrift]], tables: list[tuple[int, DriftTable]]
) -> Measurement:
    results = [(r.statistic, v, c, r) for v, c in columns if (r := c.find_test(test)) and r.statistic is not None]
    seen = max((r.window_samples for _, c in columns if (r := c.find_test(test))), default=0)
    if not results:
        return question.answer(None, seen, reason=_why_no_drift(tables))
    value, version, column, result = max(results, key=lambda found: found[0])
    return question.answer(
        value, result.window_samples, feature=column.column, version=version, p_value=result.p_value,
        verdict=column.verdict.value, baseline_samples=result.baseline_samples, threshold=result.threshold,
        adjusted_p_value=column.adjusted_p_value, direction=column.direction.value,
    )  # fmt: skip  # fmt: skip


def _drifted_share(question: Question) -> Measurement:
    tables = _drift_tables(question)
    return _share(question, [(v, c) for v, table in tables for c in table.features], tables)


def _share(
    question: Question, columns: list[tuple[int, ColumnDrift]], tables: list[tuple[int, DriftTable]]
) -> Measurement:
    """Return which share of some columns drifted, of those with data enough."""
    judged = [(v, c) for v, c in columns if c.verdict is not Verdict.NOT_ENOUGH_DATA]
    drifted = sorted({column.column for _, column in judged if column.verdict is Verdict.DRIFTED})
    samples = max((result.window_samples for _, column in judged for result in column.tests), default=0)
    if not judged:
        return question.answer(None, samples, reason=_why_no_drift(tables))
    count = sum(1 for _, column in judged if column.verdict is Verdict.DRIFTED)
    return question.answer(count / len(judged), samples, features=drifted, judged=len(judged))


def _why_no_drift(tables: list[tuple[int, DriftTable]]) -> str:
    if not tables:
        return "no data"
    return next((f"no baseline: {table.reason}" for _, table in tables if not table.has_baseline), "not enough data")


def _dataset_drift(question: Question) -> Measurement:
    tables = [(v, t) for v, t in _drift_tables(question) if t.has_baseline and t.drifted_share is not None]
    if not tables:
        return question.answer(None, 0, reason=_why_no_drift(_drift_tables(question)))
    version, table = max(tables, key=lambda found: found[1].drifted_share or 0.0)
    samples = max((r.window_samples for column in table.features for r in column.tests), default=0)
    return question.answer(
        float(table.dataset_verdict is Verdict.DRIFTED), samples, version=version, share=table.drifted_share,
        threshold=table.dataset_share, drifted=table.drifted_count, judged=table.judged_count,
    )  # fmt: skip


def _of_a_test(name: str, test: str, unit: str, what: str) -> tuple[MetricInfo, Answer]:
    text = f"{what}; the worst feature's if none is named"
    return MetricInfo(name=name, unit=unit, needs_feature=True, help=text), _feature_drift(test)


DRIFT = catalogue(
    _of_a_test("drift_psi", "psi", "PSI", "Population stability index"),
    _of_a_test("drift_ks", "ks", "KS", "Kolmogorov-Smirnov distance"),
    _of_a_test("drift_wasserstein", "wasserstein", "deviations", "Wasserstein distance in the baseline's deviations"),
    _of_a_test("drift_js", "js", "JS", "Jensen-Shannon distance of a category"),
    _of_a_test("drift_chi2", "chi2", "chi-square", "Chi-square statistic of a category"),
    (
        MetricInfo(
            name="drifted_feature_share", unit="share", help="Share of judged features whose verdict is 'drifted'"
        ),
        _drifted_share,
    ),
    (
        MetricInfo(
            name="dataset_drift", unit="0 or 1", help="1 if as many features drifted as DRIFT_DATASET_SHARE says"
        ),
        _dataset_drift,
    ),
    (
        MetricInfo(
            name="embedding_drift_psi",
            unit="PSI",
            needs_feature=True,
            help="Population stability index of the embedding; the worst dimension's if none is named",
        ),
        _embedding_drift,
    ),
    (
        MetricInfo(
            name="drifted_embedding_share",
            unit="share",
            help="Share of the embedding's judged dimensions whose verdict is 'drifted'",
        ),
        _drifted_dimensions,
    ),
    (
        MetricInfo(
            name="embedding_mmd",
            unit="MMD",
            help="Maximum mean discrepancy of embeddings kept in the prediction store",
        ),
        _embedding_mmd,
    ),
    (
        MetricInfo(
            name="prediction_drift_psi", unit="PSI", help="Population stability index of what the model predicts"
        ),
        _prediction_drift,
    ),
)
