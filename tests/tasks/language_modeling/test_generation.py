"""Generated text: against the whole network run anew for each token, and plain string search."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.language_modeling.small_texts import (
    TEXT,
    random_tokens,
    small_model,
    small_network,
)

from carousel.data.tokenizers import Tokenizer, train_tokenizer
from carousel.decoding.sampling import Sampler, SamplingOptions
from carousel.errors import DataError, OptionError
from carousel.tasks.language_modeling.generation import (
    NetworkStepper,
    generated_text,
    generated_tokens,
    prompt_tokens,
)
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.tasks.language_modeling.softmax import FullSoftmax

GREEDY = SamplingOptions(temperature=0.0)


def rerun(
    network: LanguageNetwork,
    prompt: Sequence[int],
    count: int,
    options: SamplingOptions,
    seed: int = 0,
    forbidden: Sequence[int] = (),
) -> list[int]:
    """Reads the whole text again for each token."""
    sampler = Sampler(options, torch.Generator().manual_seed(seed))
    text = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            found = network(torch.tensor(text)[:, None])
            logits = network.head.logits(found.dropped[-1])
        if not isinstance(network.head, FullSoftmax):  # ln P, which a penalty would multiply
            logits -= logits.mean()
        logits[:, list(forbidden)] = -torch.inf
        # The boundary that a document begins with was not written.
        text.append(int(sampler.sample(logits, torch.tensor([text[1:]]))))
    return text[len(prompt) :]


def generate(
    network: LanguageNetwork, prompt: Sequence[int], count: int, **options: object
) -> list:
    values = {"options": SamplingOptions(), "seed": 0, **options}
    chosen = values.pop("options")
    return list(itertools.islice(generated_tokens(network, prompt, chosen, **values), count))


@pytest.mark.parametrize(
    "options",
    [
        GREEDY,
        SamplingOptions(),
        SamplingOptions(temperature=0.7, top_k=4),
        SamplingOptions(top_p=0.8),
        SamplingOptions(temperature=0.0, repetition_penalty=1.8),
        SamplingOptions(repetition_penalty=1.3, top_p=0.9),
    ],
)
@pytest.mark.parametrize("shape", [{}, {"tied": True}, {"cutoffs": (4,)}])
def test_tokens_are_those_of_the_whole_network(
    options: SamplingOptions, shape: dict[str, object]
) -> None:
    network, prompt = small_network(**shape).float(), [0, 3, 1, 4]  # which draws are made in
    found = generate(network, prompt, 60, options=options, seed=5)
    assert found == rerun(network, prompt, 60, options, seed=5)
    forbidden = sorted({*found})[:3]
    others = generate(network, prompt, 60, options=options, seed=5, forbidden=forbidden)
    assert others == rerun(network, prompt, 60, options, seed=5, forbidden=forbidden)
    assert not {*others} & {*forbidden}


def test_a_long_prompt_is_read_in_parts() -> None:
    network, prompt = small_network().float(), random_tokens(600).tolist()
    assert generate(network, prompt, 5, options=GREEDY) == rerun(network, prompt, 5, GREEDY)


def test_reading_and_stepping_are_the_same() -> None:
    network = small_network()
    with torch.no_grad():
        one, many = NetworkStepper(network), NetworkStepper(network)
        scores = many.read([0, 3, 1, 4])
        one.read([0])
        for token in (3, 1, 4):
            stepped = one.step(token)
        assert torch.allclose(stepped, scores, rtol=1e-12, atol=1e-12)
        assert torch.allclose(one.read([7, 7]), many.read([7, 7]), rtol=1e-12, atol=1e-12)


def test_forbidden_tokens_never_come_however_likely() -> None:
    network = small_network()
    with torch.no_grad():
        network.head.bias[[2, 5]] = 200.0
    for options in (GREEDY, SamplingOptions(), SamplingOptions(temperature=50.0)):
        found = generate(network, [0], 200, options=options, forbidden=[2, 5])
        assert not {2, 5} & {*found}
    assert {*generate(network, [0], 50)} <= {2, 5}


def test_a_penalty_keeps_tokens_from_coming_again() -> None:
    network = small_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.head.bias.copy_(torch.arange(1.0, 10.0))
    assert generate(network, [0, 8], 3, options=GREEDY) == [8, 8, 8]
    penalty = SamplingOptions(temperature=0.0, repetition_penalty=1_000.0)
    # From the second most likely downwards; those of the prompt count as seen, END among them.
    assert generate(network, [0, 8, 6], 6, options=penalty) == [7, 5, 4, 3, 2, 1]


def test_code_between_two_tokens_does_not_run_in_inference_mode() -> None:
    tokens = generated_tokens(small_network(), [0], GREEDY, seed=0)
    for _ in range(2):
        next(tokens)
        assert not torch.is_inference_mode_enabled()


def test_the_callers_random_numbers_stay() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    small_model().generate("the", max_tokens=5)
    assert torch.equal(torch.rand(3), wanted)


LETTERS = train_tokenizer("characters", ["ab\n"])


def pieces(
    text: str, stop: Sequence[str], tokenizer: Tokenizer = LETTERS, most: int | None = None
) -> list[str]:
    ids = tokenizer.encode(text).tolist()
    return list(generated_text(tokenizer, iter([*ids, tokenizer.end]), stop, most))


@given(
    st.text("ab\n", max_size=12),
    st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_against_plain_search(text: str, stop: list[str]) -> None:
    wanted = text
    for length in range(len(text) + 1):
        begins = [text[:length].find(s) for s in stop if s in text[:length]]
        if begins:
            wanted = text[: min(begins)]
            break
    assert "".join(pieces(text, stop)) == wanted


@given(
    st.text("ab\n", min_size=1, max_size=12),
    st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
)
def test_text_is_held_back_only_as_long_as_it_may_be_a_stop_string(
    text: str, stop: list[str]
) -> None:
    shown, told = "", []

    def tokens() -> object:
        for place, token in enumerate(LETTERS.encode(text).tolist()):
            told.append((text[:place], shown))  # what is out when the next token is asked for
            yield token
        told.append((text, shown))
        yield LETTERS.end

    for piece in generated_text(LETTERS, tokens(), stop, None):
        shown += piece
    for before, out in told:
        sizes = range(len(before) + 1)
        held = max(k for k in sizes if not k or any(s.startswith(before[-k:]) for s in stop))
        assert out == before[: len(before) - held]


def test_a_stop_string_that_arrives_in_pieces() -> None:
    words = train_tokenizer("words", ["one two three four"], min_count=1)
    assert [*filter(None, pieces("one two three four", ["wo th"], words))] == ["one", " t"]
    assert "".join(pieces("one two three four", ["wo x", "four"], words)) == "one two three "
    assert "".join(pieces("one two", ["two three"], words)) == "one two"
    assert "".join(pieces("a", ["a"])) == ""
    assert "".join(pieces("aab\nb", ["b\nb", "\n"])) == "aab"


def test_no_piece_is_empty() -> None:
    assert pieces("ab", ["b"]) == ["a"]


def test_the_end_and_the_number_of_tokens_stop() -> None:
    assert "".join(pieces("abba", [])) == "abba"
    tokens = iter([1, 2, 0, 2, 1])
    assert "".join(generated_text(LETTERS, tokens, (), None)) == "\na"
    assert next(tokens) == 2
    assert "".join(pieces("abba" * 5, [], most=7)) == "abbaabb"
    tokens = iter([2, 2, 2])
    assert "".join(generated_text(LETTERS, tokens, (), 2)) == "aa"
    assert next(tokens) == 2  # no token was taken that nobody asked for


@pytest.mark.parametrize("kind", ["bytes", "subwords"])
def test_characters_of_several_bytes_come_whole(kind: str) -> None:
    tokenizer = train_tokenizer(kind, ["x"])
    text = "aé漢🎠 ẞ"
    found = pieces(text, [], tokenizer)
    assert "".join(found) == text
    assert not any("\ufffd" in piece for piece in found)
    assert "".join(pieces(text, ["漢"], tokenizer)) == "aé"
    # Cut off in the middle of a character, something is said of the half that came.
    assert "".join(pieces("aé", [], tokenizer, most=2)) == "a\ufffd"


@pytest.mark.parametrize("kind", ["characters", "bytes", "words", "subwords"])
def test_streaming_yields_what_generate_returns(kind: str) -> None:
    model = small_model(kind)
    values = {"max_tokens": 40, "seed": 3, "temperature": 1.2}
    found = list(model.stream("the cat", **values))
    assert "".join(found) == model.generate("the cat", **values)
    assert len(found) > 10
    assert model.generate("the cat", **values) == model.generate("the cat", **values)
    assert model.generate("the cat", **{**values, "seed": 4}) != "".join(found)
    options = SamplingOptions(temperature=1.2)
    again = model.generate("the cat", max_tokens=40, seed=3, options=options)
    assert again == "".join(found)


def test_a_stop_string_is_where_it_is_in_the_text_without_one() -> None:
    model = small_model()
    whole = model.generate("the ", max_tokens=200)
    for stop in (whole[50:53], whole[-1]):
        assert model.generate("the ", max_tokens=200, stop=stop) == whole[: whole.find(stop)]
        assert model.generate("the ", max_tokens=200, stop=[stop, "@"]) == whole[: whole.find(stop)]
    assert model.generate("the ", max_tokens=200, stop="never there") == whole


def test_a_prompt_may_be_longer_than_the_training_text_or_empty() -> None:
    model = small_model()
    assert len(model.generate(TEXT * 2, max_tokens=3, temperature=0.0)) == 3
    assert len(model.generate(max_tokens=3)) == 3
    assert prompt_tokens(model.tokenizer, "") == [0]


def test_without_a_limit_the_stream_goes_on() -> None:
    stream = small_model().stream("the")
    assert len("".join(itertools.islice(stream, 1_200))) == 1_200


def test_what_is_no_text_is_never_written() -> None:
    for several in (False, True):
        written = small_model("words", several).generate("", max_tokens=300, temperature=3.0)
        assert "<unk>" not in written
        assert "<end>" not in written
    # END was not learned from a single document, so it ends none.
    assert len(small_model().generate("", max_tokens=500, temperature=5.0)) == 500
    assert len(small_model(several=True).generate("", max_tokens=500, temperature=5.0)) < 500


@pytest.mark.parametrize("prompt", ["the cat", "the cat ", "the cat\n", ""])
def test_words_are_apart_from_the_prompt(prompt: str) -> None:
    text = prompt + small_model("words").generate(prompt, max_tokens=8, temperature=0.0)
    assert {*text.split()} <= {*small_model("words").tokenizer.vocabulary}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
        ({"max_tokens": 0}, "max_tokens expects a whole number from 1 on, got 0"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop": ""}, "stop expects strings that are not empty"),
        ({"stop": ["a", ""]}, "stop expects strings"),
        ({"options": GREEDY, "temperature": 1.0}, "not both"),
    ],
)
def test_impossible_options_are_refused_before_the_first_token(
    values: dict[str, object], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        small_model().stream("the", **values)


@pytest.mark.parametrize("seed", [2**70, -(2**70)])
def test_an_impossible_seed_is_refused(seed: int) -> None:
    with pytest.raises(OptionError, match="seed"):
        next(small_model().stream("the", seed=seed))


def test_a_prompt_that_the_model_cannot_read_is_refused_at_once() -> None:
    with pytest.raises(DataError, match=r"the prompt, line 2: the model knows no 'Q' \(U\+0051\)"):
        small_model().stream("the\nQ")
    with pytest.raises(DataError, match="Unicode"):
        small_model("bytes").stream("\udcff")
