"""A translator seen at work: against its layers' own traces, and what its alignment tells."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.traced_layers import assert_traced
from tests.tasks.translation.small_translators import fitted, small_translator, taught_translator
from torch import Tensor

from carousel.data.pairs import Pairs
from carousel.decoding.beam_search import Hypothesis
from carousel.errors import DataError, ModelError, OptionError
from carousel.inspection.inspection import Inspection
from carousel.nn import Trace
from carousel.tasks.translation import Translator, inspecting
from carousel.tasks.translation import model as model_module
from carousel.tasks.translation.data import make_corpus, words_of_tokens
from carousel.tasks.translation.inspecting import SentenceInspectionOptions, inspected_sentence
from carousel.tasks.translation.network import Member
from carousel.tasks.translation.search import Searcher
from carousel.tasks.translation.training import make_batch
from carousel.tasks.translation.translation import word_attention

SOURCE, TARGET = "the cat sat near the dog.", "das Kätzchen saß neben das Hündchen."
# Single precision: sums of under 40 terms in other orders differ by a few roundings of 6e-8, which
# the recurrence of some tens of steps does not make a hundred times as large.
CLOSE = 1e-5
LAYERS = {"encoder_layers": 2, "decoder_layers": 2}


@functools.cache
def layered_translator(**options: Any) -> Translator:
    """Returns one translator for all tests, which must leave it as it is."""
    return fitted(**options)


def log_probabilities(
    model: Translator, change: Callable[[Member], None] | None = None, number: int = 0
) -> Tensor:
    """Returns ln P of each subword of the target by a member, (T,), changed where need be."""
    corpus = make_corpus(Pairs.read([(SOURCE, TARGET)]), model.tokenizers)
    batch = make_batch(corpus, np.arange(1))
    member = copy.deepcopy(model.network.members[number])
    with torch.no_grad():
        if change is not None:
            change(member)
        features = member(batch.source, batch.source_lengths, batch.inputs).features[:, 0]
        scores = member.output(features).log_softmax(-1)
    return scores.gather(1, batch.targets[:, None])[:, 0]


def assert_stack_traced(found: Inspection, name: str, axis: str, trace: Trace) -> None:
    for suffix, wanted in trace.items():
        layer = found.layers[f"{name}.{suffix}"]
        assert (layer.axis, layer.reverse) == (axis, suffix.endswith("reverse"))
        assert_traced(layer, wanted, CLOSE)


@pytest.mark.parametrize(
    ("options", "number"),
    [({}, 0), (LAYERS, 0), ({"members": 2}, 0), ({"members": 2}, 1), ({"input_feeding": True}, 0)],
    ids=str,
)
def test_values_are_those_of_the_layers(options: dict[str, Any], number: int) -> None:
    model = layered_translator(**options)
    found = model.inspect(SOURCE, target=TARGET, member=number)
    which = f", network {number} of 2" if "members" in options else ""
    assert found.title.startswith(f"translator{which}, “")
    corpus = make_corpus(Pairs.read([(SOURCE, TARGET)]), model.tokenizers)
    batch = make_batch(corpus, np.arange(1))
    member = model.network.members[number]
    with torch.no_grad():
        x = member.encoder.embedding(batch.source)
        for n, layer in enumerate(member.encoder.layers):
            trace = layer.trace(x)
            assert_stack_traced(found, f"members.{number}.encoder.layers.{n}", "source", trace)
            x = trace.output + x if n and member.encoder.residual else trace.output
        begin = member.read(batch.source, batch.source_lengths).begin
        for n, layer in enumerate(member.decoder.layers):
            name = f"members.{number}.decoder.layers.{n}"
            # What it read, its own features among them where they are fed back.
            read = torch.from_numpy(found.layers[f"{name}.l0"].inputs)[:, None]
            assert_stack_traced(found, name, "target", layer.trace(read, begin.layers[n]))
        read = torch.from_numpy(found.layers[f"members.{number}.decoder.layers.0.l0"].inputs)
        width = member.decoder.embedding.embedding_dim
        words = member.decoder.embedding(batch.inputs)[:, 0]
        assert torch.equal(read[:, :width], words)
    sides = ["encoder.layers"] * 2 * len(member.encoder.layers)
    sides += ["decoder.layers"] * len(member.decoder.layers)
    assert [name.split(".", 2)[2].rsplit(".", 2)[0] for name in found.layers] == sides


@pytest.mark.parametrize("options", [{}, LAYERS, {"members": 2}, {"input_feeding": True}], ids=str)
def test_attention_is_that_of_the_alignment(options: dict[str, Any]) -> None:
    model = layered_translator(**options)
    corpus = make_corpus(Pairs.read([(SOURCE, TARGET)]), model.tokenizers)
    source_words, source_owner = words_of_tokens(model.tokenizers.source, corpus.sources[0])
    words, owner = words_of_tokens(model.tokenizers.target, corpus.targets[0][:-1])
    maps = []
    for number in range(len(model.network.members)):
        [attention] = model.inspect(SOURCE, target=TARGET, member=number).attentions
        assert (attention.queries, attention.memory) == ("target", "source")
        assert attention.weights.sum(1) == pytest.approx(1, abs=1e-6)
        assert (attention.weights >= 0).all()
        maps.append(attention.weights)
    mean = np.mean(maps, axis=0)[:-1]  # the end of the target is no word
    found = word_attention(mean, source_owner, owner, len(source_words), len(words))
    [wanted] = model.align([SOURCE], [TARGET])
    assert found == pytest.approx(wanted.attention, abs=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_axes_are_the_sentences_in_subwords(shared: bool) -> None:
    found = small_translator(shared).inspect(f" {SOURCE}  ", target=TARGET)
    assert list(found.axes) == ["source", "target"]
    for axis, text in zip(found.axes.values(), (SOURCE, TARGET), strict=True):
        assert (axis.kind, axis.unit, axis.values) == ("words", "subword", None)
        assert axis.names[-1] == "<end>"
        shown = "".join(axis.names[:-1])
        shown = re.sub("((?:<0x..>)+)", lambda m: _bytes(m[1]), shown)
        assert shown == "␣" + text.replace(" ", "␣")
        assert set(axis.tracks) >= {"position in word", "inside quotes"}
    assert found.title == f"translator, “{SOURCE}”"


def _bytes(shown: str) -> str:
    return bytes(int(one, 16) for one in re.findall("0x(..)", shown)).decode()


def test_without_a_translation_its_own_is_read() -> None:
    model = taught_translator()
    text = model.translate(SOURCE)
    found, again = model.inspect(SOURCE), model.inspect(SOURCE, target=text)
    assert found.axes["target"].names == again.axes["target"].names
    assert "".join(found.axes["target"].names) == f"␣{text}<end>".replace(" ", "␣")
    for name, layer in found.layers.items():
        assert np.array_equal(layer.c, again.layers[name].c)


@pytest.mark.parametrize("ended", [True, False])
def test_its_own_is_read_as_it_was_written(ended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the subwords that were chosen, though the same text has others, and not always an end."""
    model = small_translator()
    target = model.tokenizers.target
    single = {target.bytes_after(token, 0): token for token in range(len(target))}
    tokens = [single[bytes([sign])] for sign in " dä".encode()[:-1]]  # half a letter at the end
    nothing = torch.zeros(len(tokens), 1)
    written = Hypothesis(tokens, 0.0, 0.0, nothing, ended)
    monkeypatch.setattr(Searcher, "search", lambda *_: [[written]])
    found = model.inspect(SOURCE)
    assert found.axes["target"].names == ["␣", "d", "<0xC3>", *["<end>"] * ended]
    layer = found.layers["members.0.decoder.layers.0.l0"]
    inputs = torch.tensor([target.end, *tokens, target.end][: len(tokens) + ended])
    with torch.no_grad():
        read = model.network.members[0].decoder.embedding(inputs)
    assert np.array_equal(layer.inputs, read.numpy())


