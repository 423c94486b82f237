"""A recogniser seen at work: against its layers' own traces, and the sound that it heard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tests.tasks.speech_recognition.small_recordings import sound_of
from tests.tasks.speech_recognition.test_recognition import RATE, READY_SIZE, untaught
from tests.tasks.traced_layers import assert_traced
from torch import Tensor
from torch.nn import functional

from carousel.errors import DataError, ModelError, OptionError
from carousel.tasks.speech_recognition import Recognizer, inspecting
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.inspecting import SoundInspectionOptions, inspected_sound
from carousel.tasks.speech_recognition.network import BLANK, CONTEXT
from carousel.tasks.speech_recognition.recognition import heard

SOUND = sound_of("ab bad", RATE)
# Single precision: sums of under 100 terms in other orders, each rounded by 2^-24, and multiplied
# by under 100 at the end.
CLOSE = 100 * 100 * 2.0**-24
KINDS: list[dict[str, Any]] = [
    {},
    {"streaming": True, "num_layers": 2, "subsampling": 3},
    {"features": "mfcc", "cepstra": 6, "deltas": 2, "num_layers": 3},
]


def recognizer(fitted: Fitted) -> Recognizer:
    model = Recognizer(fitted.options)
    model._fitted = fitted
    return model


def frames_of(fitted: Fitted, plain: np.ndarray) -> Tensor:
    return torch.from_numpy(fitted.frontend.seen(fitted.frontend.scaled(plain, None)))


def plain_of(fitted: Fitted) -> np.ndarray:
    assert fitted.frontend.features is not None
    return fitted.frontend.features.compute(SOUND)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_values_are_those_of_the_layers(options: dict[str, Any]) -> None:
    fitted = untaught(**options)
    found = recognizer(fitted).inspect(SOUND, rate=RATE)
    network, names = fitted.network, []
    with torch.no_grad():
        frames = frames_of(fitted, plain_of(fitted))[:, None]
        x = network._front(functional.pad(frames, (0, 0, 0, 0, CONTEXT, CONTEXT)))
        for number, layer in enumerate(network.layers):
            trace = layer.trace(x)
            for suffix, wanted in trace.items():
                names.append(f"layers.{number}.{suffix}")
                seen = found.layers[names[-1]]
                assert (seen.axis, seen.reverse) == ("recording", suffix.endswith("reverse"))
                assert_traced(seen, wanted, CLOSE)
            x = network._above(number, x, trace.output)
    assert list(found.layers) == names


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_axis_has_the_steps_of_the_layers(options: dict[str, Any]) -> None:
    fitted = untaught(**options)
    axis = recognizer(fitted).inspect(SOUND, rate=RATE).axes["recording"]
    plain, k = plain_of(fitted), fitted.plan.subsampling
    starts = range(0, len(plain), k)
    assert axis.kind == "spectrogram"
    assert axis.unit == f"frame of {10 * k} ms"
    assert axis.names == [f"{0.01 * start:.2f} s" for start in starts]
    assert axis.values is not None
    wanted = [plain[start : start + k].mean(0) for start in starts]  # the last may have fewer
    assert axis.values == pytest.approx(np.array(wanted), rel=1e-5, abs=1e-5)
    with torch.no_grad():
        frames = frames_of(fitted, plain)[:, None]
        log_probs, _ = heard(fitted, frames, torch.tensor([len(plain)]))
    blank = axis.tracks["probability of the blank"]
    assert blank == pytest.approx(log_probs[:, 0, BLANK].exp().numpy(), abs=CLOSE)
    assert 0 <= blank.min() < blank.max() <= 1


def test_columns_and_energy_say_what_the_features_are() -> None:
    fitted = untaught()
    axis = recognizer(fitted).inspect(SOUND, rate=RATE).axes["recording"]
    assert fitted.frontend.features is not None
    assert axis.columns == [f"{middle:.0f} Hz" for middle in fitted.frontend.features.middles]
    assert axis.values is not None
    energy = np.log(np.exp(axis.values.astype(np.float64)).sum(1))
    assert axis.tracks["energy"] == pytest.approx(energy, rel=1e-6)
    cepstra = recognizer(untaught(**KINDS[2])).inspect(SOUND, rate=RATE).axes["recording"]
    assert cepstra.columns == [f"cepstrum {number}" for number in range(6)]
    assert cepstra.values is not None
    assert np.array_equal(cepstra.tracks["energy"], cepstra.values[:, 0])
    # In both, a tone is louder than the silence at the beginning.
    for one in (axis, cepstra):
        assert one.tracks["energy"].max() > one.tracks["energy"][0] + 1


def test_files_are_seen_as_their_samples(tmp_path: Path) -> None:
    model, path = recognizer(untaught()), tmp_path / "a.wav"
    soundfile.write(path, SOUND, RATE, subtype="FLOAT")
    samples = model.inspect(SOUND, rate=RATE)
    assert samples.title == "recogniser, samples"
    for place in (path, str(path)):
        found = model.inspect(place)
        assert found.title == "recogniser, a.wav"
        assert np.array_equal(found.layers["layers.0.l0"].c, samples.layers["layers.0.l0"].c)
    part = model.inspect(path, start=0.3, end=0.5)
    again = model.inspect(SOUND[round(0.3 * RATE) : round(0.5 * RATE)], rate=RATE)
    assert part.axes["recording"].names[0] == "0.30 s"
    assert np.array_equal(part.layers["layers.0.l0"].c, again.layers["layers.0.l0"].c)
    late = model.inspect(path, start=0.3).axes["recording"]
    assert late.names[0] == "0.30 s"
    assert len(late) > len(part.axes["recording"])


def test_ready_features_are_seen_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(3).standard_normal((33, READY_SIZE)).astype(np.float32)
    np.save(tmp_path / "a.npy", x)
    fitted = untaught(is_ready=True)
    found = recognizer(fitted).inspect(tmp_path / "a.npy", explain="both")
    axis = found.axes["recording"]
    assert axis.columns == [f"feature {number}" for number in range(1, READY_SIZE + 1)]
    assert list(axis.tracks) == ["probability of the blank"]  # nobody knows what they are
    assert len(axis) == -(-33 // fitted.plan.subsampling)


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("step", [None, 3])
def test_a_symbol_is_explained(options: dict[str, Any], step: int | None) -> None:
    fitted = untaught(**options)
    plain, k = plain_of(fitted), fitted.plan.subsampling
    frames, lengths = frames_of(fitted, plain), torch.tensor([len(plain)])
    log_probs = heard(fitted, frames[:, None], lengths)[0][:, 0]
    if step is None:
        place = int(log_probs[:, 1:].max(1).values.argmax())
        symbol = 1 + int(log_probs[place, 1:].argmax())
    else:
        place, symbol = step, int(log_probs[step].argmax())
    found = recognizer(fitted).inspect(SOUND, rate=RATE, explain="both", step=step)
    gradients, occlusion = found.attributions
    shown = ["the blank", *(repr(c.replace(" ", "␣")) for c in fitted.symbols.characters)][symbol]
    time = found.axes["recording"].names[place]
    assert gradients.name == occlusion.name == f"log-probability of {shown} at {time}"

    def said(begin: int, end: int) -> float:
        """Returns ln p where some frames are what features are on the average."""
        changed = frames.clone()
        changed[begin:end] = 0.0
        return float(heard(fitted, changed[:, None], lengths)[0][place, 0, symbol])

    total = said(0, 0) - said(0, len(frames))
    assert gradients.total == pytest.approx(total, abs=CLOSE)
    # 64 points of a function with the kinks of a rectifier in each of 8 channels and 80 frames: a
    # jump of the derivative, which the sum places within 1/64 of the way. Of a few at the step that
    # is explained a tenth of the total may be missed.
    assert gradients.values.sum() == pytest.approx(total, abs=0.1 * max(1, abs(total)))
    wanted = [said(0, 0) - said(begin, begin + k) for begin in range(0, len(frames), k)]
    assert occlusion.values == pytest.approx(wanted, abs=2 * CLOSE)
    assert np.abs(occlusion.values).max() > 0.01


def test_flows_are_there_where_they_are_asked_for() -> None:
    model = recognizer(untaught())
    found = model.inspect(SOUND, rate=RATE)
    assert (list(found.flows), list(found.attributions)) == ([], [])
    found = model.inspect(SOUND, rate=RATE, flow=True)
    assert [flow.layer for flow in found.flows] == list(found.layers)


def test_long_recordings_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspecting, "LONGEST", 0.5)
    fitted, path = untaught(), tmp_path / "a.wav"
    soundfile.write(path, SOUND, RATE, subtype="FLOAT")
    words = r"at most 0\.5 s, which is read whole, got 0\.9 s; give a part of it \(start and end"
    with pytest.raises(DataError, match=words):
        recognizer(fitted).inspect(SOUND, rate=RATE)
    assert len(recognizer(fitted).inspect(path, start=0.2, end=0.6).axes["recording"]) > 1
    assert len(recognizer(fitted).inspect(path, start=0.5).axes["recording"]) > 1

    def never(*given: Any) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(type(fitted.frontend), "plain", never)
    with pytest.raises(DataError, match=rf"a\.wav: .*{words}"):
        recognizer(fitted).inspect(path)
    with pytest.raises(DataError, match=r"got 0\.8 s"):
        recognizer(fitted).inspect(path, start=0.1)


def test_long_features_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "LONGEST", 0.5)
    np.save(tmp_path / "a.npy", np.zeros((60, READY_SIZE), np.float32))
    model = recognizer(untaught(is_ready=True))
    with pytest.raises(DataError, match=r"got 0\.6 s"):
        model.inspect(tmp_path / "a.npy")
    assert len(model.inspect(tmp_path / "a.npy", end=0.4).axes["recording"]) > 1


@pytest.mark.parametrize(
    ("sound", "values", "error", "words"),
    [
        (SOUND, {}, DataError, "give rate, say rate=16000"),
        ("a.wav", {"rate": 8_000}, OptionError, "says its rate itself"),
        ("nowhere.wav", {}, DataError, r"nowhere\.wav: there is no such file"),
        ([0.1], {"rate": RATE}, DataError, "as a NumPy array, got list"),
        (SOUND[:9], {"rate": RATE}, DataError, "too short for a single frame"),
        (SOUND, {"rate": RATE, "start": 0.1}, OptionError, "for a part of a file"),
        (SOUND, {"rate": RATE, "step": 0}, OptionError, "'step' says what is explained"),
        (SOUND, {"rate": RATE, "explain": "both", "step": 999}, OptionError, r"0 to \d+, got 999"),
        (SOUND, {"rate": RATE, "stat": 1}, OptionError, "did you mean 'start'"),
        (SOUND, {"rate": RATE, "start": -1.0}, OptionError, "at least 0"),
    ],
    ids=lambda value: "samples" if isinstance(value, np.ndarray) else str(value)[:30],
)
def test_what_cannot_be_inspected_is_refused(
    sound: Any, values: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        recognizer(untaught()).inspect(sound, **values)


def test_options_are_given_once() -> None:
    model, options = recognizer(untaught()), SoundInspectionOptions(explain="occlusion")
    found = model.inspect(SOUND, rate=RATE, options=options)
    again = inspected_sound(model._ready("look"), SOUND, RATE, options)
    assert np.array_equal(found.attributions[0].values, again.attributions[0].values)
    with pytest.raises(OptionError, match="not both"):
        model.inspect(SOUND, rate=RATE, options=options, step=1)


def test_without_a_fit_there_is_nothing_to_inspect() -> None:
    with pytest.raises(ModelError, match="nothing to inspect yet"):
        Recognizer().inspect(SOUND, rate=RATE)
