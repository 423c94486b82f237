"""The models of all tasks on a GPU: what they answer is what they answer on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.crashes import CrashError
from tests.cuda.nearness import assert_all_near
from tests.cuda.test_inspecting import assert_same_inspection
from tests.tasks.language_modeling import small_texts

import carousel
from carousel.tasks import resampling
from carousel.tasks.language_modeling import LanguageModel
from carousel.training import RunOptions
from carousel.training.progress import NoProgress

DEVICE = "cuda"
# Averaged weights are a copy of the network, which lies on the GPU too.
QUICK: dict[str, Any] = {
    "max_steps": 4,
    "batch_size": 8,
    "validate_every": 2,
    "average": 0.9,
    "progress": "none",
}
NEEDS = {
    "forecasting": ("polars", "narwhals"),
    "translation": ("tokenizers", "sacrebleu"),
    "speech recognition": ("soundfile", "soxr", "kaldi_native_fbank", "jiwer"),
}
NEAR = 1e-4  # a forecast or a score in nats adds up what hundreds of steps have rounded


@dataclass(frozen=True)
class Task:
    """How a model is fitted, what it is asked, and what it is shown to be inspected."""

    fit: Callable[[RunOptions], Any]
    answers: Callable[[Any], dict[str, Any]]
    inspect: Callable[[Any], Any]


def language_modeling(folder: Path) -> Task:
    def answers(model: Any) -> dict[str, Any]:
        both = model.evaluate([small_texts.OTHER], dynamic=True, cache=True)
        return {
            "score": model.score("the cat sat on").nats,
            "perplexity": model.evaluate([small_texts.OTHER]).perplexity,
            "adapting": both.perplexity,
            "written": [len(model.generate("the", max_tokens=20, temperature=0.0)) > 0],
            "drawn": [len(model.generate("a", max_tokens=20, repetition_penalty=1.2)) > 0],
        }

    return Task(
        lambda run: LanguageModel(**small_texts.SMALL, weight_dropout=0.3).fit(
            [small_texts.TEXT], run=run
        ),
        answers,
        lambda model: model.inspect("the cat sat", explain="both", flow=True),
    )


def translation(folder: Path) -> Task:
    from tests.tasks.translation import small_translators as small

    from carousel.tasks.translation import Translator

    sources, targets = zip(*small.OTHER[:6], strict=True)

    def answers(model: Any) -> dict[str, Any]:
        found = model.translations(sources, best=2, coverage_penalty=0.1)
        return {
            "score": [one.score for one in found],
            "aligned": [one.score for one in model.align(sources, targets)],
            "perplexity": model.evaluate(small.OTHER, beam=2).perplexity,
            "streamed": [len(list(model.stream(sources)))],
        }

    return Task(
        lambda run: Translator(**small.SMALL, members=2, weight_dropout=0.3).fit(
            small.PAIRS, run=run
        ),
        answers,
        lambda model: model.inspect(sources[0], target=targets[0], explain="both", flow=True),
    )


def speech_recognition(folder: Path) -> Task:
    from tests.tasks.speech_recognition import small_recordings as small

    from carousel.tasks.speech_recognition import Recognizer

    rows = small.spoken(folder / "sounds", small.sentences(30))
    sound = small.sound_of("ab cab")

    def answers(model: Any) -> dict[str, Any]:
        stream = model.stream(8000)
        for part in np.array_split(sound, 7):
            stream.feed(part)
        return {
            "score": [model.transcribe(row["audio"]).score for row in rows[:4]],
            "together": [one.score for one in model.transcripts([r["audio"] for r in rows[:4]])],
            "streamed": stream.finish().score,
            "evaluated": [model.evaluate(rows).recordings],
        }

    return Task(
        lambda run: Recognizer(**small.SMALL, ngram=2, streaming=True, weight_dropout=0.3).fit(
            rows, run=run
        ),
        answers,
        lambda model: model.inspect(sound, rate=8000, explain="both", flow=True),
    )


def forecasting(folder: Path) -> Task:
    from tests.tasks.forecasting import small_data as small

    from carousel.tasks.forecasting import Forecaster

    rows = small.frame()

    def answers(model: Any) -> dict[str, Any]:
        return {
            "forecast": small.answers(model.predict(rows)),
            "remembered": small.answers(model.predict()),
            "mase": model.evaluate(rows).model.mase,
        }

    return Task(
        lambda run: Forecaster(**small.SMALL, members=2).fit(rows, run=run),
        answers,
        lambda model: model.inspect(rows, explain="both", flow=True),
    )


TASKS = {
    "language modeling": language_modeling,
    "translation": translation,
    "speech recognition": speech_recognition,
    "forecasting": forecasting,
}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling takes most of the time, and has nothing to do with devices."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    for library in NEEDS.get(request.param, ()):
        pytest.importorskip(library)
    return TASKS[request.param](tmp_path)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return model._ready("compare").network.state_dict()


def devices(model: Any) -> set[str]:
    return {tensor.device.type for tensor in weights(model).values()}


def test_a_model_answers_the_same_on_both(task: Task, tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3, device=DEVICE)
    torch.manual_seed(5)
    model = task.fit(RunOptions(**QUICK, device=DEVICE))
    assert torch.equal(torch.rand(3, device=DEVICE), wanted)  # the caller's random numbers
    assert devices(model) == {"cpu"}
    here, seen_here = task.answers(model), task.inspect(model)
    assert model.to(DEVICE) is model
    assert devices(model) == {DEVICE}
    assert_all_near(task.answers(model), here, NEAR)
    assert_same_inspection(task.inspect(model), seen_here, NEAR)
    loaded = carousel.load(model.save(tmp_path / "model"))
    assert devices(loaded) == {"cpu"}
    assert devices(model) == {DEVICE}  # saving moves nothing
    assert_all_near(task.answers(loaded), here, NEAR)
    assert_all_near(task.answers(model.to("cpu")), here, 1e-12)  # what adapts puts weights back


def test_a_fit_without_dropout_goes_the_same_way() -> None:
    plain = {**small_texts.SMALL, "weight_dropout": 0.0}
    plain |= {f"{place}_dropout": 0.0 for place in ("embedding", "input", "hidden", "output")}
    run = {**QUICK, "optimizer": "sgd", "learning_rate": 0.1}
    found = [
        weights(LanguageModel(**plain).fit([small_texts.TEXT], run=RunOptions(**run, device=where)))
        for where in ("cpu", DEVICE)
    ]
    assert_all_near(found[1], found[0], NEAR)


class Stopping(NoProgress):
    """Ends a run behind a step, as a process ends that is killed."""

    def show(self, moment: Any) -> None:
        if moment.record.step == 5:
            raise CrashError


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    options = {**QUICK, "max_steps": 8, "optimizer": "sgd", "learning_rate": 0.1, "device": DEVICE}
    kept = {"checkpoint": str(tmp_path / "run"), "checkpoint_every": 2, "resume": True}

    def fit(progress: Any = None, **more: Any) -> LanguageModel:
        model = LanguageModel(**small_texts.SMALL, weight_dropout=0.3)
        return model.fit([small_texts.TEXT], run=RunOptions(**options, **more), progress=progress)

    whole = fit()
    with pytest.raises(CrashError):
        fit(Stopping(), **kept)
    again = fit(**kept)
    assert again.history.records[-1].step == 8
    assert_all_near(weights(again), weights(whole), 1e-5)


def test_the_gpu_that_is_there_is_taken() -> None:
    model = small_texts.fitted([small_texts.TEXT])
    assert devices(model.to("auto")) == {DEVICE}