def test_a_translation_may_be_empty() -> None:
    found = small_translator().inspect(SOURCE, target="")
    assert found.axes["target"].names == ["<end>"]
    assert found.attentions[0].weights.shape == (1, len(found.axes["source"]))


def test_a_log_probability_is_explained_for_each_subword() -> None:
    """Embeddings of zero are those of a network whose source's embedding is zero."""
    model = small_translator(shared=False)
    found = model.inspect(SOURCE, target=TARGET, explain="both")
    names = found.axes["target"].names
    assert len(found.attributions) == 2 * len(names)

    def silenced(member: Member) -> None:
        member.encoder.embedding.weight.zero_()

    said, silent = log_probabilities(model), log_probabilities(model, silenced)
    [aligned] = model.align([SOURCE], [TARGET])
    assert float(said.sum()) == pytest.approx(aligned.log_probability, rel=1e-5)
    tokens = model.tokenizers.source.encode(f" {SOURCE}").tolist()
    single = next(k for k, token in enumerate(tokens) if tokens.count(token) == 1)

    def without_one(member: Member) -> None:
        member.encoder.embedding.weight[tokens[single]] = 0

    missing = log_probabilities(model, without_one)
    for step, name in enumerate(names):
        gradients, occlusion = found.attributions[2 * step : 2 * step + 2]
        assert (gradients.method, occlusion.method) == ("integrated gradients", "occlusion")
        for one in (gradients, occlusion):
            assert one.name == f"log-probability of {name!r} at step {step}"
            assert one.axis == "source"
            assert one.values.shape == (len(found.axes["source"]),)
        assert gradients.total == pytest.approx(float(said[step] - silent[step]), abs=CLOSE)
        # 64 points of a function that is smooth; of a polynomial of degree 127 they miss nothing.
        assert gradients.values.sum() == pytest.approx(gradients.total, abs=CLOSE)
        wanted = float(said[step] - missing[step])
        assert occlusion.values[single] == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize(
    "options", [{"tied_source": True}, {"members": 2}, {"input_feeding": True}], ids=str
)
def test_one_subword_is_explained_by_networks_of_every_kind(options: dict[str, Any]) -> None:
    """A share is what is missed without it: with a source that is said twice, of two at once."""
    model = layered_translator(**options)
    number = options.get("members", 1) - 1
    one, *others = model.inspect(
        SOURCE, target=TARGET, explain="gradients", step=2, member=number
    ).attributions
    assert others == []
    assert one.name.endswith("at step 2")
    assert one.values.sum() == pytest.approx(one.total, abs=CLOSE)

    class Silent(torch.nn.Module):
        def __init__(self, own: torch.nn.Embedding) -> None:
            super().__init__()
            self.own, self.num_embeddings = own, own.num_embeddings

        def forward(self, tokens: Tensor) -> Tensor:
            return 0 * self.own(tokens)

    def silenced(member: Member) -> None:
        member.encoder.embedding = Silent(member.encoder.embedding)  # type: ignore[assignment]

    wanted = log_probabilities(model, None, number) - log_probabilities(model, silenced, number)
    assert one.total == pytest.approx(float(wanted[2]), abs=CLOSE)


