"""The layer's benchmark: what it computes from times and errors, and that what it races is equal.

No time is looked at: where a clock matters it is one of ours.
"""

from __future__ import annotations

import argparse
import ast
import gc
import sys
from pathlib import Path

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

import _layer_cases as cases
import _layer_error as error
import _layer_memory as memory
import _layer_peers as peers
import _layer_plot as plot
import _layer_speed as speed
import _layer_timing as timing
import _layer_variants as variants
import layer
from _harness import Spread, Table

POINT = cases.Point(3, 5, 2, 4)
SHORT = timing.Effort(rounds=1, least_seconds=0.0, threads=1)


class Clock:
    """A clock that moves only when something says so, and a processor that may be busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.used = self.load = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing.time, "process_time", lambda: self.used)
        monkeypatch.setattr(timing.time, "sleep", self.pass_by)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.used += seconds * self.load


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that stands still."""
    return Clock(monkeypatch)


def test_short_calls_are_repeated_and_their_mean_is_kept(clock: Clock) -> None:
    calls = {"slow": 0, "fast": 0}

    def work(name: str, seconds: float) -> None:
        calls[name] += 1
        clock.now += seconds

    times = timing.compare(
        {"slow": lambda: work("slow", 0.5), "fast": lambda: work("fast", 0.001)},
        timing.Effort(rounds=3, least_seconds=0.02, threads=1),
    )
    assert times.seconds("slow").median == pytest.approx(0.5)
    assert times.seconds("fast").median == pytest.approx(0.001)
    assert times.ratio("slow", "fast").median == pytest.approx(500)
    assert times.fastest(["slow", "fast"]) == "fast"
    # One call that may compile, one trial, and one in each of the 3 rounds and the one before.
    assert calls["slow"] == 6
    assert calls["fast"] >= 4 * 20


def test_repeats_fill_the_least_time(clock: Clock) -> None:
    first = iter([7.0])  # a compilation, which is not counted

    def work() -> None:
        clock.now += next(first, 0.25)

    assert timing.repeats_of(work, 2.0) == 8
    assert timing.repeats_of(work, 0.1) == 1


def test_rounds_are_compared_one_by_one() -> None:
    times = timing.Times({"a": [2.0, 8.0, 3.0], "b": [1.0, 2.0, 1.0]})
    assert times.ratio("a", "b") == Spread(3.0, 2.5, 3.5)


def test_the_collector_is_off_while_measuring_and_on_again_after() -> None:
    seen = []
    timing.compare({"a": lambda: seen.append(gc.isenabled())}, SHORT)
    assert seen
    assert not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        timing.compare({"a": lambda: 1 // 0}, SHORT)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("load", "waited"), [(0.0, timing.QUIET_SLICE), (1.0, timing.QUIET_AT_MOST)]
)
def test_it_waits_for_quiet_but_not_for_ever(clock: Clock, load: float, waited: float) -> None:
    clock.load = load
    timing.settle()
    assert clock.now == pytest.approx(waited)


def test_means_and_digits() -> None:
    assert timing.geometric_mean([0.5, 8.0]) == pytest.approx(2.0)
    assert timing.significant(1.23456) == 1.235
    assert timing.significant(123456.0, 3) == 123000.0
    assert speed.summary("key", [2.0, 8.0]) == {"key": 4.0, "key_min": 2.0}
    assert speed.summary("key", []) == {}


def test_a_candidate_that_computes_something_else_is_not_measured() -> None:
    right = torch.tensor([1.0, -2.0])
    cases.must_agree("a", right + 1e-6, right)
    with pytest.raises(RuntimeError, match=r"gates does not compute.*differ by 5\.0e-01"):
        cases.must_agree("gates", right + 1, right)
    with pytest.raises(RuntimeError, match="nan"):
        cases.must_agree("a", right * float("nan"), right)


def test_both_layers_have_the_same_weights() -> None:
    theirs = cases.torch_layer(POINT)
    ours = cases.our_layer(theirs)
    for name, weight in theirs.named_parameters():
        assert torch.equal(ours.get_parameter(name), weight)


def test_a_training_step_starts_from_no_gradients() -> None:
    theirs, x = cases.torch_layer(POINT), cases.inputs(POINT)
    step = cases.training_step(theirs, x)
    step()
    step()
    output = theirs(x)[0]
    expected = torch.autograd.grad(output, list(theirs.parameters()), cases.output_gradient(output))
    for parameter, gradient in zip(theirs.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)


def test_lengths_go_from_a_tenth_to_the_whole_in_no_order() -> None:
    point = cases.Point(200, 95, 1, 1)
    lengths = speed.drawn_lengths(point)
    assert torch.equal(lengths, speed.drawn_lengths(point))
    assert lengths.min() >= 10
    assert lengths.max() == 95
    assert not torch.equal(lengths, lengths.sort(descending=True).values)
    assert abs(float(lengths.float().mean()) / 95 - 0.55) < 0.1


@pytest.mark.parametrize("H", [5, 320, 640])
def test_a_projection_of_four_fifths_keeps_the_work(H: int) -> None:
    P = variants.equal_work(H)
    assert 4 * H * P + P * H == 4 * H * H


def test_the_onnx_graph_is_the_layer() -> None:
    theirs, x = cases.torch_layer(POINT), cases.inputs(POINT)
    h, c = torch.randn(1, POINT.B, POINT.H), torch.randn(1, POINT.B, POINT.H)
    for state in (None, (h, c)):
        model = peers.onnx_graph(theirs, POINT.T, POINT.B, state=state is not None)
        given = {"X": x.numpy()}
        if state is not None:
            given |= {"h": h.numpy(), "c": c.numpy()}
        output, (h_n, c_n) = theirs(x, state)
        found = ReferenceEvaluator(onnx.load_model_from_string(model)).run(None, given)
        cases.must_agree("Y", found[0][:, 0], output)
        cases.must_agree("Y_h", found[1], h_n)
        cases.must_agree("Y_c", found[2], c_n)


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.NEEDS, "openvino", ("torch", "no_such_module"))
    assert peers.missing("openvino") == ["no_such_module"]


