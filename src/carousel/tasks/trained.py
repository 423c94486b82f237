"""What the models of all tasks share: options, a fit, a folder to save it in, a card, a history."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from carousel.errors import ModelError, OptionError
from carousel.tasks.model_folder import ModelFolder, check_model_target
from carousel.training import HISTORY_FILE, History, RunOptions, TrainingResult
from carousel.training.devices import chosen_device

Options = TypeVar("Options")


def chosen_options(
    cls: type[Options], options: Options | None, values: Mapping[str, Any]
) -> Options:
    """Returns a ready options object, or the one that single values make.

    Raises:
        OptionError: where both are given, or a value is not the class's.
    """
    if options is not None and values:
        raise OptionError("give either an options object or single options, not both")
    return cls(**values) if options is None else options


def _told(options: Any) -> dict[str, Any]:
    """Returns what an options object says that its class does not say of itself."""
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    return {
        name: getattr(options, name)
        for name, default in fields.items()
        if getattr(options, name) != default
    }


# What a card tells of a run, with the score by which its weights were chosen.
RUN_FACTS = (
    "steps",
    "epochs",
    "minutes",
    "stop_reason",
    "validation_score",
    "best_step",
    "run",
    "torch",
)


def run_facts(result: TrainingResult, run: RunOptions) -> dict[str, Any]:
    """Returns ``RUN_FACTS`` of a run; its score is in the unit of the task's metric.

    Args:
        result: of the run.
        run: as the task filled it.
    """
    values = (
        result.steps,
        result.epochs,
        round(result.seconds / 60, 2),
        result.stop_reason,
        result.best_score,
        result.best_step,
        run.complete().deciding(),
        torch.__version__,
    )
    return dict(zip(RUN_FACTS, values, strict=True))


def check_run(run: Any, example: str) -> None:
    """Refuses what is no ``RunOptions``; ``example`` is one that the task's users would write."""
    if not isinstance(run, RunOptions | None):
        raise OptionError(f"run expects RunOptions, such as RunOptions({example}), got {run!r}")


@runtime_checkable
class Parts(Protocol):
    """What a fit leaves behind, and how it becomes files."""

    @property
    def network(self) -> nn.Module:
        """What was trained."""
        ...

    def config(self) -> dict[str, Any]:
        """Returns the plain values of ``config.json``."""
        ...

    def tensors(self) -> Mapping[str, Tensor]:
        """Returns the weights by name."""
        ...

    def assets(self) -> Mapping[str, bytes]:
        """Returns the other files by name."""
        ...


Fit = TypeVar("Fit", bound=Parts)
Model = TypeVar("Model", bound="TrainedModel[Any]")


class TrainedModel(Generic[Fit]):
    """A model of some task; a class for each derives from it.

    Args:
        options: a ready options object of the task, or
        **values: its fields by name.

    Raises:
        OptionError: for an unknown option (names the nearest) or a value out of range.
    """

    task: ClassVar[str]
    options_class: ClassVar[Any]

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        cls = self.options_class
        if options is not None and not isinstance(options, cls):
            raise OptionError(
                f"expected {cls.__name__}, or single options by name, got {options!r}"
            )
        self.options = chosen_options(cls, options, values)
        self._given = values if options is None else _told(options)
        self._fitted: Fit | None = None
        self._history = History()
        self._card = ""

    def to(self: Model, device: str) -> Model:
        """Moves the network; all that the model is asked for from now on is computed there.

            model = carousel.load("weather.model").to("auto")

        What was just fitted or loaded is on the CPU, whichever device it was trained on, and what
        is saved can be loaded anywhere. On a GPU numbers differ from the CPU's by rounding. Streams
        that have begun are to be begun anew.

        Args:
            device: "cpu", "cuda", or "auto", which takes a GPU if there is one.

        Returns:
            This model.

        Raises:
            ModelError: for a model that is not fitted.
            OptionError: for "cuda" where PyTorch sees no GPU, and for another name.
        """
        self._ready("move").network.to(chosen_device(device))
        return self

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Saves the model as a folder, whole or not at all.

        Raises:
            OutputError: where the folder exists and ``force`` is not set, or cannot be written.
        """
        fitted = self._ready("save")
        check_model_target(folder, force=force)
        return ModelFolder(
            task=self.task,
            config=fitted.config(),
            tensors=fitted.tensors(),
            assets={**fitted.assets(), HISTORY_FILE: self._history.to_bytes()},
            card=self.card,
        ).write(folder, force=force)

    @classmethod
    def load(cls: type[Model], folder: str | Path) -> Model:
        """Loads a model that ``save`` wrote.

        Raises:
            ModelError: where it is missing, damaged, of another task or of a newer version.
        """
        return cls.from_folder(ModelFolder.read(folder, task=cls.task))

    @classmethod
    def from_folder(cls: type[Model], folder: ModelFolder) -> Model:
        """Makes the model from a folder that has been read."""
        fitted = cls._restored(folder)
        model = cls(fitted.options)
        model._fitted = fitted
        model._card = folder.card
        model._history = History.from_bytes(folder.assets[HISTORY_FILE])
        return model

    @property
    def history(self) -> History:
        """The training run, record by record."""
        return self._history

    @property
    def card(self) -> str:
        """The model card, Markdown; that of a loaded model as it was found, notes and all."""
        fitted = self._ready("describe")
        return self._card or self._written_card(fitted)

    def _take(self, options: Any, fitted: Fit, history: History) -> None:
        """Takes what a fit gave."""
        self.options, self._fitted, self._history, self._card = options, fitted, history, ""

    def _ready(self, verb: str) -> Fit:
        if self._fitted is None:
            raise ModelError(f"there is nothing to {verb} yet; call fit first, or load a model")
        return self._fitted

    @classmethod
    def _restored(cls, folder: ModelFolder) -> Fit:
        """Returns the parts that a folder holds; a ModelError where they do not fit together."""
        raise NotImplementedError

    def _written_card(self, fitted: Fit) -> str:
        """Returns the card of a model that has none yet."""
        raise NotImplementedError
