"""The language model: fit, evaluate, generate, score, save, load."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from carousel.data.tokenizers import Tokenizer
from carousel.decoding.sampling import SamplingOptions
from carousel.errors import DataError, OptionError
from carousel.inspection.inspection import Inspection
from carousel.tasks.language_modeling.adaptation import AdaptationOptions
from carousel.tasks.language_modeling.card import write_card
from carousel.tasks.language_modeling.data import TASK, open_texts, options_for, tokenize
from carousel.tasks.language_modeling.ensemble import Network
from carousel.tasks.language_modeling.fitted import Fitted
from carousel.tasks.language_modeling.fitting import fitted_to
from carousel.tasks.language_modeling.generation import (
    generated_text,
    generated_tokens,
    prompt_tokens,
)
from carousel.tasks.language_modeling.inspecting import TextInspectionOptions, inspected_text
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.report import Report
from carousel.tasks.language_modeling.scoring import ScoredText, evaluate_part, score_text
from carousel.tasks.language_modeling.sentences import SentenceReader
from carousel.tasks.model_folder import ModelFolder
from carousel.tasks.trained import TrainedModel, check_run, chosen_options
from carousel.training import Progress, RunOptions


class LanguageModel(TrainedModel[Fitted]):
    """Predicts the next token of a text: a character, a byte, a word or a part of one.

        model = LanguageModel().fit("book.txt")
        print(model.evaluate("book.txt"))
        print(model.generate("It was a dark"))

    Args:
        options: a ready ``LanguageModelingOptions``, or
        **values: its fields by name.

    Raises:
        OptionError: for an unknown option (names the nearest) or a value out of range.
    """

    task = TASK
    options_class = LanguageModelingOptions

    def fit(
        self,
        data: Any,
        valid: Any = None,
        run: RunOptions | None = None,
        progress: Progress | None = None,
    ) -> LanguageModel:
        """Trains on all of a text but its holdout.

        Args:
            data: a path (text, JSON lines, either with .gz; a folder; a pattern), ``sample:NAME``,
                or a list of texts.
            valid: further text that chooses the weights; by default what lies before the holdout.
            run: how to train; what it leaves open has defaults.
            progress: where to report; by default what ``run.progress`` says.

        Returns:
            This model.

        Raises:
            DataError: for text that cannot be used; names file, line and byte.
            OptionError: for options that do not go together.
        """
        check_run(run, "max_minutes=10")
        options = options_for(data, self._given)
        if valid is not None and "validation" in self._given:
            raise OptionError(
                "option 'validation' takes a part of the text, and 'valid' gives another text for "
                "it; leave one of them out"
            )
        self._take(options, *fitted_to(data, valid, options, run, progress))
        return self

    def evaluate(
        self,
        data: Any,
        *,
        adaptation: AdaptationOptions | None = None,
        encoding: str | None = None,
        field: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> Report:
        """Scores text that fitting has not seen: every token once, in order, the state carried.

        Args:
            data: as for ``fit``. Of a text that begins with what was trained on, the rest.
            adaptation: what the model may learn from the text while it reads, or
            encoding: of the files, where it is not that of the training text.
            field: of JSON lines, likewise.
            progress: told how many tokens are scored, and of how many.
            **values: fields of ``AdaptationOptions`` by name, such as ``dynamic=True``.

        Returns:
            Perplexity in all units, beside an n-gram model's and the unigram's.

        Raises:
            DataError: where there is no text that is new to the model, or a token it lacks.
        """
        fitted = self._ready("evaluate")
        adaptation = chosen_options(AdaptationOptions, adaptation, values)
        reading: dict[str, Any] = {"encoding": encoding, "field": field}
        options = dataclasses.replace(
            fitted.options, **{name: given for name, given in reading.items() if given is not None}
        )
        texts = open_texts(data, options)
        begin = fitted.seen.begin_of_unseen(texts)
        size = texts.measure().characters
        if begin >= size:
            raise DataError(
                "no text to score: the model has seen all of it; give other text, or fit with a "
                "holdout",
                source=texts.name,
            )
        part = tokenize(texts, fitted.tokenizer, begin, None, ends=fitted.several)
        scope = f"{part.characters:,} characters of {texts.name}"
        if begin:
            scope += f", behind the {begin:,} that fitting has seen"
        lines = fitted.seen.lines
        seen = (0, 0) if lines is None else lines.overlap(texts.pieces(begin))
        return evaluate_part(fitted, part, scope, adaptation, progress, seen)

    def score(self, text: str) -> ScoredText:
        """Says how likely a text is as a document, token by token.

        Raises:
            DataError: for an empty text, or a character that the model does not know.
        """
        return score_text(self._ready("score"), text)

    def inspect(
        self,
        text: str,
        *,
        flow: bool = False,
        options: TextInspectionOptions | None = None,
        **values: Any,
    ) -> Inspection:
        """Reads a text and returns every value that its layers had at each of its tokens.

            print(model.inspect('She said "no" (twice).', explain="both"))

        Args:
            text: the text itself and no path, as for ``score``, ``generate`` and ``carousel
                predict``; it is read as a document of its own, from its begin.
            flow: whether to work out how far gradients reach back in each layer.
            options: what is looked at, or
            **values: fields of ``TextInspectionOptions`` by name, such as ``explain="both"``.

        Returns:
            The axis "text", a step a token: its values are those behind it. Beside it run what a
            reader knows at each: the position in line and word, indentation, quotes and brackets.
            Where it is asked for, what each token did for the log-probability of a later one.

        Raises:
            DataError: for an empty text, one that is too long, or a character that the model does
                not know.
            OptionError: for an option out of range.
        """
        fitted = self._ready("inspect")
        chosen = chosen_options(TextInspectionOptions, options, values)
        seen = inspected_text(fitted, text, chosen)
        return seen.with_gradients() if flow else seen

    def generate(
        self,
        prompt: str = "",
        *,
        max_tokens: int = 500,
        stop: str | Sequence[str] = (),
        seed: int = 0,
        options: SamplingOptions | None = None,
        **values: Any,
    ) -> str:
        """Writes on from a prompt.

        Args:
            prompt: what the text begins with; empty for the begin of a document.
            max_tokens: most tokens written.
            stop: strings at which to stop, themselves left out.
            seed: of the draws; the same seed gives the same text.
            options: how tokens are drawn, or
            **values: fields of ``SamplingOptions`` by name, such as ``temperature=0.8``.

        Returns:
            The text behind the prompt.

        Raises:
            DataError: for a prompt with a character that the model does not know.
            OptionError: for an option out of range.
        """
        return "".join(
            self.stream(
                prompt, max_tokens=max_tokens, stop=stop, seed=seed, options=options, **values
            )
        )

    def stream(
        self,
        prompt: str = "",
        *,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int = 0,
        options: SamplingOptions | None = None,
        **values: Any,
    ) -> Iterator[str]:
        """Yields what ``generate`` returns, as it is written; for ever without ``max_tokens``."""
        fitted = self._ready("generate from")
        sampling = chosen_options(SamplingOptions, options, values)
        if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
            raise OptionError(f"max_tokens expects a whole number from 1 on, got {max_tokens!r}")
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise OptionError(f"seed expects a whole number from 0 to 2^63 - 1, got {seed!r}")
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(s, str) and s for s in stops):
            raise OptionError(f"stop expects strings that are not empty, got {stop!r}")
        tokenizer = fitted.tokenizer
        tokens = generated_tokens(
            fitted.network,
            prompt_tokens(tokenizer, prompt),
            sampling,
            seed=seed,
            forbidden=_never_written(fitted),
            share=fitted.share(),
        )
        return generated_text(tokenizer, tokens, stops, max_tokens, prompt)

    def sentences(self) -> SentenceReader:
        """Returns what reads beginnings of sentences token by token, several of them at a time.

        Raises:
            ModelError: for a model that is not fitted, or has read no sentence's end.
        """
        return SentenceReader(self._ready("read with"))

    @classmethod
    def _restored(cls, folder: ModelFolder) -> Fitted:
        return Fitted.restore(folder.config, folder.tensors, folder.assets)

    def _written_card(self, fitted: Fitted) -> str:
        return write_card(fitted)

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes tokens of text."""
        return self._ready("describe").tokenizer

    @property
    def ngram_weight(self) -> float:
        """Share that n-grams have in every prediction, from 0 to 0.9.

        It can be set, and is saved with the model: no training depends on it.
        """
        return self._ready("describe").plan.ngram_weight

    @ngram_weight.setter
    def ngram_weight(self, weight: float) -> None:
        fitted = self._ready("change")
        options = dataclasses.replace(fitted.options, ngram_weight=weight)  # which checks it
        plan = dataclasses.replace(fitted.plan, ngram_weight=options.ngram_weight)
        self._take(options, dataclasses.replace(fitted, options=options, plan=plan), self._history)

    @property
    def network(self) -> Network:
        """The trained network, in evaluation mode."""
        return self._ready("describe").network


def _never_written(fitted: Fitted) -> list[int]:
    """Returns the tokens that are no text: the unknown word, and an end that was not learned."""
    tokenizer = fitted.tokenizer
    found = [] if tokenizer.unknown is None else [tokenizer.unknown]
    return found if fitted.several else [*found, tokenizer.end]
