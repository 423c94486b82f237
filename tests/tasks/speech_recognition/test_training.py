"""The task as the loop sees it: batches, the loss against all paths, and what is validated.

Letters: S steps, B recordings, V symbols with the blank, D features that the network sees.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoding.ctc_references import all_sequences, random_frames
from tests.tasks.speech_recognition.small_recordings import spoken
from tests.tasks.translation.small_networks import assert_same, randomized
from torch import Tensor

from carousel.data.acoustic_features import AcousticFeatures
from carousel.data.batching import Shard
from carousel.data.feature_scaling import Moments
from carousel.data.recordings import Recordings
from carousel.decoding.ctc import log_likelihood
from carousel.tasks.speech_recognition import training
from carousel.tasks.speech_recognition.augmentation import Augmentation
from carousel.tasks.speech_recognition.network import AcousticNetwork
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.training import (
    Batch,
    RecognitionTask,
    ctc_nats,
    make_batch,
    read_all,
    whole_batches,
)
from carousel.tasks.speech_recognition.utterances import Frontend, Utterances
from carousel.training import RunOptions

WHOLE = Shard()
D, STEP = 3, 2
SIZES = {"channels": 5, "hidden_size": 6, "num_layers": 2, "bidirectional": True}
SYMBOLS = Symbols(" ab")
TEXTS = ["a", "ab", "b a", "ba", "", "aab", "bb"]
LENGTHS = [9, 12, 30, 7, 5, 16, 11]
SENTENCES = st.tuples(st.integers(1, 5), st.lists(st.integers(1, 3), max_size=4))
NONE = Augmentation.none()
CHANGES = Augmentation(stretch=0.3, time_masks=2, frequency_masks=1, frequency_width=2)
# 1,000 paths, or 15 steps of as many roundings, of size 60 at the most; in either precision.
CLOSE_PATHS = 1000 * 60 * 2.0**-53
CLOSE = 15 * 10 * 60 * 2.0**-24
# Gradients are sums over up to 200 steps of what is below 10 and has 50 roundings of 2^-24; they
# are compared relative to the largest of their tensor where that is above 1.
CLOSE_GRADIENTS = 200 * 10 * 50 * 2.0**-24


def ready(folder: Path, lengths: list[int], texts: list[str]) -> Utterances:
    """Recordings of ready features, of so many frames each."""
    rng, rows = np.random.default_rng(2), []
    folder.mkdir(exist_ok=True)
    for number, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        path = folder / f"r{number}.npy"
        np.save(path, rng.standard_normal((length, D)).astype(np.float32))
        rows.append({"audio": str(path), "text": text})
    return Utterances.read(Recordings.read(rows), None)


def named(number: int) -> Utterances:
    """So many recordings that are there in name only, of 100 to 400 frames."""
    lengths = np.random.default_rng(3).integers(100, 401, number)
    found = Recordings.read([(f"n{row}.npy", "a") for row in range(number)])
    return Utterances(found, None, lengths, [Moments(1, np.zeros(D), np.ones(D))] * number, D)


def frontend(made: Utterances) -> Frontend:
    return Frontend(made.features, made.size, 0, "recording", made.all_moments())


def network() -> AcousticNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        made = AcousticNetwork(D, len(SYMBOLS), subsampling=STEP, **SIZES)
        return randomized(made).float().eval()


def task(
    made: Utterances, valid: Utterances | None = None, changes: Augmentation = NONE, **run: Any
) -> RecognitionTask:
    return RecognitionTask(
        network(),
        made,
        valid,
        frontend(made),
        SYMBOLS,
        changes,
        RunOptions(**{"batch_size": 4, "seed": 5, "progress": "none", **run}),
        fingerprint={"data": "abc"},
        introduction="three recordings",
    )


@pytest.fixture
def seven(tmp_path: Path) -> Utterances:
    return ready(tmp_path / "seven", LENGTHS, TEXTS)


def alone(made: AcousticNetwork, utterances: Utterances, scale: Frontend, row: int) -> Tensor:
    """The ln p at the steps of one recording, (S, V)."""
    x = torch.from_numpy(utterances.frames(row, scale))
    return made(x[:, None], torch.tensor([len(x)]))[0][:, 0]


@settings(max_examples=60)
@given(st.lists(SENTENCES, min_size=1, max_size=3), st.integers(0, 2**32))
def test_nats_are_those_of_all_paths(sentences: list[tuple[int, list[int]]], seed: int) -> None:
    wanted, steps = [], torch.tensor([length for length, _ in sentences])
    log_probs = random_frames(seed, 6 * len(sentences), 4).view(6, len(sentences), 4)
    symbols = torch.zeros(len(sentences), 5, dtype=torch.long)
    for b, (length, tokens) in enumerate(sentences):
        found = all_sequences(log_probs[:length, b], 0)
        wanted.append(-found.get(tuple(tokens), -math.inf))
        symbols[b, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
    lengths = torch.tensor([len(tokens) for _, tokens in sentences])
    nats = ctc_nats(log_probs, steps, symbols, lengths)
    assert nats.tolist() == pytest.approx(wanted, rel=0, abs=CLOSE_PATHS)


def test_without_steps_only_nothing_can_be_said() -> None:
    log_probs = random_frames(0, 4, 3)[:, None].repeat(1, 3, 1)
    symbols = torch.tensor([[0], [1], [0]])
    nats = ctc_nats(log_probs, torch.tensor([0, 0, 4]), symbols, torch.tensor([0, 1, 0]))
    silence = -float(log_probs[:, 2, 0].sum())
    assert nats.tolist() == [0.0, math.inf, pytest.approx(silence, abs=CLOSE_PATHS)]


@pytest.mark.parametrize("rows", [[4, 0, 2], [5], [6, 5, 4, 3, 2, 1, 0]], ids=str)
def test_a_batch_has_recordings_and_transcripts_side_by_side(
    rows: list[int], seven: Utterances
) -> None:
    scale = frontend(seven)
    batch = make_batch(seven, scale, SYMBOLS, np.array(rows), subsampling=STEP)
    assert batch.rows.tolist() == rows
    assert batch.frames.shape == (max(LENGTHS[row] for row in rows), len(rows), D)
    assert batch.frames.dtype == torch.float32
    assert batch.lengths.tolist() == [LENGTHS[row] for row in rows]
    assert batch.symbol_lengths.tolist() == [len(TEXTS[row]) for row in rows]
    for place, row in enumerate(rows):
        x = torch.from_numpy(seven.frames(row, scale))
        assert torch.equal(batch.frames[: len(x), place], x)
        assert not batch.frames[len(x) :, place].any()
        numbers = [" ab".index(character) + 1 for character in TEXTS[row]]
        padding = [0] * (batch.symbols.shape[1] - len(numbers))
        assert batch.symbols[place].tolist() == numbers + padding


def changed(made: Utterances, rows: list[int], **others: int) -> list[Tensor]:
    batch = make_batch(
        made,
        frontend(made),
        SYMBOLS,
        np.array(rows),
        subsampling=STEP,
        augmentation=CHANGES,
        **others,
    )
    return [batch.frames[:length, place] for place, length in enumerate(batch.lengths.tolist())]


def test_changes_follow_from_seed_epoch_and_recording_alone(tmp_path: Path) -> None:
    made = ready(tmp_path, [60] * 5, ["a"] * 5)
    for row in range(1, 5):  # so that nothing but its number tells one from another
        path = Path(made.recordings.audio[row])
        path.write_bytes(Path(made.recordings.audio[0]).read_bytes())
    first = changed(made, [0, 1, 2, 3, 4], seed=1, epoch=2)
    np.random.seed(9)
    torch.manual_seed(9)
    for rows in ([3, 1], [4], [2, 0, 1]):
        found = changed(made, rows, seed=1, epoch=2)
        assert all(torch.equal(x, first[row]) for x, row in zip(found, rows, strict=True))
    others = [changed(made, [0], seed=1, epoch=1)[0], changed(made, [0], seed=2, epoch=2)[0]]
    for one, other in itertools.combinations([*first, *others], 2):
        assert one.shape != other.shape or not torch.equal(one, other)


def test_what_becomes_too_fast_for_its_transcript_stays_as_it_is(tmp_path: Path) -> None:
    """A sound of 42 frames has 11 steps of 4, and played twice as fast 6 of them."""
    said = ["ab", "ababab", "abababa", "aab ab"]
    sounds = spoken(tmp_path, ["ab"] * 4)
    rows = [{**row, "text": text} for row, text in zip(sounds, said, strict=True)]
    made = Utterances.read(Recordings.read(rows), AcousticFeatures(rate=8_000, bins=12))
    assert made.lengths.tolist() == [42] * 4
    faster = Augmentation(
        speeds=(2.0,), noise_share=0, gain=0, stretch=0, time_masks=0, frequency_masks=0
    )
    scale = frontend(made)
    batch = make_batch(made, scale, SYMBOLS, np.arange(4), subsampling=4, augmentation=faster)
    # Of the last, two equal symbols need a step between them.
    assert batch.lengths.tolist() == [21, 21, 42, 42]
    for row in (2, 3):
        assert torch.equal(batch.frames[:, row], torch.from_numpy(made.frames(row, scale)))


def rows_of(
    made: RecognitionTask, epoch: int = 0, start: int = 0, shard: Shard = WHOLE
) -> list[list[int] | None]:
    batches = made.batches(epoch, start, shard)
    return [None if batch is None else batch.rows.tolist() for batch in batches]


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of row numbers alone, for recordings that are there in name only."""

    def rows_alone(utterances: Any, scale: Any, symbols: Any, rows: Any, **others: Any) -> Batch:
        nothing = torch.zeros(0)
        return Batch(nothing, nothing, nothing, nothing, rows)

    monkeypatch.setattr(training, "make_batch", rows_alone)


