"""A language model seen at work: against its layers' own traces, its scores, and texts by hand."""

from __future__ import annotations

import copy
import functools
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.language_modeling.small_texts import KINDS, OTHER, TEXT, fitted, small_model
from tests.tasks.traced_layers import assert_traced

from carousel.errors import DataError, ModelError, OptionError
from carousel.inspection.gradient_flow import gradient_flow
from carousel.nn import State
from carousel.tasks.language_modeling import LanguageModel, inspecting
from carousel.tasks.language_modeling import model as model_module
from carousel.tasks.language_modeling.generation import prompt_tokens
from carousel.tasks.language_modeling.inspecting import TextInspectionOptions, inspected_text

SAID = 'He (or "she [the cat]") sat.\n  No?'
# Single precision: sums of under 30 terms in other orders differ by a few roundings of 6e-8, which
# the recurrence of some tens of steps does not make a hundred times as large.
CLOSE = 1e-5


@functools.cache
def loud_model(kind: str = "characters", **options: Any) -> LanguageModel:
    """Returns a model of random weights in which each token counts; all must leave it as it is."""
    model = fitted([TEXT], tokenizer=kind, **options) if options else small_model(kind)
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.normal_(0.0, 0.5)
    return model


@torch.no_grad()
def log_probability(model: LanguageModel, text: str, step: int, zeroed: list[int]) -> float:
    """Returns ln P of a token given those before it, the embeddings of some of these being zero."""
    network = model.network
    tokens = torch.tensor(prompt_tokens(model.tokenizer, text))[:, None]
    x = network.embedding(tokens[: step + 1])
    x[[1 + place for place in zeroed]] = 0.0  # behind the begin
    for layer in network.layers:
        x, _ = layer(x)
    return -float(network.head.losses(x[-1], tokens[step + 1]))


