"""Whether the data that comes in is sound: refused, missing, out of range, new, repeated, or always the same."""

from __future__ import annotations

from collections.abc import Mapping

from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from monitoring.performance.intervals import share
from monitoring.performance.observed import Observed
from monitoring.performance.results import Estimate, FeatureQuality, QualityResult

SCHEMA_CODES = ("invalid_input",)  # of aiplatform.errors: what was sent is not what the signature says
TOLERATED_SHARE = 0.01  # of the rows; a problem is surely more
MIN_ROWS = 100
MAX_NAMED = 10  # new categories
STANDARD_ERRORS = 2  # of the sketch's bounds: 95%


def measure_quality(
    profile: DataProfile, observed: Observed, baseline: DataProfile | None, *, requests: int
) -> QualityResult:
    """Return what is wrong with a period's data. Without a baseline only what needs none is said."""
    refused = dict(sorted(observed.refused.items()))
    violations = sum(refused.get(code, 0) for code in SCHEMA_CODES)
    known = baseline.features if baseline else {}
    features = tuple(
        _judge(name, feature, known.get(name), observed) for name, feature in sorted(profile.features.items())
    )
    return QualityResult(
        rows=profile.rows,
        requests=requests,
        schema_violations=share(violations, requests),
        refused=refused,
        duplicates=_duplicates(observed),
        features=features,
        problems=sum(bool(feature.problems) for feature in features),
    )


def _judge(name: str, feature: FeatureProfile, baseline: FeatureProfile | None, observed: Observed) -> FeatureQuality:
    rows = feature.count + feature.missing
    missing = share(feature.missing, rows)
    strange = share(observed.strange[name], observed.checked) if baseline is not None else Estimate()
    is_numeric = isinstance(feature, NumericProfile)
    expected = _missing_share(baseline)
    out_of_range, new = (strange, Estimate()) if is_numeric else (Estimate(), strange)
    is_constant = (
        feature.count >= MIN_ROWS and _is_constant(feature) and (baseline is None or not _is_constant(baseline))
    )
    wrong = {
        "missing": _is_more(missing, expected or 0.0),
        "out_of_range": _is_more(out_of_range, 0.0),
        "new_categories": _is_more(new, 0.0),
        "constant": is_constant,
    }
    low, high = _range(baseline)
    return FeatureQuality(
        feature=name,
        kind="numeric" if is_numeric else "category",
        rows=rows,
        missing=missing,
        expected_missing=expected,
        out_of_range=out_of_range,
        range_low=low,
        range_high=high,
        new_categories=_new_categories(feature, baseline),
        new_category_share=new,
        is_constant=is_constant,
        problems=tuple(problem for problem, is_there in wrong.items() if is_there),
    )


def _is_more(found: Estimate, expected: float) -> bool:
    return found.samples >= MIN_ROWS and found.low is not None and found.low > expected + TOLERATED_SHARE


def _missing_share(baseline: FeatureProfile | None) -> float | None:
    if baseline is None or not baseline.count + baseline.missing:
        return None
    return baseline.missing / (baseline.count + baseline.missing)


def _range(baseline: FeatureProfile | None) -> tuple[float | None, float | None]:
    if not isinstance(baseline, NumericProfile) or not baseline.count:
        return None, None
    low, high = baseline.quantiles([0.0, 1.0])
    return low, high


def _is_constant(feature: FeatureProfile) -> bool:
    if isinstance(feature, CategoryProfile):
        return len(feature.counts()) == 1
    values = feature.quantiles([0.0, 1.0])
    return bool(values) and values[0] == values[1]


def _new_categories(feature: FeatureProfile, baseline: FeatureProfile | None) -> tuple[str, ...]:
    if not isinstance(feature, CategoryProfile) or not isinstance(baseline, CategoryProfile):
        return ()
    known: Mapping[str, int] = baseline.counts()
    return tuple(name for name in feature.counts() if name not in known)[:MAX_NAMED]


def _duplicates(observed: Observed) -> Estimate:
    rows = observed.hashed
    if not rows:
        return Estimate()
    sketch = observed.distinct
    bounds = sketch.get_estimate(), sketch.get_upper_bound(STANDARD_ERRORS), sketch.get_lower_bound(STANDARD_ERRORS)
    value, low, high = (min(1.0, max(0.0, 1 - distinct / rows)) for distinct in bounds)
    return Estimate(value=value, low=low, high=high, samples=rows)