def test_a_deviation_is_a_share_of_the_largest_exact_value() -> None:
    exact = torch.tensor([4.0, -1.0], dtype=torch.float64)
    off = error.Deviation.of(torch.tensor([4.0, -1.5]), exact)
    assert off == pytest.approx((0.125, 0.125 / 2**0.5))
    assert error.joined([error.Deviation(1.0, 3.0), error.Deviation(2.0, 4.0)]) == pytest.approx(
        (2.0, 12.5**0.5)
    )


def test_what_is_below_one_rounding_counts_as_one() -> None:
    u = error.ONE_ROUNDING
    assert error.over(error.Deviation(8 * u, 2 * u), error.Deviation(0.0, 0.0)) == (8.0, 8.0)
    assert error.over(error.Deviation(0.0, 0.0), error.Deviation(u / 9, u / 9)) == (1.0, 1.0)


def test_errors_are_of_every_output_and_every_gradient() -> None:
    theirs = cases.torch_layer(POINT)
    found = error.values(theirs, POINT, 0)
    gradients = {"x", "h_0", "c_0", *dict(theirs.named_parameters())}
    outputs = {"output", "h_n", "c_n"}
    expected = outputs | {f"{name}, no gradients" for name in outputs}
    assert set(found) == expected | {f"gradient of {name}" for name in gradients}
    # The same draw in float64: what differs is rounding.
    for name, exact in error.values(theirs.double(), POINT, 0).items():
        cases.must_agree(name, found[name].detach(), exact)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_memory_of_a_step_is_seen_from_outside() -> None:
    point = cases.Point(16, 50, 64, 128)
    # Backward needs the outputs and the four gates of every step.
    kept = point.T * point.B * 5 * point.H * 4
    assert kept < memory.grown("torch", point, 1) < 20 * kept


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_status_of_a_process_is_read() -> None:
    assert 0 < memory.kilobytes("VmRSS") <= memory.kilobytes("VmHWM")
    with pytest.raises(RuntimeError, match="has no VmNone"):
        memory.kilobytes("VmNone")


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path: Path) -> None:
    ratios = {"1,1,2,4": {"torch": Spread(2.0, 1.8, 2.5), "jax": Spread(0.9, 0.8, 1.0)}}
    for name in ("a.svg", "b.svg"):
        plot.draw({"Inference": ratios, "Training step": ratios}, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "<svg" in (tmp_path / "a.svg").read_text("utf-8")


def test_every_group_runs_and_the_docstring_explains_its_keys() -> None:
    grid = [POINT]
    found = [
        speed.inference(grid, [], SHORT),
        speed.training(grid, [], SHORT),
        speed.stepping([], SHORT),
        speed.unequal_lengths(grid, SHORT),
        variants.variants(grid, SHORT),
        error.error(grid, 1),
    ]
    text = ast.get_docstring(ast.parse(Path(layer.__file__).read_text("utf-8"))) or ""
    keys = {key for each in found for key in each.results}
    assert {"infer_vs_torch", "train_vs_torch_min", "ragged_train_vs_torch"} <= keys
    assert {"variant_cost_max", "error_vs_torch", "error_peak_vs_torch"} <= keys
    assert {key.removesuffix("_min") for key in keys} <= set(text.split())
    for each in found:
        assert not each.notes
        assert all(len(row) == len(each.table.columns) for row in each.table.rows)


def test_without_the_stepper_of_onnxruntime_its_keys_are_absent() -> None:
    assert speed.stepping([], SHORT).results == {}


def test_bf16_is_left_out_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "bf16_instructions", lambda: False)
    found = speed.bf16(cases.GRID, SHORT)
    assert found.results == {}
    assert found.notes == [
        "bf16 was not measured: this CPU has no bf16 instructions that oneDNN uses"
    ]


