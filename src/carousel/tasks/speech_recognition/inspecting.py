"""What a recogniser does while it hears a recording, step by step of its layers.

Letters: T frames, k frames for a step, S steps, F features of a frame, D features that the network
sees, B copies of the recording, V symbols with the blank.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from carousel.data.audio_files import audio_facts
from carousel.errors import DataError, OptionError
from carousel.inspection.contents import Axis
from carousel.inspection.inspection import Inspection
from carousel.options import option, options
from carousel.tasks.inspected import (
    Question,
    attributions,
    check_explained,
    explain_option,
    watched,
)
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.long_audio import LONGEST
from carousel.tasks.speech_recognition.network import BLANK
from carousel.tasks.speech_recognition.recognition import heard
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.transcribing import check_sound, frames_of_samples
from carousel.tasks.text_tracks import visible

_AXIS = "recording"


@options
class SoundInspectionOptions:
    """What of a recording is looked at.

    Raises:
        OptionError: for a time to explain where nothing is explained.
    """

    explain: str = explain_option("which part of the sound made a symbol likely")
    step: int | None = option(
        default=None,
        help="the step at which the likeliest symbol is explained, counted from 0; default: where "
        "one that is not the blank is surest",
        low=0,
    )
    start: float | None = option(
        default=None, help="where in a file the part begins", unit="seconds", low=0.0
    )
    end: float | None = option(default=None, help="where it ends", unit="seconds", low=0.0)

    def __post_init__(self) -> None:
        check_explained(self.explain, step=self.step)


def inspected_sound(
    fitted: Fitted, sound: Any, rate: int | None, chosen: SoundInspectionOptions
) -> Inspection:
    """Hears a recording; see ``Recognizer.inspect``."""
    check_sound(sound, rate)
    plain = _plain(fitted, sound, rate, chosen)
    frontend, network = fitted.frontend, fitted.network
    if len(plain) == 0:
        raise DataError("expected a sound, got one too short for a single frame; give more")
    seconds = len(plain) * frontend.frame_seconds
    if seconds > LONGEST:
        raise _too_long(seconds)
    frames = torch.from_numpy(frontend.seen(frontend.scaled(plain, None)))
    lengths = torch.tensor([len(frames)])
    seen = watched(network, partial(heard, fitted, frames[:, None], lengths), lambda path: _AXIS)
    said = seen.result[0][:, 0].cpu()
    axis = _axis(fitted, plain, said, chosen.start or 0.0)
    questions = []
    if chosen.explain != "nothing":
        step, symbol = _explained(chosen.step, said)
        questions = [_question(fitted, frames, step, symbol, axis)]
    name = Path(sound).name if isinstance(sound, str | Path) else "samples"
    return Inspection(
        title=f"recogniser, {name}",
        axes={_AXIS: axis},
        layers=seen.layers,
        attributions=attributions(chosen.explain, questions),
    )


def _plain(
    fitted: Fitted, sound: Any, rate: int | None, chosen: SoundInspectionOptions
) -> Float32[np.ndarray, "T F"]:
    """Returns the features of a file, of a part of it, or of samples, as they are."""
    times = [chosen.start, chosen.end]
    if not isinstance(sound, str | Path):
        if times != [None, None]:
            raise OptionError(
                "start and end are for a part of a file; leave them out and cut the samples"
            )
        return frames_of_samples(fitted, sound, rate)
    if fitted.frontend.features is not None:
        end = audio_facts(sound).seconds if chosen.end is None else chosen.end
        if (seconds := end - (chosen.start or 0.0)) > LONGEST:  # refused before it is read
            raise _too_long(seconds, sound)
    return fitted.frontend.plain(str(sound), *times)


def _too_long(seconds: float, source: str | Path | None = None) -> DataError:
    return DataError(
        f"expected a recording of at most {LONGEST:g} s, which is read whole, got {seconds:.1f} s; "
        f"give a part of it (start and end, in seconds, of a file)",
        source=source,
    )


def _axis(
    fitted: Fitted,
    plain: Float32[np.ndarray, "T F"],
    said: Float[Tensor, "S V"],
    start: float,
) -> Axis:
    """Returns the recording at the steps of the layers, each the mean of its frames."""
    S, step = len(said), fitted.plan.subsampling
    begins = step * np.arange(S)
    counts = np.minimum(begins + step, len(plain)) - begins
    values = np.add.reduceat(plain, begins) / counts[:, None]
    tracks = {"probability of the blank": said[:, BLANK].exp().numpy()}
    loudness = _energy(fitted, values)
    if loudness is not None:
        tracks["energy"] = loudness
    times = start + begins * fitted.frontend.frame_seconds
    return Axis(
        name=_AXIS,
        kind="spectrogram",
        names=[f"{time:.2f} s" for time in times],
        values=values.astype(np.float32),
        columns=_columns(fitted, plain.shape[1]),
        tracks=tracks,
        unit=f"frame of {1000 * fitted.step_seconds:g} ms",
    )


def _energy(fitted: Fitted, values: Float[np.ndarray, "S F"]) -> Float32[np.ndarray, " S"] | None:
    """Returns the logarithm of the energy in all filters; None of ready features."""
    if fitted.plan.features == "log_mel":
        return np.logaddexp.reduce(values, axis=1).astype(np.float32)
    if fitted.plan.features == "mfcc":  # the first is √(1/bins) times the sum of the logarithms
        return values[:, 0].astype(np.float32)
    return None


def _columns(fitted: Fitted, size: int) -> list[str]:
    """Returns what the features are called: of mel filters, where their middles lie."""
    features = fitted.frontend.features
    if features is None:
        return [f"feature {number}" for number in range(1, size + 1)]
    if features.kind == "mfcc":
        return [f"cepstrum {number}" for number in range(size)]
    return [f"{middle:.0f} Hz" for middle in features.middles]


def _explained(step: int | None, said: Float[Tensor, "S V"]) -> tuple[int, int]:
    """Returns the step to explain, and its symbol."""
    if step is None:
        symbols = said.clone()
        symbols[:, BLANK] = -torch.inf
        step = int(symbols.max(1).values.argmax())
        return step, int(symbols[step].argmax())
    if step >= len(said):
        raise OptionError(
            f"step expects one of the recording, from 0 to {len(said) - 1}, got {step}"
        )
    return step, int(said[step].argmax())


def _question(
    fitted: Fitted, frames: Float[Tensor, "T D"], step: int, symbol: int, axis: Axis
) -> Question:
    """Returns the question which part of the sound made a step's symbol likely.

    What is compared with has every feature at its mean throughout.
    """
    network, k = fitted.network, fitted.plan.subsampling
    missing = len(axis) * k - len(frames)
    device = network.output.weight.device
    filled = functional.pad(frames.to(device), (0, 0, 0, missing))

    def log_probability(x: Float[Tensor, "B S N"]) -> Float[Tensor, " B"]:
        copies = x.unflatten(2, (k, frames.shape[1])).flatten(1, 2).transpose(0, 1)
        lengths = torch.full((len(x),), len(frames), device=x.device)
        log_probs, _ = network(copies, lengths)
        return log_probs[step, :, symbol]

    return Question(
        name=f"log-probability of {_name(fitted.symbols, symbol)} at {axis.names[step]}",
        axis=axis,
        number=log_probability,
        inputs=filled.unflatten(0, (-1, k)).flatten(1),
    )


def _name(symbols: Symbols, number: int) -> str:
    if number == BLANK:
        return "the blank"
    return repr(visible(symbols.characters[number - 1]))