def test_batches_follow_from_seed_epoch_and_start_alone(unread: None) -> None:
    many = named(60)
    made, other = task(many), task(many, seed=6)
    epochs = [rows_of(made, epoch) for epoch in range(4)]
    for epoch, batches in enumerate(epochs):
        assert sorted(row for rows in batches for row in rows) == [*range(60)]
        for start in (0, 1, 7, len(batches) - 1, len(batches)):
            assert rows_of(made, epoch, start) == batches[start:]
    assert rows_of(task(many), 3) == epochs[3]
    assert all(one != two for one, two in itertools.pairwise(epochs))
    assert rows_of(other) != epochs[0]


def test_who_goes_on_in_an_epoch_hears_the_same_frames(tmp_path: Path) -> None:
    many = ready(tmp_path, [30 + 3 * k for k in range(20)], ["ab"] * 20)
    whole = [*task(many, changes=CHANGES).batches(2, 0, WHOLE)]
    assert len(whole) > 3
    for start in (1, 3):
        rest = [*task(many, changes=CHANGES).batches(2, start, WHOLE)]
        for one, other in zip(rest, whole[start:], strict=True):
            assert torch.equal(one.frames, other.frames)
            assert torch.equal(one.symbols, other.symbols)
    plain = [*task(many).batches(2, 0, WHOLE)]
    assert [batch.rows.tolist() for batch in plain] == [batch.rows.tolist() for batch in whole]
    assert not torch.equal(plain[0].lengths, whole[0].lengths)
    later = [*task(many, changes=CHANGES).batches(3, 0, WHOLE)]
    assert [batch.rows.tolist() for batch in later] != [batch.rows.tolist() for batch in whole]