@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "tied": True}], ids=str)
def test_values_are_those_of_the_layers(options: dict[str, Any]) -> None:
    model = fitted([TEXT], **options) if options else small_model()
    found = model.inspect(OTHER)
    network = model.network
    x = network.embedding(torch.tensor(prompt_tokens(model.tokenizer, OTHER)))[:, None]
    assert list(found.layers) == [f"layers.{n}.l0" for n in range(len(network.layers))]
    for layer, seen in zip(network.layers, found.layers.values(), strict=True):
        trace = layer.trace(x)["l0"]
        # The first step reads the begin, which is no part of the text.
        assert_traced(seen, trace, CLOSE, begin=1)
        assert seen.before_h == pytest.approx(trace.h[0, 0].detach().numpy(), abs=CLOSE)
        assert seen.before_c == pytest.approx(trace.c[0, 0].detach().numpy(), abs=CLOSE)
        assert seen.inputs == pytest.approx(x[1:, 0].detach().numpy(), abs=CLOSE)
        assert not seen.reverse
        assert seen.weights is not None
        x = trace.h
    last = torch.from_numpy(seen.h)
    nats = network.head.losses(last[:-1], torch.tensor(prompt_tokens(model.tokenizer, OTHER)[2:]))
    assert nats.detach().numpy() == pytest.approx(model.score(OTHER).nats[1:], abs=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_axis_is_the_text(kind: str) -> None:
    model = small_model(kind)
    found = model.inspect("the cat\nsat")
    axis = found.axes["text"]
    assert list(found.axes) == ["text"]
    assert axis.kind == ("characters" if kind == "characters" else "words")
    assert kind.startswith(axis.unit)
    wanted = ["the", "cat", "⏎", "sat"] if kind == "words" else list("the␣cat⏎sat")
    if kind == "subwords":
        assert "".join(axis.names) == "the␣cat⏎sat"
    else:
        assert axis.names == wanted
    assert axis.values is None
    assert found.title == "language model, “the cat sat”"


def test_tracks_run_beside_a_text_with_quotes_and_brackets() -> None:
    """A byte a step; the numbers of signs are those of the text, read with care."""
    tracks = small_model("bytes").inspect(SAID).axes["text"].tracks
    opening, closing = SAID.index('"'), SAID.rindex('"')
    inside = [float(opening <= place < closing) for place in range(len(SAID))]
    assert tracks["inside quotes"].tolist() == inside
    depth = np.cumsum([(sign in "([") - (sign in ")]") for sign in SAID])
    assert tracks["bracket depth"].tolist() == depth.tolist()
    assert depth.max() == 2
    line_end = SAID.index("\n")
    places = [*range(1, line_end + 1), *range(len(SAID) - line_end)]
    assert tracks["position in line"].tolist() == places
    assert tracks["indentation"].tolist() == [0] * (line_end + 1) + [1] + [2] * 4
    assert tracks["is space"].tolist() == [float(sign.isspace()) for sign in SAID]
    assert tracks["is upper case"].tolist() == [float(sign in "HN") for sign in SAID]
    assert tracks["position in word"].tolist()[:6] == [1, 2, 0, 0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [None, 2])
def test_a_log_probability_is_explained(kind: str, step: int | None) -> None:
    model = loud_model(kind)
    text = "the cat sat on\na mat"
    found = model.inspect(text, explain="both", step=step)
    names = found.axes["text"].names
    place = len(names) - 1 if step is None else step
    gradients, occlusion = found.attributions
    assert (
        gradients.name == occlusion.name == f"log-probability of {names[place]!r} at step {place}"
    )
    assert gradients.axis == occlusion.axis == "text"
    said = log_probability(model, text, place, [])
    assert said == pytest.approx(-model.score(text).nats[place], abs=CLOSE)
    silent = log_probability(model, text, place, list(range(place)))
    assert gradients.total == pytest.approx(said - silent, abs=CLOSE)
    # 64 points of a function that is smooth; of a polynomial of degree 127 they miss nothing.
    assert gradients.values.sum() == pytest.approx(gradients.total, abs=2 * CLOSE)
    wanted = [said - log_probability(model, text, place, [k]) for k in range(place)]
    assert occlusion.values[:place] == pytest.approx(wanted, abs=CLOSE)
    for one in (gradients, occlusion):
        assert (one.values[place:] == 0).all()
        assert (one.values[:place] != 0).all()
        assert np.abs(one.values).max() > 0.02
    assert all(parameter.grad is None for parameter in model.network.parameters())


def test_a_groups_softmax_is_explained_too() -> None:
    model = loud_model("words", softmax="adaptive")
    found = model.inspect("the cat sat on", explain="gradients")
    said = log_probability(model, "the cat sat on", 3, [])
    silent = log_probability(model, "the cat sat on", 3, [0, 1, 2])
    assert found.attributions[0].total == pytest.approx(said - silent, abs=CLOSE)


def test_nothing_is_explained_and_no_flow_worked_out_unless_it_is_asked_for() -> None:
    found = small_model().inspect("the cat")
    assert (list(found.attributions), list(found.flows), list(found.attentions)) == ([], [], [])
    flows = small_model().inspect("the cat", flow=True).flows
    again = gradient_flow("layers.0.l0", found.layers["layers.0.l0"])
    assert [flow.layer for flow in flows] == ["layers.0.l0"]
    assert np.array_equal(flows[0].of_c, again.of_c, equal_nan=True)


def test_a_long_text_is_refused_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    monkeypatch.setattr(inspecting, "MOST_TOKENS", 20)
    with pytest.raises(DataError, match=r"at most 20 tokens, got \d+; .* max_tokens \(20 or less"):
        model.inspect(OTHER)
    assert len(model.inspect(OTHER[:20]).axes["text"]) == 20
    found, whole = model.inspect(OTHER, max_tokens=9), model.inspect(OTHER[:9])
    assert found.axes["text"].names == whole.axes["text"].names == list(OTHER[:9].replace(" ", "␣"))
    assert np.array_equal(found.layers["layers.0.l0"].c, whole.layers["layers.0.l0"].c)
    assert len(model.inspect("the", max_tokens=9).axes["text"]) == 3


def test_the_limit_is_that_of_the_option() -> None:
    assert TextInspectionOptions(max_tokens=inspecting.MOST_TOKENS).max_tokens == 5_000
    with pytest.raises(OptionError, match="from 1 to 5000"):
        TextInspectionOptions(max_tokens=5_001)


def test_the_state_behind_the_begin_is_where_it_starts() -> None:
    """Also of a model of documents, and of lines that end as elsewhere."""
    model = small_model(several=True)
    network = model.network
    with torch.no_grad():
        begin: State = network(torch.tensor([[model.tokenizer.end]])).state[0]
    found = model.inspect("the cat\r\nsat")
    assert found.axes["text"].names == list("the␣cat⏎sat")
    assert np.array_equal(found.layers["layers.0.l0"].before_c, begin.c[0, 0].numpy())


@pytest.mark.parametrize(
    ("text", "values", "error", "words"),
    [
        ("", {}, DataError, "expected a text to inspect, got ''; give one that is not empty"),
        (None, {}, DataError, "expected a text to inspect, got None"),
        ("the Q", {}, DataError, "no 'Q'"),
        ("the", {"explain": "both", "step": 3}, OptionError, "a token from 1 to 2, got 3"),
        ("the", {"step": 1}, OptionError, "'step' says what is explained"),
        ("the", {"explain": "both", "step": 0}, OptionError, "at least 1, got 0"),
        ("t", {"explain": "both"}, DataError, "a text of two tokens or more"),
        ("the", {"explain": "both", "max_tokens": 1}, DataError, "a text of two tokens or more"),
        ("the", {"explan": "both"}, OptionError, "did you mean 'explain'"),
        ("the", {"options": TextInspectionOptions(), "step": 1}, OptionError, "not both"),
    ],
    ids=str,
)
def test_what_cannot_be_inspected_is_refused(
    text: Any,
    values: dict[str, Any],
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the checks of types that the tests put on: users have none."""
    monkeypatch.setattr(model_module, "inspected_text", unwrap(inspected_text))
    with pytest.raises(error, match=words):
        unwrap(LanguageModel.inspect)(small_model(), text, **values)


def test_a_text_without_a_word_has_nothing_to_inspect() -> None:
    with pytest.raises(DataError, match="which has no words"):
        small_model("words").inspect("  \t")


def test_without_a_fit_there_is_nothing_to_inspect() -> None:
    with pytest.raises(ModelError, match="nothing to inspect yet"):
        LanguageModel().inspect("the")
