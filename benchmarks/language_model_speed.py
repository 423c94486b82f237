"""Training a language model: tokens per second on our engine over those on PyTorch's.

The default networks for characters, on Shakespeare, and for words, on Penn Treebank, whole training
steps with dropout, clipping and averaging, the engine switched after every four steps, of which the
first is left out (A B A B). PyTorch's is the kernel of ``torch.nn.LSTM``, called on the same
weights by the same layer, in the same precision.

    engine_speedup              the least of the cases
    engine_speedup_CASE         median of the seconds of a step on PyTorch's engine over ours
    tokens_per_second           of characters, on our engine
"""

from __future__ import annotations

import argparse
import dataclasses

import torch

from _engine_race import ROUNDS, outcome, race
from _harness import Outcome, data_path, run
from carousel.tasks.language_modeling.data import (
    count_tokens,
    learn_tokenizer,
    open_texts,
    tokenize,
)
from carousel.tasks.language_modeling.ensemble import make_network, sample_by
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.plan import make_plan
from carousel.tasks.language_modeling.training import LanguageModelingTask
from carousel.training.learner import Learner
from carousel.training.options import RunOptions

# Name: tokens, and the precision.
CASES: dict[str, tuple[str, str]] = {
    "characters": ("characters", "fp32"),
    "words": ("words", "fp32"),
    "characters_bf16": ("characters", "bf16"),
    "words_bf16": ("words", "bf16"),
}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times steps of training in turn."""
    files = {
        "characters": data_path("shakespeare"),
        "words": data_path("ptb") / "ptb.train.txt",
    }
    found = {}
    skipped = []
    for name, (kind, precision) in CASES.items():
        if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            skipped.append(f"{name}: PyTorch's engine cannot run bf16 on this processor")
            continue
        options = LanguageModelingOptions(tokenizer=kind)
        texts = open_texts(files[kind], options)
        end = texts.measure().characters
        tokenizer = learn_tokenizer(texts, end, options)
        part = tokenize(texts, tokenizer, 0, end, ends=False)
        counts = count_tokens(part, len(tokenizer))
        plan, training = make_plan(options, len(tokenizer), len(part))
        run_options = RunOptions(max_steps=1, precision=precision).filled(**training).complete()
        torch.manual_seed(0)
        network = make_network(len(tokenizer), plan.members, **plan.network()).train()
        if plan.samples:
            sample_by(network, torch.from_numpy(counts), plan.samples)
        task = LanguageModelingTask(
            network, part.tokens, part.tokens[:0], plan, run_options, boundary=None
        )
        rounds = 2 if arguments.quick else ROUNDS
        found[name] = race(task, Learner(network, run_options), rounds, precision)
    return dataclasses.replace(outcome(found, "tokens"), notes=skipped)


if __name__ == "__main__":
    run(measure)
