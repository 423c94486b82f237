"""Whether a difference between two forecasts is more than chance: Diebold and Mariano's test.

Knows differences of errors and when they were made, nothing of models.

Windows of many series that begin at the same moment share their surprises, and windows closer than
the horizon share the rows they forecast. So the differences are averaged to one number for each
origin, and the variance of their mean counts the autocovariances of origins that overlap. Where
there are too few origins, the series are compared instead, taken as independent of each other.

Letters: K horizon, W windows, S series, N origins.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

Kind = Literal["origins", "series", "none"]

LEVEL = 0.05  # the chance, at most, of calling a difference real that is none
LEAST = 8  # fewer separate origins, or series, than this tell nothing
# Differences that vary by less than this part of their size do not vary: they are rounding.
_ROUNDING = 1e-12
_TINY = 1e-300


class Outcome(NamedTuple):
    """A test's statistic, below 0 where the first forecast is better, and its two-sided p-value.

    ``bartlett`` says that the plain estimate of the variance was not positive, and Bartlett's
    weights took its place.
    """

    statistic: float
    p_value: float
    bartlett: bool = False


@dataclass(frozen=True, kw_only=True)
class Significance:
    """What a test says of the model against its best baseline, on scaled absolute errors.

    Attributes:
        kind: what was tested over: "origins" (Diebold and Mariano), "series" (a paired t-test), or
            "none" where there are too few of either.
        against: the best baseline.
        difference: mean scaled absolute error of the model less the baseline's: below 0 is better.
        statistic: of the test; NaN for "none".
        p_value: two-sided; NaN for "none".
        num: how many differences were tested: origins or series.
        num_series: series that could be compared.
        num_separate: origins of a usual series whose horizons do not overlap.
        overlap: how many earlier origins share rows with an origin, at most.
        bartlett: see ``Outcome``.
    """

    kind: Kind
    against: str
    difference: float
    statistic: float = math.nan
    p_value: float = math.nan
    num: int = 0
    num_series: int = 0
    num_separate: int = 0
    overlap: int = 0
    bartlett: bool = False

    @property
    def tells(self) -> bool:
        """Whether the difference is more than chance, at 5 %."""
        return self.p_value < LEVEL

    @property
    def words(self) -> str:
        """The p-value and the test it comes from, or "no test"."""
        if self.kind == "none":
            return "no test"
        p = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        if self.kind == "series":
            return f"{p}, paired t-test across {self.num:,} series, taken as independent"
        overlapping = " overlapping" if self.overlap else ""
        return f"{p}, Diebold–Mariano test over {self.num:,}{overlapping} origins"

    def to_dict(self) -> dict[str, Any]:
        """Returns the test as plain values."""
        return asdict(self)


def compare(
    differences: np.ndarray,
    *,
    series: np.ndarray,
    origin: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    against: str,
) -> Significance:
    """Tests whether the mean difference of scaled absolute errors is 0.

    Every series weighs the same, as in MASE, so the mean difference is the difference of MASE.
    With n_s differences of series s and their mean D, origin t of N says

        g_t = D + N/S · Σ_s 1/n_s · Σ_{d of s at t} (d − D)

    which is the plain mean of its differences where every series has as many at every origin.

    Args:
        differences: (K, W) |error of the model| − |error of the baseline|, each over its series'
            naive error; NaN where either is unknown.
        series: (W,) which series each window belongs to.
        origin: (W,) its first forecast row in that series.
        begin: (W,) the time stamp of that row, and
        end: (W,) of the last row it forecasts, so that windows that share rows are known.
        against: name of the baseline.
    """
    real = ~np.isnan(differences)
    count = real.sum(0)
    some = count > 0
    if not some.any():
        return Significance(kind="none", against=against, difference=math.nan)
    total, count = np.where(real, differences, 0.0).sum(0)[some], count[some]
    _, own = np.unique(series[some], return_inverse=True)
    points = np.bincount(own, count)
    by_series = np.bincount(own, total) / points
    difference = float(by_series.mean())
    stamps, at = np.unique(begin[some], return_inverse=True)
    share = 1 / (len(points) * points[own])
    moved = np.bincount(at, share * (total - difference * count))
    by_origin = difference + len(stamps) * moved
    last = np.full(len(stamps), np.iinfo(np.int64).min)
    np.maximum.at(last, at, end[some])
    overlap = int((np.searchsorted(stamps, last, side="right") - 1 - np.arange(len(stamps))).max())
    # Origins at which few of the series are forecast say less than their number.
    weight = np.bincount(at, share * count)
    separate = _num_separate(stamps, last) / (len(stamps) * float((weight**2).sum()))
    usual = int(np.median(_separate_per_series(own, origin[some], len(differences))))
    found = Significance(
        kind="none",
        against=against,
        difference=difference,
        num_series=len(by_series),
        num_separate=usual,
        overlap=overlap,
    )
    if usual >= LEAST and separate >= LEAST and len(stamps) > overlap + 1:
        outcome = diebold_mariano(by_origin, overlap, separate)
        return _tested(found, "origins", len(by_origin), outcome)
    if len(by_series) >= LEAST:
        return _tested(found, "series", len(by_series), paired_t(by_series))
    return found


def diebold_mariano(
    differences: np.ndarray, overlap: int = 0, separate: float | None = None
) -> Outcome:
    """Tests whether a time series of differences in loss has mean 0.

        h = overlap + 1,  γ_k = 1/n · Σ_t (d_t − d̄)(d_{t−k} − d̄)
        V = γ_0 + 2·Σ_{k<h} γ_k
        statistic = d̄ / √(V / n) · √((n + 1 − 2h + h(h − 1)/n) / n)

    against Student's t distribution. Where V is not positive, Bartlett's weights 1 − k/h make it
    so. Harvey, Leybourne and Newbold take n − 1 degrees of freedom; with overlapping windows the
    test then says 5 % and errs in 7 to 10 (n = 8h), so here the windows that do not overlap are
    counted, n/h − 1, with which it errs in 5 to 7; for h = 1 the two are the same.

    Args:
        differences: (N,) in order of time, N > h.
        overlap: how many earlier ones each may depend on.
        separate: how many do not depend on each other; by default N / h.

    Reference: Diebold and Mariano 1995, doi:10.1080/07350015.1995.10524599; the correction of small
    samples is Harvey, Leybourne and Newbold 1997, doi:10.1016/S0169-2070(96)00719-4, equation 9;
    the weights are Newey and West 1987, doi:10.2307/1913610.
    """
    n, h = len(differences), overlap + 1
    assert n > h >= 1
    mean = float(differences.mean())
    deviation = differences - mean
    covariances = np.array([deviation[k:] @ deviation[: n - k] / n for k in range(h)])
    if covariances[0] <= _rounding(differences):
        return _without_spread(mean, differences)
    weights = np.where(np.arange(h) == 0, 1.0, 2.0)
    variance = float(weights @ covariances)
    bartlett = variance <= _ROUNDING * float(covariances[0])
    if bartlett:
        variance = float(weights * (1 - np.arange(h) / h) @ covariances)
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
    statistic = mean / math.sqrt(variance / n) * math.sqrt(correction)
    freedom = (n / h if separate is None else separate) - 1
    return Outcome(statistic, student_t_p_value(statistic, freedom), bartlett)


def paired_t(differences: np.ndarray) -> Outcome:
    """Tests whether independent differences have mean 0.

        statistic = d̄ / (s / √n),  n − 1 degrees of freedom

    Args:
        differences: (S,) at least 2.

    Reference: Student 1908, doi:10.1093/biomet/6.1.1.
    """
    n = len(differences)
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    if variance <= _rounding(differences):
        return _without_spread(mean, differences)
    statistic = mean / math.sqrt(variance / n)
    return Outcome(statistic, student_t_p_value(statistic, n - 1))


def student_t_p_value(statistic: float, freedom: float) -> float:
    """Returns the chance that |t| is at least that large: I_x(ν/2, 1/2) with x = ν/(ν + t²).

    Args:
        statistic: t.
        freedom: ν above 0, not necessarily whole.

    Reference: Abramowitz and Stegun, 26.7.1 and 26.5.27.
    """
    assert freedom > 0
    if math.isnan(statistic):
        return math.nan
    square = statistic * statistic
    if math.isinf(square):
        return 0.0
    x, rest = freedom / (freedom + square), square / (freedom + square)
    return _incomplete_beta(freedom / 2, 0.5, x, rest)


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Returns I_x(a, b), with ``rest`` = 1 − x given apart, so that it is exact near 0."""
    if rest <= 0 or x <= 0:
        return 1.0 if rest <= 0 else 0.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    )
    # The fraction converges quickly on this side; the other is its complement.
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1.0 - front * _beta_fraction(b, a, rest) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Returns the continued fraction of I_x(a, b) by Lentz's method; DLMF 8.17.22."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _rounding(differences: np.ndarray) -> float:
    return float((_ROUNDING * np.abs(differences).max()) ** 2)


def _without_spread(mean: float, differences: np.ndarray) -> Outcome:
    if not differences.any():
        return Outcome(0.0, 1.0)
    return Outcome(math.copysign(math.inf, mean), 0.0)


def _num_separate(stamps: np.ndarray, last: np.ndarray) -> int:
    """Counts the origins that remain when each waits for the rows of the one before it to end."""
    count, end = 0, None
    for begin, until in zip(stamps.tolist(), last.tolist(), strict=True):
        if end is None or begin > end:
            count, end = count + 1, until
    return count


def _separate_per_series(own: np.ndarray, origin: np.ndarray, horizon: int) -> np.ndarray:
    """Returns how many horizons of its own each series was forecast for, (S,)."""
    size = int(own.max()) + 1
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(first, own, origin)
    np.maximum.at(last, own, origin)
    return np.minimum((last - first) // horizon + 1, np.bincount(own))


def _tested(found: Significance, kind: Kind, num: int, outcome: Outcome) -> Significance:
    return replace(
        found,
        kind=kind,
        num=num,
        statistic=outcome.statistic,
        p_value=outcome.p_value,
        bartlett=outcome.bartlett,
    )
