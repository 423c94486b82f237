"""The n-gram model of interpolated modified Kneser–Ney smoothing: what a network has to beat.

Knows token ids, nothing of words, characters or sentences: a text is one stream. Prunes nothing.

An n-gram of k tokens, a k-gram, is its index among the sorted k-grams of the text, and is looked up
by one whole number: the index of the (k-1)-gram that it begins with, times V, plus its last token.
That is exact for every order, and the k-grams that continue one context lie side by side.

Letters: N tokens, V vocabulary, M_k different k-grams; M_0 = 1, the empty one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from carousel.errors import DataError, ModelError, OptionError, ShapeError

_CHUNK = 1 << 20  # tokens scored at once, which bounds the memory that scoring takes
_NO_ESTIMATE = 0.5  # the discount where the counts of counts allow no estimate
_LARGEST = np.iinfo(np.int64).max

# Where a text stands: of its last 0, 1, 2 ... tokens the index of that k-gram, -1 where the counted
# text has none; fewer at its begin.
Contexts = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Level:
    """The k-grams of one k.

    Attributes:
        keys: (M_k,) prefix · V + last token, ascending.
        counts: (M_k,) c_k.
        discounts: (4,) what is taken from a count of 0, 1, 2, and 3 or more.
        total: (M_{k-1},) Σ_v c_k(hv) of each context h.
        mass: (M_{k-1},) what the discounts took from them.
    """

    keys: np.ndarray
    counts: np.ndarray
    discounts: np.ndarray
    total: np.ndarray
    mass: np.ndarray


class NgramModel:
    """Gives each token's probability after the ``order`` - 1 tokens before it.

        P_k(w | h) = (c_k(hw) − D(c_k(hw)) + Σ_v D(c_k(hv)) · P_{k−1}(w | h')) / Σ_v c_k(hv)
        P_0(w) = 1 / V

    where h' is the context h without its first token, and D is one of 0, D1, D2, D3+, by the count
    (see ``discounts_of``). At the highest order c_k says how often hw occurs; below, after how many
    different tokens. A context that was never continued leaves P_{k−1}(w | h'). Every probability
    is above 0, and after every context they sum to 1.

    Reference: Chen and Goodman 1999, doi:10.1006/csla.1999.0128, section 3, on section 2.7, which
        is Kneser and Ney 1995, doi:10.1109/ICASSP.1995.479394, interpolated.
    """

    def __init__(self, vocabulary: int, keys: list[np.ndarray], counts: list[np.ndarray]) -> None:
        """Takes what ``fit`` and ``from_tensors`` found, without a check; call one of these.

        Args:
            vocabulary: V.
            keys: for each k from 1 the ascending keys, (M_k,) int64.
            counts: for each k from 1 the counts, (M_k,).
        """
        self.vocabulary = vocabulary
        self.order = len(keys)
        sizes = [1, *map(len, keys)]
        self._levels = [
            _level(key, count, vocabulary, size)
            for key, count, size in zip(keys, counts, sizes[:-1], strict=True)
        ]

    @classmethod
    def fit(cls, tokens: np.ndarray, vocabulary: int, order: int) -> NgramModel:
        """Counts a text.

        Args:
            tokens: (N,) whole numbers in [0, vocabulary); N may be 0.
            vocabulary: V, at least 1.
            order: the longest n-gram; 1 is the unigram, which knows no context.

        Raises:
            OptionError: where ``order`` or ``vocabulary`` is not at least 1.
            ShapeError: where ``tokens`` is no vector of whole numbers.
            DataError: where a token is outside of the vocabulary.
        """
        if order < 1:
            raise OptionError(f"expected order of 1 or more, got {order}; 1 is the unigram")
        if vocabulary < 1:
            raise OptionError(f"expected a vocabulary of 1 token or more, got {vocabulary}")
        _check(tokens, vocabulary)
        tokens = tokens.astype(np.int64)
        if max(len(tokens), 1) > _LARGEST // vocabulary:
            raise OptionError(
                f"expected tokens times vocabulary below 2^63, got {len(tokens):,} times "
                f"{vocabulary:,}; number the tokens that occur from 0"
            )
        keys: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        ids = np.zeros(len(tokens) + 1, dtype=np.int64)  # of the k-gram that ends at each place
        for k in range(1, order + 1):
            key = ids[:-1] * vocabulary + tokens[k - 1 :]
            unique, at, now, count = np.unique(
                key, return_index=True, return_inverse=True, return_counts=True
            )
            if k > 1:
                # Each k-gram is one different token before the (k-1)-gram that it ends with. The
                # first of the text has none, and a count of 0 where it never comes back.
                counts[-1] = np.bincount(ids[1:][at], minlength=len(keys[-1]))
            keys.append(unique)
            counts.append(count)
            ids = now
        return cls(vocabulary, keys, [_compact(count) for count in counts])

    def log_probabilities(
        self, tokens: np.ndarray, first: int = 1, boundary: int | None = None
    ) -> np.ndarray:
        """Returns ln P(tokens[t] | tokens[max(0, t - order + 1) : t]) for t from ``first`` on.

        Args:
            tokens: (N,) whole numbers in [0, V).
            first: the first token to score, at least 0; those before it are context only. Where
                there are fewer than ``order`` - 1, P_k of the longest context there is.
            boundary: a token that begins a document: what stands before it is no context of what
                follows; None where all is one text.

        Returns:
            (max(0, N - first),) float64, in nats.

        Raises:
            OptionError: where ``first`` is below 0.
            ShapeError, DataError: as ``fit``.
        """
        if first < 0:
            raise OptionError(f"expected first of 0 or more, got {first}")
        _check(tokens, self.vocabulary)
        out = np.empty(max(0, len(tokens) - first))
        for start in range(first, len(tokens), _CHUNK):
            stop = min(start + _CHUNK, len(tokens))
            begin = max(0, start - self.order + 1)
            p = self._probabilities(tokens[begin:stop].astype(np.int64), boundary)
            out[start - first : stop - first] = np.log(p[start - begin :])
        return out

    def begin(self) -> Contexts:
        """Returns where a text begins, with nothing before it."""
        return (0,)

    def after(self, contexts: Contexts, token: int) -> Contexts:
        """Returns where the text stands when one more token has come, in [0, V)."""
        found = [0]
        for level, context in zip(self._levels[:-1], contexts, strict=False):
            # One number at a time: what serves many of them takes several times as long for it.
            wanted = context * self.vocabulary + token
            at = int(level.keys.searchsorted(wanted)) if context >= 0 else len(level.keys)
            found.append(at if at < len(level.keys) and level.keys[at] == wanted else -1)
        return tuple(found)

    def next_probabilities(self, contexts: Contexts) -> Float64[np.ndarray, " V"]:
        """Returns P(v | the text so far) of every token v, as ``log_probabilities`` has them."""
        p = np.full(self.vocabulary, 1 / self.vocabulary)
        for level, context in zip(self._levels, contexts, strict=False):
            if context < 0 or level.total[context] == 0:
                continue
            first = context * self.vocabulary
            begin, end = level.keys.searchsorted((first, first + self.vocabulary))
            counts = level.counts[begin:end].astype(np.int64)
            p *= level.mass[context]
            p[level.keys[begin:end] - first] += counts - level.discounts[np.minimum(counts, 3)]
            p /= level.total[context]
        return p

    def _probabilities(self, tokens: np.ndarray, boundary: int | None) -> np.ndarray:
        """Returns the probability of every token after those before it, (N,)."""
        p = np.full(len(tokens), 1 / self.vocabulary)
        context = np.zeros(len(tokens), dtype=np.int64)  # -1 where there is none of that length
        for k, level in enumerate(self._levels):
            gram = _find(level.keys, context * self.vocabulary + tokens)
            known = np.flatnonzero(context >= 0)
            known = known[level.total[context[known]] > 0]
            h, hw = context[known], gram[known]
            count = np.zeros(len(known), dtype=np.int64)
            count[hw >= 0] = level.counts[hw[hw >= 0]]
            kept = count - level.discounts[np.minimum(count, 3)]
            p[known] = (kept + level.mass[h] * p[known]) / level.total[h]
            if k > 0 and boundary is not None:  # what ends with one began before it
                gram[tokens == boundary] = -1
            context = np.concatenate([[-1], gram])[: len(tokens)]
        return p

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns the model as plain arrays, each of the smallest unsigned type that holds it.

        Returns:
            vocabulary: (1,) int64.
            tokens.k: (M_k,) the last token of each k-gram, in the order of the keys.
            children.k: (M_{k-1},) how many k-grams begin with each (k-1)-gram.
            counts.k: (M_k,) c_k.
        """
        out = {"vocabulary": np.array([self.vocabulary], dtype=np.int64)}
        for k, level in enumerate(self._levels, 1):
            prefix, last = np.divmod(level.keys, self.vocabulary)
            out[f"tokens.{k}"] = _compact(last)
            out[f"children.{k}"] = _compact(np.bincount(prefix, minlength=len(level.total)))
            out[f"counts.{k}"] = level.counts
        return out

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> NgramModel:
        """Returns the model that ``tensors`` came from.

        Raises:
            ModelError: where the arrays do not fit together.
        """
        order = (len(tensors) - 1) // 3
        names = [f"{name}.{k}" for k in range(1, order + 1) for name in _NAMES]
        if order < 1 or set(tensors) != {"vocabulary", *names}:
            raise _misfit("vocabulary, and tokens.k, children.k, counts.k for k from 1", tensors)
        arrays = {name: _whole(name, tensors[name]) for name in ("vocabulary", *names)}
        if len(arrays["vocabulary"]) != 1 or arrays["vocabulary"][0] < 1:
            raise _misfit("one vocabulary of 1 or more", arrays["vocabulary"][:2])
        vocabulary = int(arrays["vocabulary"][0])
        size, keys, counts = 1, [], []
        for k in range(1, order + 1):
            last, children, count = (arrays[f"{name}.{k}"] for name in _NAMES)
            if len(children) != size or len(count) != len(last):
                raise _misfit(
                    f"{size} of children.{k} and as many tokens.{k} as counts.{k}",
                    (len(children), len(last), len(count)),
                )
            # First that none is larger than the sum has to be, so that the sum does not overflow.
            if children.max(initial=0) > len(last) or children.sum() != len(last):
                raise _misfit(f"children.{k} that sum to {len(last)}", "others")
            if last.max(initial=0) >= vocabulary:
                raise _misfit(f"tokens.{k} below {vocabulary}", last.max())
            if count.max(initial=0) > _LARGEST // max(len(count), 1):
                raise _misfit(f"counts.{k} with a sum below 2^63", count.max())
            if size > _LARGEST // vocabulary:
                raise _misfit(f"{size} {k - 1}-grams times vocabulary below 2^63", vocabulary)
            keys.append(np.repeat(np.arange(size), children) * vocabulary + last)
            if not (keys[-1][1:] > keys[-1][:-1]).all():
                raise _misfit(f"tokens.{k} that ascend within each prefix", "others")
            counts.append(_compact(count))
            size = len(last)
        return cls(vocabulary, keys, counts)


_NAMES = ("tokens", "children", "counts")


def discounts_of(counts: np.ndarray) -> np.ndarray:
    """Returns what to take from a count of 0, 1, 2, and 3 or more.

        n_c = how many counts are c;  Y = n_1 / (n_1 + 2·n_2)
        D1 = 1 − 2Y·n_2/n_1,  D2 = 2 − 3Y·n_3/n_2,  D3+ = 3 − 4Y·n_4/n_3

    Where one of these n_c is 0, or a discount is not between 0 and its count, all three are the
    single discount Y; where n_1 or n_2 is 0, they are 0.5.

    Args:
        counts: (M,) whole numbers; 0 does not matter.

    Returns:
        (4,) the first is 0.

    Reference: Chen and Goodman 1999, doi:10.1006/csla.1999.0128, section 3, equation 17; Y is that
        of section 2.6, after Ney, Essen and Kneser 1994, doi:10.1006/csla.1994.1001.
    """
    n = np.bincount(np.minimum(counts, 5).astype(np.int64), minlength=6).astype(np.float64)
    if n[1] == 0 or n[2] == 0:
        return np.array([0.0, *[_NO_ESTIMATE] * 3])
    y = n[1] / (n[1] + 2 * n[2])
    if n[3] > 0 and n[4] > 0:
        c = np.arange(1, 4)
        three = c - (c + 1) * y * n[2:5] / n[1:4]
        if ((three > 0) & (three < c)).all():
            return np.concatenate([[0.0], three])
    return np.array([0.0, y, y, y])


def _level(keys: np.ndarray, counts: np.ndarray, vocabulary: int, size: int) -> _Level:
    """Derives what belongs to the k-grams' ``size`` contexts."""
    prefix = keys // vocabulary
    discounts = discounts_of(counts)
    # Whole numbers below 2^53 are exact in the float64 that bincount adds in.
    total = np.bincount(prefix, counts, minlength=size)
    mass = np.bincount(prefix, discounts[np.minimum(counts, 3)], minlength=size)
    return _Level(keys=keys, counts=counts, discounts=discounts, total=total, mass=mass)


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns the index of each wanted key, -1 where it is none of the ascending keys.

    A context of -1 makes a key below 0, which is found nowhere.
    """
    if len(keys) == 0:
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


def _compact(values: np.ndarray) -> np.ndarray:
    """Returns the same whole numbers from 0 in the smallest unsigned type."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _check(tokens: np.ndarray, vocabulary: int) -> None:
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ShapeError(
            f"expected a vector of token ids, got {tokens.dtype} of shape {tokens.shape}"
        )
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary:
        raise DataError(
            f"expected token ids from 0 to {vocabulary - 1}, got {tokens.min()} to {tokens.max()}; "
            "encode the text with the vocabulary of the model"
        )


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise _misfit(f"a vector of whole numbers as {name}", f"{values.dtype} {values.shape}")
    if len(values) and (int(values.min()) < 0 or int(values.max()) > _LARGEST):
        raise _misfit(f"{name} from 0 to 2^63 - 1", f"{values.min()} to {values.max()}")
    return values.astype(np.int64)


def _misfit(expected: str, got: object) -> ModelError:
    found = sorted(got) if isinstance(got, Mapping) else got
    return ModelError(
        f"the n-gram model does not fit together: expected {expected}, got {found}; save it again"
    )