def test_bf16_is_measured_at_large_sizes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "bf16_instructions", lambda: True)
    # PyTorch refuses its own layer under autocast where the CPU has no bf16.
    monkeypatch.setattr(speed, "_under_autocast", lambda lstm: lambda x: lstm(x)[0])
    small = [cases.Point(15, 1, 1, 512), cases.Point(16, 1, 1, 511), cases.Point(16, 1, 1, 512)]
    found = speed.bf16(small, SHORT)
    assert set(found.results) == {"bf16_train_vs_torch_fp32", "bf16_train_vs_torch_bf16"}
    assert [row[0] for row in found.table.rows] == ["16,1,1,512"]
    assert found.notes == []


def test_a_step_under_autocast_starts_from_a_gradient_in_bf16() -> None:
    ours = cases.our_layer(cases.torch_layer(POINT))
    outputs = []

    def call(x: torch.Tensor) -> torch.Tensor:
        outputs.append(speed._under_autocast(ours)(x))
        return outputs[-1]

    cases.training_step(ours, cases.inputs(POINT), call)()
    assert {output.dtype for output in outputs} == {torch.bfloat16}
    assert ours.weight_ih_l0.grad is not None


@pytest.mark.parametrize(("only", "partial"), [(None, False), (["infer"], True)])
def test_only_some_groups_is_partial_and_missing_peers_are_noted(
    monkeypatch: pytest.MonkeyPatch, only: list[str] | None, partial: bool
) -> None:
    ran = []

    def fake(name: str) -> cases.Found:
        ran.append(name)
        table = Table(title=name, columns=["a"], rows=[[1.0]])
        return cases.Found(results={f"{name}_key": 2.0}, table=table, notes=[f"{name} note"])

    monkeypatch.setattr(
        layer,
        "groups",
        lambda *_: {name: lambda name=name: fake(name) for name in layer.GROUPS},
    )
    monkeypatch.setattr(peers, "missing", lambda name: ["its module"])
    monkeypatch.setenv("NPROC", "1")  # which limit_jax_threads sets, and this puts back
    arguments = argparse.Namespace(threads=1, only=only, quick=False)
    outcome = layer.measure(arguments)
    assert ran == list(only or layer.GROUPS)
    assert outcome.partial is partial
    assert "openvino was left out: not installed here: its module" in outcome.notes
    assert "infer note" in outcome.notes
    assert outcome.results["infer_key"] == 2.0


@pytest.mark.parametrize(("load", "notes"), [(0.1, 0), (3.0, 1)])
def test_a_busy_machine_is_noted(monkeypatch: pytest.MonkeyPatch, load: float, notes: int) -> None:
    monkeypatch.setattr(layer.os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert len(layer.busy_with_others()) == notes


def test_the_groups_are_those_that_the_command_line_knows() -> None:
    assert tuple(layer.groups([], 1, True)) == layer.GROUPS
    assert layer.some_groups("infer,memory") == ["infer", "memory"]
    with pytest.raises(argparse.ArgumentTypeError, match="got speed"):
        layer.some_groups("infer,speed")
