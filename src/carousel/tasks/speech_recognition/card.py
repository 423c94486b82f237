"""The model card that every saved recogniser carries, written from what is known.

Reference: Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993.
"""

from __future__ import annotations

from importlib import metadata

from carousel.tasks.cards import option_lines, source_line
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.plan import READY
from carousel.tasks.speech_recognition.streaming import latency_seconds

_SHOWN = 40  # words of the lexicon that are named


def write_card(fitted: Fitted) -> str:
    """Returns the card as Markdown."""
    options, plan, about = fitted.options, fitted.plan, fitted.about
    parameters = sum(p.numel() for p in fitted.network.parameters())
    score = about["validation_score"]
    removed = ", ".join(f"{n:,} {reason}" for reason, n in about["removed"].items() if n)
    layers = f"{plan.num_layers} {'bidirectional ' * plan.bidirectional}LSTM layer"
    speakers = about["training_speakers"]
    words = ", ".join(fitted.words[:_SHOWN]) + (", ..." if len(fitted.words) > _SHOWN else "")
    sound = {
        READY: f"ready features of {fitted.frontend.size}",
        "mfcc": f"{plan.cepstra} cepstra of {plan.mel_filters} mel filters at {plan.rate:,} Hz",
        "log_mel": f"{plan.mel_filters} log-mel filters at {plan.rate:,} Hz",
    }[plan.features]
    lines = [
        "# Recogniser",
        "",
        f"{layers}{'s' * (plan.num_layers > 1)} of {plan.hidden_size:,} cells with CTC; "
        f"{parameters:,} parameters in all, trained by carousel-lstm "
        f"{metadata.version('carousel-lstm')} (torch {about['torch']}). It hears {sound}, and "
        f"writes {len(fitted.symbols) - 1} different characters. "
        + (
            f"It can transcribe while somebody speaks, {latency_seconds(fitted):.2f} s behind."
            if not plan.bidirectional and plan.features != READY
            else "It needs the whole recording."
        ),
        "",
        "## Data",
        "",
        source_line(about["source"]),
        f"- {about['recordings']:,} recordings; left out: {removed or 'none'}",
        "",
        "## Split",
        "",
        "By speaker where speakers are named, else by file: none is in two parts.",
        "",
        f"- training: {about['training_recordings']:,} recordings, "
        f"{about['training_minutes']:.1f} minutes"
        + (f" by {speakers:,} speakers" if speakers else ""),
        f"- validation: {about['validation']}",
        f"- holdout: {about['holdout_recordings']:,} recordings, never heard",
        "",
        "## What was chosen",
        "",
        f"- features scaled by {plan.scaling}, {plan.deltas} orders of slopes, a step every "
        f"{plan.subsampling} frames",
        f"- dropout of the input {plan.input_dropout:g}, layers {plan.hidden_dropout:g}, output "
        f"{plan.output_dropout:g}, recurrent weights {plan.weight_dropout:g}",
        f"- masking {plan.masking:g}, stretching {plan.stretching:g}, warping "
        f"{plan.warping:g}, noise {plan.noise:g}",
        f"- words: {len(fitted.words):,} different ones in training"
        + (
            ", no others are said"
            if options.lexicon
            else "; others may be spelled, letter by letter"
        )
        + (
            f"; their {options.ngram}-grams count {fitted.weights.scorer:g} times, with "
            f"{fitted.weights.word_bonus:g} for each word"
            if fitted.ngrams is not None
            else ""
        ),
        f"- the words: {words}",
        "",
        "## Training",
        "",
        f"- {about['steps']:,} steps in {about['minutes']:.1f} minutes, {about['epochs']} passes "
        f"over the recordings, stopped by {about['stop_reason']}; weights of step "
        f"{about['best_step'] or about['steps']:,} kept",
        "- errors per character of the best path on the validation recordings: "
        + (
            "not measured"
            if score is None
            else f"{score:.2f} % (it chose the weights, so it flatters them)"
        ),
        "",
        "How well it understands speakers that nothing was chosen on is what `carousel evaluate` "
        "says. It was fitted to the voices, microphones and words of its training: of others "
        "expect many more errors.",
        "",
        *option_lines(options, about["run"]),
    ]
    return "\n".join(lines)
