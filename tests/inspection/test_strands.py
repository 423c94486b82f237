"""Layers share an axis where they read the same steps, and have their own where they do not."""

from __future__ import annotations

import torch

from carousel.inspection.recording import record
from carousel.inspection.strands import strands

T, B, I = 5, 2, 4  # noqa: E741


def test_a_layer_that_is_laid_upon_itself() -> None:
    lstm, x = torch.nn.LSTM(I, I), torch.randn(T, B, I)
    found = strands(record(lstm, lambda: lstm(lstm(x)[0])).readings)
    assert [[one.number for one, _ in strand.members] for strand in found] == [[1, 2]]


def test_a_second_sequence_that_is_the_first_turned_round() -> None:
    lstm, x = torch.nn.LSTM(I, I), torch.randn(T, B, I)
    run = lambda: (lstm(x), lstm(x.flip(0)), lstm(lstm(x.flip(0))[0].flip(0)))  # noqa: E731
    (strand,) = strands(record(lstm, run).readings)
    assert [backwards for _, backwards in strand.members] == [False, True, True, False]


def test_as_many_steps_of_other_things_are_taken_for_the_same() -> None:
    model = torch.nn.ModuleList([torch.nn.LSTM(I, I), torch.nn.LSTM(I, I), torch.nn.LSTM(I, I)])
    x, y = torch.randn(2, T, B, I)
    found = strands(record(model, lambda: (model[0](x), model[1](y), model[2](y[1:]))).readings)
    assert [[one.path for one, _ in strand.members] for strand in found] == [["0", "1"], ["2"]]
    assert [len(strand) for strand in found] == [T, T - 1]


def test_what_starts_from_the_end_of_another_comes_after_it() -> None:
    encoder, decoder = torch.nn.LSTM(I, I, 2), torch.nn.LSTM(I, I)
    model, x, y = torch.nn.ModuleList([encoder, decoder]), *torch.randn(2, T, B, I)

    def run() -> None:
        _, (h, c) = encoder(x)
        decoder(y, (h[1:], c[1:]))

    assert len(strands(record(model, run).readings)) == 2


def test_zeros_are_nobodys_end() -> None:
    model = torch.nn.ModuleList([torch.nn.LSTM(I, I, bias=False), torch.nn.LSTM(I, I)])
    x, y, zeros = torch.zeros(T, B, I), torch.randn(T, B, I), torch.zeros(1, B, I)

    def run() -> None:
        model[0](x)  # without biases nothing comes of nothing
        model[1](y, (zeros, zeros))

    assert len(strands(record(model, run).readings)) == 1


def test_the_only_layer_reads_what_the_model_was_given_from_its_end() -> None:
    lstm, x = torch.nn.LSTM(I, I), torch.randn(T, B, I)
    readings = record(lstm, lambda: lstm(x.flip(0)), row=1).readings
    assert strands(readings)[0].members[0][1] is False
    assert strands(readings, x[:, 1])[0].members[0][1] is True
    assert strands(readings, x[:, 0])[0].members[0][1] is False