@pytest.mark.parametrize("world", [2, 3, 7])
def test_ranks_share_each_batch(world: int, unread: None) -> None:
    made = task(named(60))
    whole = rows_of(made, 1)
    shares = [rows_of(made, 1, 0, Shard(rank, world)) for rank in range(world)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [part or [] for part in parts] == [batch[rank::world] for rank in range(world)]
        assert [] not in parts
    # The last rank has no share of a batch with fewer recordings than ranks.
    assert (None in shares[-1]) is (min(map(len, whole)) < world)


def test_an_epoch_knows_how_many_batches_it_has(unread: None) -> None:
    made, counts = task(named(200)), []
    for epoch in range(12):
        batches = made.batches(epoch, 0, WHOLE)
        next(batches)
        counts.append(1 + sum(1 for _ in batches))
        assert made.batches_per_epoch() == counts[-1]
    assert len(set(counts)) > 1


def test_the_batch_size_is_that_of_an_average_batch(unread: None) -> None:
    """But for what padding takes, and up to a tenth that is left free."""
    for size in (8, 64):
        sizes = [len(rows) for rows in rows_of(task(named(2_000), batch_size=size))]
        assert 0.8 * size < sum(sizes) / len(sizes) <= size
        assert len(set(sizes)) > 3


def gradients(made: AcousticNetwork, total: Tensor) -> dict[str, Tensor]:
    known = dict(made.named_parameters())
    return dict(zip(known, torch.autograd.grad(total, [*known.values()]), strict=True))


def test_a_batch_costs_what_its_recordings_cost_alone(seven: Utterances) -> None:
    """In the loss and in every gradient: padding is free, and nothing is averaged."""
    made = task(seven)
    scale = made.frontend
    module = made.module.double()

    def cost(rows: list[int]) -> tuple[Tensor, float]:
        batch = make_batch(seven, scale, SYMBOLS, np.array(rows), subsampling=STEP)
        return made.loss(module, batch._replace(frames=batch.frames.double()))

    total, weight = cost([*range(7)])
    assert weight == 7.0
    single = [cost([row]) for row in range(7)]
    assert [own for _, own in single] == [1.0] * 7
    summed = torch.stack([nats for nats, _ in single]).sum()
    assert float(total.detach()) == pytest.approx(float(summed.detach()), abs=7 * CLOSE)
    assert_same(gradients(module, total), gradients(module, summed), CLOSE_GRADIENTS)
    with torch.no_grad():
        module.float()
        wanted = 0.0
        for row, text in enumerate(TEXTS):
            tokens = [" ab".index(character) + 1 for character in text]
            wanted -= log_likelihood(alone(module, seven, scale, row).double(), tokens)
    assert float(total.detach()) == pytest.approx(wanted, abs=7 * CLOSE)


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein's distance by the table of the textbook."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@pytest.mark.parametrize("at_once", [1, 40, 16_000])
def test_validation_is_the_sum_over_recordings(
    at_once: int, seven: Utterances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters that are no symbols are errors, and no part of the nats."""
    texts = ["a b", "ab", "bé a", "ééé", "b", "a  a", "abababab"]
    valid = ready(tmp_path / "valid", [20, 6, 33, 9, 4, 25, 41], texts)
    made, seen = task(seven, valid), []

    def few(*arguments: Any) -> Any:
        for batch in whole_batches(*arguments, at_once):
            seen.append(batch)
            yield batch

    monkeypatch.setattr(training, "whole_batches", few)
    errors, nats = 0, 0.0
    with torch.no_grad():
        found = made.validate(made.module)
        for row, text in enumerate(valid.recordings.texts):
            log_probs = alone(made.module, valid, made.frontend, row)
            path = [key for key, _ in itertools.groupby(log_probs.argmax(1).tolist()) if key]
            errors += distance(text, " ".join("".join(" ab"[key - 1] for key in path).split()))
            tokens = [" ab".index(character) + 1 for character in text if character in " ab"]
            nats -= log_likelihood(log_probs.double(), tokens)
    length = sum(map(len, valid.recordings.texts))
    assert errors > 0
    assert found == {
        made.metric: pytest.approx(100 * errors / length, rel=1e-12),
        "nats": pytest.approx(nats / 7, abs=CLOSE),
    }
    assert len(seen) == {1: 7, 16_000: 1}.get(at_once, len(seen))
    assert not any(batch.frames.requires_grad for batch in seen)


@pytest.mark.parametrize("frames", [1, 60, 16_000])
def test_all_are_read_once_and_always_in_the_same_batches(seven: Utterances, frames: int) -> None:
    arguments = seven, frontend(seven), SYMBOLS, STEP, frames
    found = [batch.rows.tolist() for batch in whole_batches(*arguments)]
    assert sorted(row for rows in found for row in rows) == [*range(7)]
    assert found == [batch.rows.tolist() for batch in whole_batches(*arguments)]


def test_what_is_read_needs_no_gradient_and_is_the_networks(seven: Utterances) -> None:
    made, scale, rows = network(), frontend(seven), []
    for batch, log_probs, steps in read_all(made, seven, scale, SYMBOLS):
        assert not log_probs.requires_grad
        for place, row in enumerate(batch.rows.tolist()):
            wanted = alone(made, seven, scale, row).detach()
            heard = log_probs[: steps[place], place]
            torch.testing.assert_close(heard, wanted, rtol=0, atol=CLOSE)
            rows.append(row)
    assert sorted(rows) == [*range(7)]


def test_a_batch_is_described_by_the_names_of_its_recordings(seven: Utterances) -> None:
    made = task(seven)

    def described(*rows: int) -> str:
        scale = made.frontend
        return made.describe(make_batch(seven, scale, SYMBOLS, np.array(rows), subsampling=STEP))

    assert described(4, 0) == "the recordings r4, r0 of a list of 7 recordings"
    five = "the recordings r0, r1, r2, r3, r4"
    assert described(0, 1, 2, 3, 4) == f"{five} of a list of 7 recordings"
    assert described(0, 1, 2, 3, 4, 5) == f"{five}, ... of a list of 7 recordings"


def test_what_the_loop_is_told(seven: Utterances) -> None:
    made = task(seven)
    assert made.metric == ""
    assert made.introduction == "three recordings"
    assert task(seven, seven).metric == "cer"
    found = json.loads(json.dumps(made.fingerprint()))
    assert found == {"task": "speech-recognition", "data": "abc"}
