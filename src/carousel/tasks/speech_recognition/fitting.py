"""Fitting: from recordings to a trained model's parts, top to bottom."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch

from carousel.data.recordings import Recordings
from carousel.decoding.ctc_beam import prefix_beam_search
from carousel.errors import DataError
from carousel.options import to_dict
from carousel.tasks.speech_recognition.data import (
    clipping_warning,
    common_rate,
    digest_of,
    fits,
    is_ready,
    marks_of,
    open_recordings,
    split,
    total_seconds,
    usable,
)
from carousel.tasks.speech_recognition.fitted import (
    Fitted,
    Seen,
    Weights,
    make_frontend,
    make_network,
)
from carousel.tasks.speech_recognition.language import count_words, words_said
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.plan import make_plan
from carousel.tasks.speech_recognition.recognition import ListeningOptions, search_parts
from carousel.tasks.speech_recognition.scores import commonest, word_counts
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.training import RecognitionTask, read_all
from carousel.tasks.speech_recognition.utterances import (
    READY_SECONDS,
    Utterances,
    augmentation_of,
    features_of,
)
from carousel.tasks.trained import run_facts
from carousel.training import History, Progress, RunOptions, train

_LEAST_RECORDINGS = 10  # in training; fewer are a mistake in the data more often than a wish
_SCORERS = (0.3, 0.6, 1.0, 1.5, 2.0)  # weights that are tried on the validation part,
_BONUSES = (0.0, 1.0, 2.0, 3.0)  # each with each of these
_MOST_WEIGHED = 300  # recordings of the validation part that they are tried on
_BEAM = 16


def fitted_to(
    data: Any,
    valid: Any,
    options: RecognitionOptions,
    run: RunOptions | None,
    progress: Progress | None,
) -> tuple[Fitted, History]:
    """Trains on all recordings but their holdout; see ``Recognizer.fit``."""
    given = open_recordings(data, options)
    found = usable(given, options)
    training, validation, holdout = split(found, options, validates=valid is None)
    if valid is not None:
        validation = usable(open_recordings(valid, options), options)
    ready = is_ready(found)
    if not ready and options.rate is None:
        rate = common_rate(found, options.skip_broken)
    else:
        rate = options.rate or 0
    draft, _ = make_plan(options, hours=0.0, rate=rate or 1, is_ready=ready)
    features = features_of(draft)
    heard = Utterances.read(
        training, features, skip_broken=options.skip_broken, keeps=draft.scaling != "running"
    )
    seconds = READY_SECONDS if features is None else features.frame_seconds
    plan, defaults = make_plan(
        options,
        hours=total_seconds(heard.lengths, seconds) / 3600,
        rate=rate or 1,
        is_ready=ready,
        optimizer=None if run is None else run.optimizer,
    )
    run = (run or RunOptions()).filled(**defaults)
    symbols = Symbols.of(heard.recordings.texts)
    heard = fits(heard, symbols, plan.subsampling)
    if len(heard) < _LEAST_RECORDINGS:
        raise DataError(
            f"expected {_LEAST_RECORDINGS} recordings or more to train on, got {len(heard)} of "
            f"{len(given)}; give more, or a smaller validation and holdout",
            source=given.source,
        )
    chosen_on = None
    if validation is not None:
        chosen_on = Utterances.read(
            validation, features, size=heard.size, skip_broken=options.skip_broken
        )
        chosen_on = fits(chosen_on, symbols, plan.subsampling)
    frontend = make_frontend(plan, heard.size, heard.all_moments())
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed)  # no GPU's, which stay the caller's
        network = make_network(plan, frontend, symbols)
    digest = digest_of(given)
    task = RecognitionTask(
        network,
        heard,
        chosen_on,
        frontend,
        symbols,
        augmentation_of(plan, heard.size),
        run,
        fingerprint={
            "data": digest,
            "validation data": "" if validation is None else digest_of(validation),
            **to_dict(options),
        },
        introduction=_introduction(
            given,
            heard,
            None if chosen_on is None else chosen_on.recordings,
            holdout,
            symbols,
            network,
            seconds,
        ),
    )
    result = train(task, run, progress)
    network.cpu().zero_grad(set_to_none=True)
    texts = heard.recordings.texts
    words = words_said(texts)
    ngrams = count_words(texts, words, options.ngram) if options.ngram else None
    kept = [*marks_of(training), *([] if validation is None else marks_of(validation))]
    fitted = Fitted(
        options=options,
        plan=plan,
        symbols=symbols,
        frontend=frontend,
        network=network.eval(),
        words=words,
        ngrams=ngrams,
        weights=Weights(),
        commonest=commonest(texts),
        seen=Seen(digest=digest, marks=frozenset(kept)),
        about={
            "source": given.source,
            "recordings": len(given),
            "removed": dict(heard.recordings.removed),
            "training_recordings": len(heard),
            "training_minutes": round(total_seconds(heard.lengths, seconds) / 60, 1),
            "training_speakers": len(set(training.speakers) - {""}),
            "validation": _validation_words(
                None if chosen_on is None else chosen_on.recordings, valid
            ),
            "holdout_recordings": 0 if holdout is None else len(holdout),
            **run_facts(result, run),
        },
    )
    if chosen_on is not None and ngrams is not None:
        fitted = replace(fitted, weights=best_weights(fitted, chosen_on))
    return fitted, result.history


def best_weights(fitted: Fitted, valid: Utterances) -> Weights:
    """Returns the weights with the fewest wrong words on the validation part.

    Between equal ones those nearest to 1 and 0, which are tried first.

    Args:
        fitted: without weights of its own.
        valid: of which the first ones are read.
    """
    read = list(
        read_all(
            fitted.network,
            valid.take(torch.arange(min(len(valid), _MOST_WEIGHED)).numpy()),
            fitted.frontend,
            fitted.symbols,
        )
    )
    tried = sorted(
        itertools.product(_SCORERS, _BONUSES), key=lambda pair: (abs(pair[0] - 1), pair[1])
    )
    best, fewest = Weights(), -1
    for scorer, bonus in tried:
        weights = Weights(scorer=scorer, word_bonus=bonus)
        words, search = search_parts(fitted, weights, ListeningOptions(beam=_BEAM))
        wrong = 0
        for batch, log_probs, steps in read:
            results = prefix_beam_search(log_probs, steps, options=search, scorer=words)
            for row, found in zip(batch.rows.tolist(), results, strict=True):
                text = fitted.symbols.decode(found[0].tokens)
                wrong += word_counts(valid.recordings.texts[row], text).errors
        if fewest < 0 or wrong < fewest:
            best, fewest = weights, wrong
    return best


def _validation_words(validation: Recordings | None, valid: Any) -> str:
    if validation is None:
        return "none; the last weights were kept"
    place = "" if valid is None else f" of {validation.source}"
    speakers = len(set(validation.speakers) - {""})
    other = f" by {speakers:,} other speaker{'s' * (speakers > 1)}"
    by = other if speakers and valid is None else ""
    many = f"{len(validation):,} recording{'s' * (len(validation) > 1)}"
    return f"{many}{by}{place}, which chose the weights"


def _introduction(
    given: Recordings,
    heard: Utterances,
    validation: Recordings | None,
    holdout: Recordings | None,
    symbols: Symbols,
    network: torch.nn.Module,
    frame_seconds: float,
) -> str:
    """Returns what was found in the data, and what will be trained."""
    removed = heard.recordings.removed
    left_out = ", ".join(f"{n:,} {reason}" for reason, n in removed.items() if n)
    speakers = len(set(heard.recordings.speakers) - {""})
    minutes = total_seconds(heard.lengths, frame_seconds) / 60
    parts = [0 if part is None else len(part) for part in (validation, holdout)]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        f"{len(given):,} recordings of {given.source}"
        + (f"; left out: {left_out}" if left_out else ""),
        f"{len(heard):,} for training, {minutes:.1f} minutes"
        + (f" by {speakers:,} speakers" if speakers else "")
        + f"; {parts[0]:,} for validation, {parts[1]:,} held out",
        f"{len(symbols) - 1:,} characters, {len(words_said(heard.recordings.texts)):,} different "
        f"words; {parameters:,} parameters",
    ]
    if heard.features is not None and (warning := clipping_warning(heard.recordings)):
        lines.append(warning)
    if validation is not None:
        shared = heard.recordings.overlap(validation)
        if shared["speakers"] or shared["audio"]:
            lines.append(
                f"warning: {shared['speakers']:,} speakers and {shared['audio']:,} files are in "
                f"training and in validation, which flatters the validation"
            )
    return "\n".join(lines)
