"""The translator: fit, evaluate, translate, stream, save, load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

from carousel.data.ready import ready_groups
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, OptionError
from carousel.inspection.inspection import Inspection
from carousel.tasks.model_folder import ModelFolder
from carousel.tasks.trained import TrainedModel, check_run, chosen_options
from carousel.tasks.translation.aligning import aligned
from carousel.tasks.translation.card import write_card
from carousel.tasks.translation.data import TASK, Tokenizers, options_for, options_to_score
from carousel.tasks.translation.evaluation import evaluate_pairs, pairs_to_score
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.fitting import fitted_to
from carousel.tasks.translation.inspecting import SentenceInspectionOptions, inspected_sentence
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.report import Report
from carousel.tasks.translation.scores import check_tokenizer
from carousel.tasks.translation.translating import (
    LINES_AT_ONCE,
    SENTENCES,
    check_limit,
    check_sentences,
    good_part,
    searched,
    translated,
)
from carousel.tasks.translation.translation import Translation
from carousel.training import Progress, RunOptions


class Translator(TrainedModel[Fitted]):
    """Translates sentences, and says which source word each word came from.

        model = Translator().fit(("train.en", "train.de"))
        print(model.evaluate(("test.en", "test.de")))
        print(model.translate("A man is walking."))

    Args:
        options: a ready ``TranslationOptions``, or
        **values: its fields by name.

    Raises:
        OptionError: for an unknown option (names the nearest) or a value out of range.
    """

    task = TASK
    options_class = TranslationOptions

    def fit(
        self,
        data: Any,
        valid: Any = None,
        run: RunOptions | None = None,
        progress: Progress | None = None,
    ) -> Translator:
        """Trains on all sentence pairs but their holdout.

        Args:
            data: two paths of aligned text files; one path of a table whose first two columns are
                divided by a TAB, or of JSON lines; ``sample:NAME``; or a list of pairs of texts.
            valid: further pairs that choose the weights; by default a part of the data.
            run: how to train; what it leaves open has defaults. ``batch_size`` counts pairs
                of average length: batches are even in tokens.
            progress: where to report; by default what ``run.progress`` says.

        Returns:
            This model.

        Raises:
            DataError: for pairs that cannot be used; names file and line, or both counts.
            OptionError: for options that do not go together.
            MissingDependencyError: where tokenizers is not installed.
            CheckpointError: for a run to resume that is damaged, or another one.
            NonFiniteError: for a loss that is no number; names the pairs.
            TrainingInterruptedError: for Ctrl-C or SIGTERM; says where the checkpoint is.
            OutputError: where the checkpoint cannot be written.
        """
        check_run(run, "max_minutes=10")
        options = options_for(data, self._given)
        if valid is not None and "validation" in self._given:
            raise OptionError(
                "option 'validation' takes a part of the pairs, and 'valid' gives others for it; "
                "leave one of them out"
            )
        self._take(options, *fitted_to(data, valid, options, run, progress))
        return self

    def evaluate(
        self,
        data: Any,
        *,
        search: BeamOptions | None = None,
        encoding: str | None = None,
        source_field: str | None = None,
        target_field: str | None = None,
        bleu_tokenizer: str = "13a",
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> Report:
        """Translates the sources of pairs, and scores the translations.

        Args:
            data: as for ``fit``, its sides in the order that they had there. Of the very pairs that
                were fitted to, the held-out part; of others all, and the report says how many of
                their sources the model was fitted to.
            search: how translations are searched for, or
            encoding: of the files, where it is not that of the training pairs.
            source_field, target_field: of JSON lines, likewise.
            bleu_tokenizer: what words are to BLEU: "13a" where blanks divide them, "intl" to
                divide at every sign, "zh" for Chinese, "char" for any script without blanks.
            progress: told how many sentences are translated, and of how many.
            **values: fields of ``BeamOptions`` by name, such as ``beam=10``.

        Returns:
            BLEU and chrF by sacreBLEU, beside those of a word-by-word translation and of the copied
            source, by length of sentence, with examples.

        Raises:
            DataError: where there is no pair that is new to the model, or, of others than fitting
                held out, one that is far longer than a sentence.
            OptionError: for an option out of range, or ``best``.
            MissingDependencyError: where sacrebleu is not installed.
        """
        fitted = self._ready("evaluate")
        search = _of_the_best(chosen_options(BeamOptions, search, values))
        check_tokenizer(bleu_tokenizer)
        given = {"encoding": encoding, "source_field": source_field, "target_field": target_field}
        options = options_to_score(data, fitted.options, given)
        scored = pairs_to_score(fitted, data, options)
        return evaluate_pairs(fitted, scored, search, bleu_tokenizer, progress)

    @overload
    def translate(
        self,
        texts: str,
        *,
        max_tokens: int | None = None,
        search: BeamOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> str: ...

    @overload
    def translate(
        self,
        texts: Sequence[str],
        *,
        max_tokens: int | None = None,
        search: BeamOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> list[str]: ...

    def translate(
        self,
        texts: str | Sequence[str],
        *,
        max_tokens: int | None = None,
        search: BeamOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> str | list[str]:
        """Translates a sentence, or several; a sentence's translation does not hang on the others.

        Args:
            texts: a sentence, or a list of them; one without words is translated to "".
            max_tokens: most subwords of a translation, its end among them; by default twice those
                of the source and 20 more.
            search: how translations are searched for, or
            progress: told how many sentences are done, and of how many.
            **values: fields of ``BeamOptions`` by name.

        Returns:
            A text for each.

        Raises:
            DataError: for what is no text, or far longer than a sentence.
            OptionError: for an option out of range, or ``best``: ``translations`` has the others.
        """
        search = _of_the_best(chosen_options(BeamOptions, search, values))
        given = [texts] if isinstance(texts, str) else texts
        found = self.translations(given, max_tokens=max_tokens, search=search, progress=progress)
        return found[0].text if isinstance(texts, str) else [one.text for one in found]

    def translations(
        self,
        texts: Sequence[str],
        *,
        max_tokens: int | None = None,
        search: BeamOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> list[Translation]:
        """Returns what ``translate`` does with scores, alignment, and the next best of each.

        Args:
            texts: and all else as for ``translate``.
            max_tokens: most subwords of a translation.
            search: of which ``best`` is how many translations of each there may be.
            progress: told how many are done.
            **values: fields of ``BeamOptions``.

        Returns:
            A translation for each text; further ones of it are its ``others``.

        Raises:
            DataError: for what is no text, or far longer than a sentence.
            OptionError: for an option out of range.
        """
        fitted = self._ready("translate with")
        search = chosen_options(BeamOptions, search, values)
        _check_list(texts)
        return translated(fitted, list(texts), search, max_tokens, progress)

    def stream(
        self,
        texts: Iterable[str],
        *,
        max_tokens: int | None = None,
        search: BeamOptions | None = None,
        source: str = SENTENCES,
        **values: Any,
    ) -> Iterator[Translation]:
        """Yields the translation of each text as soon as it can, in their order.

        A list is checked whole before the first translation. Other texts are read in a thread of
        their own, what has come meanwhile is translated together, and those before a wrong one are
        translated.

        Args:
            texts: such as the lines of standard input.
            max_tokens: and
            search: and
            source: what the texts are called where one is wrong, such as their file.
            **values: as for ``translate``.

        Raises:
            DataError: for what is no text, or far longer than a sentence: of a list at once, of
                other texts when its turn comes.
            OptionError: for an option out of range, at once.
        """
        fitted = self._ready("translate with")
        search = chosen_options(BeamOptions, search, values)
        check_limit(max_tokens)
        _check_list(texts)
        if isinstance(texts, Sequence):
            texts = list(texts)
            check_sentences(fitted, texts, source)
        return _streamed(fitted, texts, search, max_tokens, source)

    def align(self, sources: Iterable[str], targets: Iterable[str]) -> list[Translation]:
        """Says of given translations which source word each of their words comes from.

        Args:
            sources: sentences.
            targets: their translations.

        Returns:
            Each pair with its attention; ``score`` and ``log_probability`` are ln P of the target.

        Raises:
            DataError: for lists of unequal length, none, or what is no text, or far longer than a
                sentence.
        """
        fitted = self._ready("align with")
        _check_list(sources)
        _check_list(targets)
        return aligned(fitted, list(sources), list(targets))

    def inspect(
        self,
        text: str,
        *,
        flow: bool = False,
        options: SentenceInspectionOptions | None = None,
        **values: Any,
    ) -> Inspection:
        """Translates a sentence and returns every value that the layers had at that.

        Args:
            text: a sentence, itself and no path.
            flow: whether to work out how far gradients reach back in each layer.
            options: what is looked at, or
            **values: fields of ``SentenceInspectionOptions`` by name, such as ``target=`` a
                translation to read in place of the model's own.

        Returns:
            The axis "source", which the encoder reads in both directions, and the axis "target",
            with the subword that the decoder writes at each step, having read the one before it;
            and what each attended to. Of a model of several networks the values are those of one.
            Where it is asked for, what each subword of the source did for the log-probability of
            each of the target.

        Raises:
            DataError: for what is no sentence, or far longer than one.
            OptionError: for an option out of range.
        """
        fitted = self._ready("inspect")
        chosen = chosen_options(SentenceInspectionOptions, options, values)
        seen = inspected_sentence(fitted, text, chosen)
        return seen.with_gradients() if flow else seen

    @classmethod
    def _restored(cls, folder: ModelFolder) -> Fitted:
        return Fitted.restore(folder.config, folder.tensors, folder.assets)

    def _written_card(self, fitted: Fitted) -> str:
        return write_card(fitted)

    @property
    def tokenizers(self) -> Tokenizers:
        """What makes subwords of source and target."""
        return self._ready("describe").tokenizers

    @property
    def network(self) -> TranslationNetwork:
        """The trained network, in evaluation mode."""
        return self._ready("describe").network


def _streamed(
    fitted: Fitted,
    texts: Iterable[str],
    search: BeamOptions,
    max_tokens: int | None,
    source: str,
) -> Iterator[Translation]:
    line = 1
    for group in _groups(texts):
        # The lines before a wrong one are not lost.
        good, error = good_part(fitted, group, source, line)
        yield from searched(fitted, good, search, max_tokens, None)
        if error is not None:
            raise error
        line += len(group)


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yields the texts that are translated together: of a list always the same, as sums round."""
    if not isinstance(texts, list):
        yield from ready_groups(texts, LINES_AT_ONCE)
        return
    for first in range(0, len(texts), LINES_AT_ONCE):
        yield texts[first : first + LINES_AT_ONCE]


def _of_the_best(search: BeamOptions) -> BeamOptions:
    """Returns the options of a search whose best hypothesis alone is wanted."""
    if search.best > 1:
        raise OptionError(
            f"option 'best' asks for {search.best} translations of a sentence, of which only the "
            f"first would be used; leave it out, or call translations, which returns them all"
        )
    return search


def _check_list(texts: Any) -> None:
    """Refuses what would be taken apart into what is no sentence."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise DataError(f"expected a list of texts, got {repr(texts)[:40]}; give [text]")