def test_flows_are_there_where_they_are_asked_for() -> None:
    model = small_translator()
    found = model.inspect(SOURCE, target=TARGET)
    assert (list(found.flows), list(found.attributions)) == ([], [])
    found = model.inspect(SOURCE, target=TARGET, flow=True)
    assert [flow.layer for flow in found.flows] == list(found.layers)


@pytest.mark.parametrize(
    ("text", "values", "error", "words"),
    [
        ("", {}, DataError, "expected a sentence, got ''; give one that has a word"),
        ("  ", {"target": "das"}, DataError, "expected a sentence, got '  '"),
        (3, {}, DataError, "expected text, got 3"),
        (3, {"target": "das"}, DataError, "expected text, got 3"),
        ("the " * 600, {}, DataError, "expected a sentence, got 600 words"),
        ("the", {"target": "das " * 600}, DataError, "its translation: expected a sentence"),
        ("the", {"explain": "both", "step": 90}, OptionError, r"from 0 to \d+, got 90"),
        ("the", {"step": 0}, OptionError, "'step' says what is explained"),
        ("the", {"member": 1}, OptionError, "expects 0, for one network answers"),
        ("the", {"targets": "das"}, OptionError, "did you mean 'target'"),
        ("the", {"target": 3}, OptionError, "expects text, got 3"),
        ("the", {"options": SentenceInspectionOptions(), "step": 3}, OptionError, "not both"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_inspected_is_refused(
    text: Any,
    values: dict[str, Any],
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the checks of types that the tests put on: users have none."""
    monkeypatch.setattr(model_module, "inspected_sentence", unwrap(inspected_sentence))
    monkeypatch.setattr(inspecting, "_batch", unwrap(inspecting._batch))
    with pytest.raises(error, match=words):
        unwrap(Translator.inspect)(small_translator(), text, **values)


def test_without_a_fit_there_is_nothing_to_inspect() -> None:
    with pytest.raises(ModelError, match="nothing to inspect yet"):
        Translator().inspect("the")
