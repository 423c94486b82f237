"""Training a recogniser: utterances per second on our engine over those on PyTorch's.

The default networks on the first batches of AN4's training part, padding and lengths as they come,
whole training steps with augmentation's features ready, dropout, clipping and averaging, the engine
switched after every four batches, of which the first is left out (A B A B). PyTorch's is the kernel
of ``torch.nn.LSTM``, called on the same weights by the same layer, its sequences packed by length.

    engine_speedup              the least of the cases
    engine_speedup_CASE         median of the seconds of a step on PyTorch's engine over ours
    utterances_per_second       on our engine, with the default options
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from _engine_race import ROUNDS, outcome, race
from _harness import Outcome, data_path, run
from an4 import recordings
from carousel.tasks.speech_recognition.data import open_recordings, usable
from carousel.tasks.speech_recognition.fitted import make_frontend, make_network
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.plan import make_plan
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.training import RecognitionTask
from carousel.tasks.speech_recognition.utterances import READY_SECONDS, Utterances, augmentation_of
from carousel.training.learner import Learner
from carousel.training.options import RunOptions

CASES: dict[str, dict[str, Any]] = {
    "both_ways": {},
    "forward_only": {"streaming": True},
}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times steps of training in turn."""
    rows = recordings(data_path("an4"), "train")
    found = {}
    for name, chosen in CASES.items():
        options = RecognitionOptions(**chosen)
        given = usable(open_recordings(rows, options), options)
        heard = Utterances.read(given, None)
        hours = float(heard.lengths.sum()) * READY_SECONDS / 3600
        plan, training = make_plan(options, hours=hours, rate=16_000, is_ready=True)
        run_options = RunOptions(max_steps=1).filled(**training).complete()
        symbols = Symbols.of(given.texts)
        frontend = make_frontend(plan, heard.size, heard.all_moments())
        torch.manual_seed(0)
        network = make_network(plan, frontend, symbols).train()
        task = RecognitionTask(
            network,
            heard,
            None,
            frontend,
            symbols,
            augmentation_of(plan, heard.size),
            run_options,
        )
        found[name] = race(task, Learner(network, run_options), 2 if arguments.quick else ROUNDS)
    return outcome(found, "utterances")


if __name__ == "__main__":
    run(measure, libraries=("kaldi-native-fbank",))
