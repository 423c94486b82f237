"""A network and n-grams as one model: the same mixture wherever it predicts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.language_modeling.small_texts import (
    DOCUMENTS,
    KINDS,
    OTHER,
    TEXT,
    fitted,
    random_tokens,
    restored,
    small_network,
)

from carousel.decoding.sampling import SamplingOptions
from carousel.errors import ModelError, OptionError
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling.adaptation import AdaptationOptions
from carousel.tasks.language_modeling.ensemble import Ensemble
from carousel.tasks.language_modeling.generation import generated_tokens, stepper_of
from carousel.tasks.language_modeling.mixture import NgramShare
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.ngrams import NgramModel

V = 9
CLOSE = {"rtol": 0, "atol": 1e-5}  # softmaxes in single precision


def share(weight: float = 0.3) -> NgramShare:
    return NgramShare(NgramModel.fit(random_tokens(500, seed=8), V, 4), weight)


def wanted(network: Any, given: NgramShare, text: list[int]) -> np.ndarray:
    """P of every next token behind a text, by the formula."""
    with torch.no_grad():
        found = network(torch.tensor(text)[:, None]).dropped[-1]
        own = network.head.logits(found).softmax(-1)[0].double().numpy()
    each = [np.array([*text, v]) for v in range(V)]
    counted = np.exp([given.model.log_probabilities(one)[-1] for one in each])
    return (1 - given.weight) * own + given.weight * counted


@pytest.mark.parametrize("members", [1, 2])
def test_each_step_gives_the_mixture(members: int) -> None:
    torch.manual_seed(2)
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2, "tied": False}
    network = small_network(V) if members == 1 else Ensemble(2, V, **sizes).double().eval()
    given, text = share(), random_tokens(40, seed=9).tolist()
    stepper = stepper_of(network, [4], given)
    with torch.inference_mode():
        found = [stepper.read(text[:20])] + [stepper.step(token) for token in text[20:]]
    for number, scores in enumerate(found):
        expected = wanted(network, given, text[: 20 + number])
        expected[4] = 0.0
        shares = scores[0].softmax(-1).numpy()  # whatever they are shifted by
        np.testing.assert_allclose(shares, expected / expected.sum(), **CLOSE)


@pytest.mark.parametrize("members", [1, 2])
def test_a_share_of_nothing_changes_no_score(members: int) -> None:
    """So that a repetition penalty means the same to every model."""
    torch.manual_seed(2)
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2, "tied": False}
    network = small_network(V) if members == 1 else Ensemble(2, V, **sizes).double().eval()
    text = random_tokens(20, seed=9).tolist()
    with torch.inference_mode():
        plain, mixed = (
            stepper_of(network, [4], given).read(text) for given in (None, share(1e-12))
        )
    torch.testing.assert_close(plain.double(), mixed.double(), **CLOSE)


def test_generation_follows_the_mixture() -> None:
    network, given = small_network(V), share(0.6)
    greedy = SamplingOptions(temperature=0.0)
    tokens = generated_tokens(network, [0, 3], greedy, seed=0, share=given)
    found = list(itertools.islice(tokens, 25))
    text = [0, 3]
    for _ in range(25):
        text.append(int(wanted(network, given, text).argmax()))
    assert found == text[2:]
    alone = list(itertools.islice(generated_tokens(network, [0, 3], greedy, seed=0), 25))
    assert alone != found


# --- a model with such a share ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_has_the_mixture_and_the_network_alone(kind: str) -> None:
    model = fitted(DOCUMENTS, tokenizer=kind, ngram_weight=0.25)
    report = model.evaluate([OTHER])
    alone = model.evaluate([OTHER], ngram_weight=0.0)
    assert report.network is not None
    assert report.network.nats == pytest.approx(alone.model.nats)
    assert alone.network is None
    assert alone.ngram_weight == 0
    counted = alone.nats[next(n for n in alone.nats if n.endswith("-gram"))]
    own = np.array(alone.nats["this model"], np.float64)
    expected = -np.log(0.75 * np.exp(-own) + 0.25 * np.exp(-counted.astype(np.float64)))
    np.testing.assert_allclose(report.nats["this model"], expected, rtol=1e-5)
    assert "a share of 0.25 in the model's predictions; without them it has" in str(report)
    assert "share of" not in str(alone)
    half = model.evaluate([OTHER], adaptation=AdaptationOptions(ngram_weight=0.5))
    assert half.ngram_weight == 0.5
    assert half.to_dict()["network"] == report.to_dict()["network"] is not None


def test_score_and_evaluate_agree_and_so_do_beginnings(tmp_path: Path) -> None:
    model = fitted([TEXT], ngram_weight=0.4)
    scored = model.score(OTHER)
    assert scored.total == pytest.approx(model.evaluate([OTHER]).model.nats, rel=1e-6)
    plain = fitted([TEXT])
    assert plain.score(OTHER).total != pytest.approx(scored.total, rel=1e-3)
    reader = model.sentences()
    begun, found = reader.start(), []
    for token in model.tokenizer.encode("the cat sat").tolist():
        found.append(-float(begun.log_probs[token]))
        assert np.exp(begun.log_probs).sum() == pytest.approx(1)
        [begun] = reader.read([begun], [token])
    whole = model.score("\nthe cat sat\n").nats
    assert [*found, -reader.end_log_prob(begun)] == pytest.approx(whole[1:].tolist(), abs=1e-5)
    kept = LanguageModel.load(model.save(tmp_path / "m"))
    assert kept.score(OTHER).total == scored.total
    assert kept.generate("the", seed=3) == model.generate("the", seed=3) != plain.generate("the")
    assert (
        "- the 7-gram of the training text has a share of 0.4 in every prediction\n" in model.card
    )
    assert "has a share" not in plain.card


def test_no_document_knows_another() -> None:
    """So that their order is nothing, and that each costs what it costs by itself."""
    model = fitted(DOCUMENTS, ngram_weight=0.5)
    some = [OTHER[:90], OTHER[90:200], OTHER[200:290]]
    found, turned = (model.evaluate(texts) for texts in (some, some[::-1]))
    assert found.model.nats == pytest.approx(turned.model.nats, rel=1e-6)
    alone = sum(model.score(text).total for text in some)
    assert found.model.nats == pytest.approx(alone, rel=1e-6)


def test_the_share_can_be_set_and_is_kept(tmp_path: Path) -> None:
    model = fitted([TEXT])
    assert model.ngram_weight == 0
    before = model.score(OTHER).total
    model.ngram_weight = 0.4
    kept = LanguageModel.load(model.save(tmp_path / "m"))
    assert kept.ngram_weight == kept.options.ngram_weight == 0.4
    assert kept.score(OTHER).total == model.score(OTHER).total != before
    assert "has a share of 0.4" in kept.card
    with pytest.raises(OptionError, match=r"'ngram_weight' .*from 0.0 to 0.9"):
        model.ngram_weight = 1.0
    assert model.ngram_weight == 0.4
    with pytest.raises(ModelError, match="nothing to change yet; call fit"):
        LanguageModel().ngram_weight = 0.1


def test_it_goes_with_a_model_that_adapts() -> None:
    model = fitted([TEXT])
    adapted = model.evaluate([OTHER], cache=True)
    both = model.evaluate([OTHER], cache=True, ngram_weight=0.3)
    counted = adapted.nats["7-gram"].astype(np.float64)
    own = adapted.nats["this model"].astype(np.float64)
    expected = -np.log(0.7 * np.exp(-own) + 0.3 * np.exp(-counted))
    np.testing.assert_allclose(both.nats["this model"], expected, rtol=1e-5)


@pytest.mark.parametrize("weight", [-0.1, 1.0])
def test_a_share_that_cannot_be_is_refused(weight: float) -> None:
    for kind in (LanguageModelingOptions, AdaptationOptions):
        with pytest.raises(OptionError, match=r"'ngram_weight' .*from 0.0 to 0.9"):
            kind(ngram_weight=weight)


def test_a_folder_with_a_share_of_everything_is_damaged() -> None:
    model = fitted([TEXT])
    with pytest.raises(ModelError, match=r"a share up to 0\.9 as 'plan\.ngram_weight', got 0\.95"):
        restored(model, {"ngram_weight": 0.95})
    assert restored(model, {}, without=["ngram_weight"]).plan == model._ready("look").plan
