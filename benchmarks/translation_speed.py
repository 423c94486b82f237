"""Training a translator: target tokens per second on our engine over those on PyTorch's.

Networks on Multi30k's first batches, padding and lengths as they come, whole training steps with
dropout, clipping and averaging, the engine switched after every four batches, of which the first is
left out (A B A B). PyTorch's is the kernel of ``torch.nn.LSTM``, called on the same weights by the
same layer, its sequences packed by length. Weights are those before training; ``--model FOLDER``
adds the case "trained", a translator from English to German that learns on.

    engine_speedup              the least of the cases
    engine_speedup_CASE         median of the seconds of a step on PyTorch's engine over ours
    tokens_per_second           target tokens, on our engine, with the default sizes; attention is
                                not guided
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from _engine_race import ROUNDS, Race, outcome, race
from _harness import Outcome, data_path, run
from carousel.tasks.translation import Translator
from carousel.tasks.translation.data import (
    Corpus,
    cleaned,
    learn_tokenizers,
    make_corpus,
    open_pairs,
)
from carousel.tasks.translation.fitted import make_network
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.plan import Plan, make_plan, vocabulary_size
from carousel.tasks.translation.training import TranslationTask
from carousel.training.learner import Learner
from carousel.training.options import RunOptions

CASES: dict[str, dict[str, Any]] = {
    # The guide only adds a term to the loss, and a lexicon of all pairs takes long to find.
    "default": {"guided_alignment": 0.0},
    "large": {"guided_alignment": 0.0, "hidden_size": 512, "embedding_size": 256},
}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times steps of training in turn."""
    folder = data_path("multi30k")
    rounds = 2 if arguments.quick else ROUNDS
    usual = TranslationOptions(**CASES["default"])
    pairs = cleaned(open_pairs((folder / "train.en", folder / "train.de"), usual), usual)
    found = {}
    for name, chosen in CASES.items():
        options = TranslationOptions(**chosen)
        size = vocabulary_size(options, len(pairs))
        tokenizers = learn_tokenizers(pairs, size, options.shared_vocabulary)
        plan, training = make_plan(options, len(pairs))
        torch.manual_seed(0)
        network = make_network(plan, tokenizers)
        found[name] = _raced(network, make_corpus(pairs, tokenizers), plan, training, rounds)
    if arguments.model is not None:
        model = Translator.load(arguments.model)
        plan, training = make_plan(usual, len(pairs))  # by which the loss is taken
        corpus = make_corpus(pairs, model.tokenizers)
        found["trained"] = _raced(model.network, corpus, plan, training, rounds)
    return outcome(found, "tokens")


def _raced(
    network: TranslationNetwork, corpus: Corpus, plan: Plan, training: dict[str, Any], rounds: int
) -> Race:
    options = RunOptions(max_steps=1).filled(**training).complete()
    task = TranslationTask(network.train(), corpus, corpus, plan, options)
    return race(task, Learner(network, options), rounds)


OWN = {"--model": {"metavar": "FOLDER", "help": "a trained translator, English to German"}}

if __name__ == "__main__":
    run(measure, options=OWN, libraries=("tokenizers",))
