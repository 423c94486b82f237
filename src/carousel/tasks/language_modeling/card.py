"""The model card that every saved language model carries, written from what is known.

Reference: Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993.
"""

from __future__ import annotations

from importlib import metadata

from carousel.tasks.cards import option_lines, source_line
from carousel.tasks.language_modeling.fitted import Fitted


def write_card(fitted: Fitted) -> str:
    """Returns the card as Markdown."""
    options, plan, about, tokenizer = fitted.options, fitted.plan, fitted.about, fitted.tokenizer
    parameters = sum(p.numel() for p in fitted.network.parameters())
    score = about["validation_score"]
    members = f"{plan.members} members, each with " if plan.members > 1 else ""
    sizes = [f"{layer.hidden_size:,}" for layer in fitted.network.members[0].layers]
    layers = f"{len(sizes)} LSTM layer{'s' if len(sizes) > 1 else ''} of {' and '.join(sizes)}"
    lines = [
        f"# Language model over {tokenizer.kind}",
        "",
        f"{members}{layers} cells with {parameters:,} parameters in all, trained by "
        f"carousel-lstm {metadata.version('carousel-lstm')} (torch {about['torch']}). It predicts "
        f"the next of {len(tokenizer):,} tokens; its state is two vectors a layer, whatever the "
        f"length of the text.",
        "",
        "## Data",
        "",
        source_line(about["source"]),
        f"- {about['documents']:,} document{'s' if about['documents'] != 1 else ''}, "
        f"{about['characters']:,} characters",
        "",
        "## Split",
        "",
        "By place in the text: training, then validation, then holdout.",
        "",
        f"- training: {about['training_tokens']:,} tokens, {about['training_characters']:,} "
        f"characters",
        f"- validation: {about['validation']}",
        f"- holdout: the last {about['holdout_characters']:,} characters, never seen",
        "",
        "## What was chosen",
        "",
        f"- embedding of {plan.embedding_size}, {'shared with' if plan.tied else 'apart from'} the "
        f"output",
        f"- softmax in training: {_softmax(fitted)}",
        f"- dropout of words {plan.embedding_dropout:g}, input {plan.input_dropout:g}, between "
        f"layers {plan.hidden_dropout:g}, output {plan.output_dropout:g}, recurrent weights "
        f"{plan.weight_dropout:g}",
        *(
            [
                f"- the {next(iter(fitted.ngrams))} of the training text has a share of "
                f"{plan.ngram_weight:g} in every prediction"
            ]
            if plan.ngram_weight
            else []
        ),
        f"- gradients flow through about {plan.bptt} steps; the state is carried on",
        "",
        "## Training",
        "",
        f"- {about['steps']:,} steps in {about['minutes']:.1f} minutes, {about['epochs']} passes "
        f"over the text, stopped by {about['stop_reason']}; weights of step "
        f"{about['best_step'] or about['steps']:,} kept",
        "- nats per token on the validation part: "
        + (
            "not measured"
            if score is None
            else f"{score:.4f} (it chose the weights, so it flatters them)"
        ),
        "",
        "How well it predicts text that nothing was chosen on, and whether it beats an n-gram "
        "model, is what `carousel evaluate` says. It writes what its training text is like, and "
        "knows no truth.",
        "",
        *option_lines(options, about["run"]),
    ]
    return "\n".join(lines)


def _softmax(fitted: Fitted) -> str:
    if fitted.plan.cutoffs:
        return f"rare tokens in groups from {', '.join(f'{c:,}' for c in fitted.plan.cutoffs)} on"
    if fitted.plan.samples:
        return f"over about {fitted.plan.samples:,} tokens, drawn anew for each batch"
    return "over all tokens"
