"""Watch a memory being written, kept and erased: every gate at every step."""

import torch

import carousel

torch.manual_seed(0)

# One memory cell that is told what to do: the input is (value, write?, erase?).
lstm = carousel.LSTM(input_size=3, hidden_size=1)
with torch.no_grad():
    for parameter in lstm.parameters():
        parameter.zero_()
    weight, bias = lstm.weight_ih_l0, lstm.bias_ih_l0  # rows: i, f, g, o
    weight[0, 1], bias[0] = 20.0, -10.0  # the input gate opens when told to write
    weight[1, 2], bias[1] = -20.0, 10.0  # the forget gate closes when told to erase
    weight[2, 0] = 1.0  # the candidate is tanh(value)
    bias[3] = 10.0  # the output gate is open

steps = torch.tensor(
    [[0.9, 1, 0], [-0.5, 0, 0], [0.3, 0, 0], [0.1, 0, 0], [0.0, 0, 1], [-0.7, 1, 0], [0.2, 0, 0]]
)
with torch.no_grad():
    trace = lstm.trace(steps)["l0"]

print("value  write  keep   memory")
for t, value in enumerate(steps[:, 0].tolist()):
    write, keep, memory = (float(part[t, 0]) for part in (trace.i, trace.f, trace.c))
    print(f"{value:5.1f}  {write:5.3f}  {keep:5.3f}  {memory:6.3f}")
