"""Models that learn from the text that they score: dynamic evaluation and the neural cache.

Every token is predicted before it is learned from, so that the result is a fair perplexity, of a
model that adapts.

Shape letters: T time, D size of the last layer's output, C places of the cache, V vocabulary.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from carousel.data.token_streams import column_segments, num_rows, segment_ends
from carousel.errors import OptionError
from carousel.nn import State
from carousel.options import option, options
from carousel.tasks.language_modeling.ensemble import Network
from carousel.tasks.language_modeling.network import Features
from carousel.tasks.language_modeling.options import share_option

_EPSILON = 1e-8  # below which a mean square is taken for none
_STABILIZATION = 2e-5  # ε: a token that training never had moves no further than others
_STATISTICS_COLUMNS = 16
_STATISTICS_SEGMENTS = 100
_WARM_UP = 50  # tokens read before each of them


@options
class AdaptationOptions:
    """What a model may learn from the text that it scores, and what n-grams say to it.

    Raises:
        OptionError: for an option whose method is off.
    """

    dynamic: bool = option(
        default=False,
        help="dynamic evaluation: update the weights on what was scored",
        source="arXiv:1709.07432",
    )
    dynamic_rate: float | None = option(
        default=None, help="step size of these updates (default 3e-5)", low=0.0
    )
    dynamic_decay: float | None = option(
        default=None,
        help="pull back to the trained weights at each update (default 0.002)",
        low=0.0,
        high=1.0,
    )
    dynamic_steps: int | None = option(
        default=None,
        help="tokens between two updates (default 5; 20 for characters and bytes)",
        unit="tokens",
        low=1,
    )
    cache: bool = option(
        default=False,
        help="neural cache: expect again what followed similar states",
        source="arXiv:1612.04426",
    )
    cache_size: int | None = option(
        default=None, help="states remembered (default 500)", unit="tokens", low=1
    )
    cache_flatness: float | None = option(
        default=None,
        help="how sharply similar states outweigh others, θ (default 0.3)",
        low=0.0,
    )
    cache_weight: float | None = option(
        default=None,
        help="share of the cache in the prediction, λ (default 0.1)",
        low=0.0,
        high=1.0,
    )

    ngram_weight: float | None = share_option()

    def __post_init__(self) -> None:
        for method, names in (
            ("dynamic", ("dynamic_rate", "dynamic_decay", "dynamic_steps")),
            ("cache", ("cache_size", "cache_flatness", "cache_weight")),
        ):
            given = [name for name in names if getattr(self, name) is not None]
            if given and not getattr(self, method):
                raise OptionError(
                    f"option {given[0]!r} belongs to {method!r}, which is off; turn it on or leave "
                    f"{given[0]!r} out"
                )


class Adaptation:
    """An ``Adapter`` that does what the options say.

    Args:
        options: of which ``dynamic`` or ``cache`` is on.
        statistics: of the gradients in training, from ``gradient_statistics``.
        kind: of the tokens, which decides how often weights change where the options do not.
    """

    def __init__(
        self, options: AdaptationOptions, statistics: Mapping[str, Tensor], kind: str = "words"
    ) -> None:
        steps = options.dynamic_steps or dynamic_steps(kind)
        self.updates = Updates(options, statistics, steps) if options.dynamic else None
        self.cache = Cache(options) if options.cache else None
        self.steps = 64 if self.updates is None else self.updates.steps

    @property
    def words(self) -> str:
        """What is done, for the report."""
        found = []
        if self.updates is not None:
            u = self.updates
            found.append(
                f"dynamic evaluation: every {u.steps} tokens, rate {u.rate:g}, decay {u.decay:g}"
            )
        if self.cache is not None:
            c = self.cache
            found.append(f"cache of {c.size:,} tokens, θ {c.flatness:g}, λ {c.weight:g}")
        return "; ".join(found)

    def losses(
        self, network: Network, inputs: Tensor, targets: Tensor, state: Sequence[State]
    ) -> tuple[Tensor, list[State]]:
        """Returns the nats of each target, and learns from them for later calls."""
        with torch.set_grad_enabled(self.updates is not None):
            found: Features = network(inputs, state)
            features = found.dropped[:, 0]
            plain = network.head.losses(features, targets)
        nats = plain.detach()
        if self.cache is not None:
            # The members' states side by side are as like each other as those of one.
            alike = features.detach() / math.sqrt(len(network.members))
            nats = self.cache.mixed(nats, alike, targets)
        if self.updates is not None:
            self.updates.learn(plain.mean(), len(plain))
        return nats, [State(s.h.detach(), s.c.detach()) for s in found.state]


class Updates:
    """Dynamic evaluation: gradient steps on the text, and a pull back to the trained weights.

        θ += λ · min(r / mean(r), 1/λ) · (θ₀ - θ) - η ∇L / (r + ε),   r = √(mean squared gradient)

    A stretch that a document's end cut short counts by its length.

    Args:
        options: η and λ.
        statistics: r of each parameter, factored into rows and columns.
        steps: tokens between two updates.

    Reference: Krause et al. (2018), arXiv:1709.07432, section 4, equations 5 to 8.
    """

    def __init__(
        self, options: AdaptationOptions, statistics: Mapping[str, Tensor], steps: int
    ) -> None:
        self.rate = 3e-5 if options.dynamic_rate is None else options.dynamic_rate
        self.decay = 0.002 if options.dynamic_decay is None else options.dynamic_decay
        self.steps = steps
        self._statistics = statistics
        self._places: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    @contextlib.contextmanager
    def on(self, network: Network) -> Iterator[None]:
        """Lets the network change inside the block; it is what it was behind it."""
        named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        roots = {name: _root(self._statistics, name, p) for name, p in named.items()}
        mean = sum(float(r.mean()) for r in roots.values()) / len(roots)
        limit = 1 / self.decay if self.decay else math.inf
        self._places = [
            (p, p.detach().clone(), r + _STABILIZATION, self.decay * (r / mean).clamp(max=limit))
            for (name, p), r in ((item, roots[item[0]]) for item in named.items())
        ]
        for parameter, _, _, _ in self._places:
            parameter.grad = None
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, trained, _, _ in self._places:
                    parameter.copy_(trained)
                    parameter.grad = None
            self._places = []

    def learn(self, loss: Tensor, count: int) -> None:
        """Takes one step on the mean loss of so many tokens."""
        loss.backward()
        share = min(count / self.steps, 1.0)
        with torch.no_grad():
            for parameter, trained, root, pull in self._places:
                if parameter.grad is None:
                    continue
                parameter.lerp_(trained, pull * share if share < 1 else pull)
                parameter.addcdiv_(parameter.grad, root, value=-self.rate * share)
                parameter.grad = None


class Cache:
    """The neural cache: the last states, and the token that came behind each.

        p = (1 - λ) p_network + λ p_cache,   p_cache(w) ∝ Σ_i 1[w_{i+1} = w] exp(θ h_t·h_i)

    Args:
        options: how many states, θ and λ.

    Reference: Grave, Joulin and Usunier (2017), arXiv:1612.04426, equations 2 and 3.
    """

    def __init__(self, options: AdaptationOptions) -> None:
        self.size = options.cache_size or 500
        self.flatness = 0.3 if options.cache_flatness is None else options.cache_flatness
        self.weight = 0.1 if options.cache_weight is None else options.cache_weight
        self._states: Tensor | None = None
        self._tokens: Tensor | None = None

    def mixed(self, nats: Tensor, features: Tensor, targets: Tensor) -> Tensor:
        """Returns the nats (T,) of the mixture, and remembers features (T, D) and targets (T,)."""
        T = len(features)
        if self._states is None or self._tokens is None:
            self._states, self._tokens = features[:0], targets[:0]
        states = torch.cat([self._states, features])
        tokens = torch.cat([self._tokens, targets])
        old = len(self._states)
        # Step t sees the places before its own, at most so many.
        place = torch.arange(old + T, device=features.device)
        own = old + torch.arange(T, device=features.device)[:, None]
        seen = (place < own) & (place >= own - self.size)
        scores = (self.flatness * features @ states.T).masked_fill(~seen, -torch.inf)
        shares = scores.softmax(1).nan_to_num(0.0)  # the first token of all sees nothing
        cached = (shares * (tokens[None, :] == targets[:, None])).sum(1)
        self._states, self._tokens = states[-self.size :], tokens[-self.size :]
        weight = torch.where(seen.any(1), self.weight, 0.0)
        return -torch.logaddexp((-weight).log1p() - nats, (weight * cached).log())


def dynamic_steps(kind: str) -> int:
    """Returns how many tokens lie between two updates, as in arXiv:1709.07432, section 5."""
    return 20 if kind in ("characters", "bytes") else 5


def gradient_statistics(
    network: Network, tokens: np.ndarray, steps: int, seed: int = 0
) -> dict[str, Tensor]:
    """Returns the mean squared gradients in training, of a matrix its mean rows and columns.

    Each segment is read from the state that the tokens before it leave.

    A matrix of squares is kept as two vectors whose product over their mean it is nearly: that is
    enough to scale updates by, and no burden to the model's folder.

    Args:
        network: trained, in evaluation mode; left as it was.
        tokens: (N,) of the training text.
        steps: of a segment.
        seed: which segments are looked at.

    Returns:
        ``NAME.rows`` and ``NAME.columns`` for each matrix, ``NAME.rows`` for each vector.

    Reference: Krause et al. (2018), arXiv:1709.07432, section 4.2; the factors are those of
        Adafactor, arXiv:1804.04235, section 3.
    """
    columns = min(_STATISTICS_COLUMNS, max(1, (len(tokens) - 1) // steps))
    ends = segment_ends(num_rows(len(tokens), columns), steps, seed, 0, vary=False)
    chosen = np.random.default_rng(seed).permutation(len(ends))[:_STATISTICS_SEGMENTS]
    device = next(network.parameters()).device
    named = dict(network.named_parameters())
    totals = {name: torch.zeros_like(p) for name, p in named.items()}
    with torch.enable_grad():
        for k in sorted(chosen.tolist()):
            before = max(0, k - max(1, _WARM_UP // steps))
            read = column_segments(tokens, columns, ends, before)
            state = None
            with torch.no_grad():
                for _ in range(k - before):
                    state = network(next(read)[:-1].to(device), state).state
            segment = next(read).to(device)
            found = network(segment[:-1], state)
            flat = found.dropped.flatten(0, 1)
            loss = network.head.losses(flat, segment[1:].flatten()).mean()
            gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    totals[name] += gradient.detach().square() / len(chosen)
    kept = {}
    for name, total in totals.items():
        if total.ndim == 2:
            kept[f"{name}.columns"] = total.mean(0)
            kept[f"{name}.rows"] = total.mean(1)
        else:
            kept[f"{name}.rows"] = total
    return kept


def _root(statistics: Mapping[str, Tensor], name: str, parameter: Tensor) -> Tensor:
    rows = statistics[f"{name}.rows"].to(parameter)
    if parameter.ndim < 2:
        return rows.sqrt()
    columns = statistics[f"{name}.columns"].to(parameter)
    return (rows[:, None] * columns[None, :] / rows.mean().clamp(min=_EPSILON**2)).sqrt()
