"""The model card that every saved translator carries, written from what is known.

Reference: Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from carousel.tasks.cards import option_lines, source_line
from carousel.tasks.translation.fitted import Fitted


def write_card(fitted: Fitted) -> str:
    """Returns the card as Markdown."""
    options, plan, about, own = fitted.options, fitted.plan, fitted.about, fitted.tokenizers
    parameters = sum(p.numel() for p in fitted.network.parameters())
    score = about["validation_score"]
    removed = ", ".join(f"{n:,} {reason}" for reason, n in about["removed"].items() if n)
    sides = "second side of a pair to the first" if options.reverse else "first side to the second"
    members = f"{plan.members} members, each with " if plan.members > 1 else ""
    vocabulary = (
        f"{len(own.source):,} subwords of both languages"
        if own.shared
        else f"{len(own.source):,} subwords of the source and {len(own.target):,} of the target"
    )
    lines = [
        "# Translator",
        "",
        f"{members}{plan.encoder_layers} bidirectional LSTM layer"
        f"{'s' * (plan.encoder_layers > 1)} that read{'s' * (plan.encoder_layers == 1)} and "
        f"{plan.decoder_layers} that write{'s' * (plan.decoder_layers == 1)}, of "
        f"{plan.encoder_size:,} cells in each direction and of {plan.hidden_size:,}; "
        f"{parameters:,} parameters in all, trained by carousel-lstm "
        f"{metadata.version('carousel-lstm')} (torch {about['torch']}). It translates the {sides}, "
        f"over {vocabulary}, and its attention says which source word each word came from.",
        "",
        "## Data",
        "",
        source_line(about["source"]),
        f"- {about['pairs']:,} sentence pairs; left out: {removed or 'none'}",
        "",
        "## Split",
        "",
        f"By source: no source sentence is in two parts{_exception(about)}.",
        "",
        f"- training: {about['training_pairs']:,} pairs, {about['training_tokens']:,} subwords of "
        f"both sides",
        f"- validation: {about['validation']}",
        f"- holdout: {about['holdout_pairs']:,} pairs, never seen",
        "",
        "## What was chosen",
        "",
        f"- embedding of {plan.embedding_size}, "
        + ("shared with the output" if plan.tied else "apart from the output")
        + (" and by both languages" if plan.tied_source else ""),
        f"- attention by {plan.attention} scores"
        + (", input feeding" if plan.input_feeding else "")
        + (
            f", guided by a word alignment with weight {plan.guided_alignment:g}"
            if plan.guided_alignment
            else ""
        ),
        f"- dropout of subwords {plan.word_dropout:g}, input {plan.input_dropout:g}, layers "
        f"{plan.hidden_dropout:g}, output {plan.output_dropout:g}, recurrent weights "
        f"{plan.weight_dropout:g}; label smoothing {plan.label_smoothing:g}",
        "",
        "## Training",
        "",
        f"- {about['steps']:,} steps in {about['minutes']:.1f} minutes, {about['epochs']} passes "
        f"over the pairs, stopped by {about['stop_reason']}; weights of step "
        f"{about['best_step'] or about['steps']:,} kept",
        "- nats per subword on the validation pairs: "
        + (
            "not measured"
            if score is None
            else f"{score:.4f} (it chose the weights, so it flatters them)"
        ),
        "",
        "How well it translates sentences that nothing was chosen on, and whether it beats a "
        "word-by-word translation, is what `carousel evaluate` says. Of what its training pairs "
        "have no example it makes something up: read what it writes before you rely on it.",
        "",
        *option_lines(options, about["run"]),
    ]
    return "\n".join(lines)


def _exception(about: Mapping[str, Any]) -> str:
    """Returns what the split by source does not hold for, where pairs were given for validation."""
    number = about.get("validation_overlap", 0)  # not counted by earlier versions
    if not number:
        return ""
    return f", but for {number:,} of the validation pairs, whose sources training has too"
