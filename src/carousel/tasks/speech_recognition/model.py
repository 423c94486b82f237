"""The recogniser: fit, evaluate, transcribe, stream, save, load."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from carousel.errors import DataError, OptionError
from carousel.inspection.inspection import Inspection
from carousel.tasks.model_folder import ModelFolder
from carousel.tasks.speech_recognition.card import write_card
from carousel.tasks.speech_recognition.data import TASK, options_for
from carousel.tasks.speech_recognition.evaluation import evaluate_recordings, recordings_to_score
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.fitting import fitted_to
from carousel.tasks.speech_recognition.inspecting import SoundInspectionOptions, inspected_sound
from carousel.tasks.speech_recognition.network import AcousticNetwork
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.recognition import ListeningOptions, Search, Transcript
from carousel.tasks.speech_recognition.report import Report
from carousel.tasks.speech_recognition.streaming import (
    RecognitionStream,
    check_streams,
    latency_seconds,
)
from carousel.tasks.speech_recognition.transcribing import (
    check_sound,
    frames_of_samples,
    transcribed,
    transcribed_files,
)
from carousel.tasks.trained import TrainedModel, check_run, chosen_options
from carousel.training import Progress, RunOptions


class Recognizer(TrainedModel[Fitted]):
    """Writes down what is said, with the times of the words and how sure it is of them.

        model = Recognizer().fit("recordings.tsv")
        print(model.evaluate("test.tsv"))
        print(model.transcribe("one.wav"))

    Args:
        options: a ready ``RecognitionOptions``, or
        **values: its fields by name.

    Raises:
        OptionError: for an unknown option (names the nearest) or a value out of range.
    """

    task = TASK
    options_class = RecognitionOptions
    _last: Search | None = None

    def fit(
        self,
        data: Any,
        valid: Any = None,
        run: RunOptions | None = None,
        progress: Progress | None = None,
    ) -> Recognizer:
        """Trains on all recordings but their holdout.

        Args:
            data: a manifest (a table with a header, ``.tsv`` or ``.csv``, or JSON lines) with the
                columns audio and text, and start, end (seconds), speaker and name where there are
                any; a Kaldi data folder; ``sample:NAME``; or a list of dicts or of pairs
                (audio, text). Audio is whatever libsndfile reads, or ready features: ``.npy``
                (frames, features) or Sphinx ``.mfc``, 100 frames a second.
            valid: further recordings that choose the weights; by default a part of the data.
            run: how to train; what it leaves open has defaults. ``batch_size`` counts recordings
                of average length: batches are even in frames.
            progress: where to report; by default what ``run.progress`` says.

        Returns:
            This model.

        Raises:
            DataError: for recordings that cannot be used; names file and line.
            OptionError: for options that do not go together.
        """
        check_run(run, "max_minutes=10")
        options = options_for(data, self._given)
        if valid is not None and "validation" in self._given:
            raise OptionError(
                "option 'validation' takes a part of the recordings, and 'valid' gives others for "
                "it; leave one of them out"
            )
        self._take(options, *fitted_to(data, valid, options, run, progress))
        return self

    def evaluate(
        self,
        data: Any,
        *,
        listening: ListeningOptions | None = None,
        skip_broken: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> Report:
        """Transcribes recordings that fitting has not heard, and counts the errors.

        Args:
            data: as for ``fit``. Of the very recordings that were fitted to, the held-out part.
            listening: how words are searched for, or
            skip_broken: whether recordings that cannot be read are left out and counted.
            progress: told how many recordings are done, and of how many.
            **values: fields of ``ListeningOptions`` by name, such as ``beam=50``.

        Returns:
            Errors per word and per character beside those of the most frequent sentence, by
            speaker, what is confused, and the recordings with the most errors.

        Raises:
            DataError: where there is no recording that is new to the model, or one is broken.
            OptionError: for an option out of range.
        """
        fitted = self._ready("evaluate")
        chosen = chosen_options(ListeningOptions, listening, values)
        if chosen.best > 1:
            raise OptionError(
                f"option 'best' asks for {chosen.best} transcripts of a recording, of which only "
                f"the first would be scored; leave it out"
            )
        search = self._search(fitted, chosen)
        options = dataclasses.replace(fitted.options, skip_broken=skip_broken)
        scored = recordings_to_score(fitted, data, options)
        return evaluate_recordings(fitted, *scored, search, skip_broken, progress)

    def transcribe(
        self,
        sound: Any,
        *,
        rate: int | None = None,
        listening: ListeningOptions | None = None,
        **values: Any,
    ) -> Transcript:
        """Writes down what a recording says.

        Args:
            sound: path of a file; or samples (N,) or (N, channels), whole numbers of any width or
                floats from -1 to 1.
            rate: of samples, Hz; a file says it itself.
            listening: how words are searched for, or
            **values: fields of ``ListeningOptions`` by name, such as ``best=5``.

        Returns:
            The text, its words with their times and confidences, and the next best where
            ``best`` asks for them; the text is "" for silence.

        Raises:
            DataError: for what cannot be read.
            OptionError: for an option out of range.
        """
        fitted = self._ready("transcribe with")
        search = self._search(fitted, chosen_options(ListeningOptions, listening, values))
        check_sound(sound, rate)
        if isinstance(sound, str | Path):
            return transcribed_files(fitted, [str(sound)], search)[0]
        return transcribed(fitted, [frames_of_samples(fitted, sound, rate)], search)[0]

    def transcripts(
        self,
        files: Sequence[str | Path],
        *,
        listening: ListeningOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> list[Transcript]:
        """Writes down what some files say, several at a time; see ``transcribe``."""
        fitted = self._ready("transcribe with")
        if isinstance(files, str | Path):
            raise DataError(f"expected a list of files, got {str(files)[:40]!r}; give [file]")
        search = self._search(fitted, chosen_options(ListeningOptions, listening, values))
        return transcribed_files(fitted, [str(path) for path in files], search, progress)

    def inspect(
        self,
        sound: Any,
        *,
        rate: int | None = None,
        flow: bool = False,
        options: SoundInspectionOptions | None = None,
        **values: Any,
    ) -> Inspection:
        """Hears a recording and returns every value that the layers had at each step.

        Args:
            sound: path of a file, or samples, as for ``transcribe``.
            rate: of samples, Hz; a file says it itself.
            flow: whether to work out how far gradients reach back in each layer.
            options: what is looked at, or
            **values: fields of ``SoundInspectionOptions`` by name, such as ``start=1.5``.

        Returns:
            The axis "recording", a step for each time that the layers have, with the mean of the
            features that it stands for. Where it is asked for, what each step of the sound did for
            the log-probability of a symbol.

        Raises:
            DataError: for what cannot be read, has no frame, or is too long to be read whole.
            OptionError: for an option out of range.
        """
        fitted = self._ready("inspect")
        chosen = chosen_options(SoundInspectionOptions, options, values)
        seen = inspected_sound(fitted, sound, rate, chosen)
        return seen.with_gradients() if flow else seen

    def stream(
        self, rate: int, *, listening: ListeningOptions | None = None, **values: Any
    ) -> RecognitionStream:
        """Begins an utterance that is transcribed while it is spoken.

            stream = model.stream(rate=16000)
            for chunk in microphone:
                print(stream.feed(chunk))
            print(stream.finish())

        Args:
            rate: of the samples that come, Hz.
            listening: how words are searched for, or
            **values: fields of ``ListeningOptions`` by name.

        Raises:
            ModelError: for a model that was not fitted with ``streaming=True``, or not to sound.
            OptionError: for an option or a rate out of range.
        """
        fitted = self._ready("stream with")
        check_streams(fitted)
        search = self._search(fitted, chosen_options(ListeningOptions, listening, values))
        return RecognitionStream(fitted, rate, search)

    @property
    def latency_seconds(self) -> float:
        """How far a stream is behind what is said, in seconds, computing time aside."""
        return latency_seconds(self._ready("describe"))

    def __getstate__(self) -> dict[str, Any]:
        """Returns what is pickled: all but the last search, whose caches cannot be."""
        return {name: value for name, value in self.__dict__.items() if name != "_last"}

    def _search(self, fitted: Fitted, listening: ListeningOptions) -> Search:
        """Returns such a search; the last one is kept, with all that it has looked up so far."""
        last = self._last
        if last is None or not last.is_of(fitted, listening):
            last = self._last = Search(fitted, listening)
        return last

    @classmethod
    def _restored(cls, folder: ModelFolder) -> Fitted:
        return Fitted.restore(folder.config, folder.tensors, folder.assets)

    def _written_card(self, fitted: Fitted) -> str:
        return write_card(fitted)

    @property
    def network(self) -> AcousticNetwork:
        """The trained network, in evaluation mode."""
        return self._ready("describe").network
