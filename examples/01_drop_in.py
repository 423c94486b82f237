"""Take the place of torch.nn.LSTM: the same weights, the same numbers, and unequal lengths."""

import torch

import carousel

theirs = torch.nn.LSTM(input_size=3, hidden_size=16, num_layers=2, bidirectional=True)
ours = carousel.LSTM(input_size=3, hidden_size=16, num_layers=2, bidirectional=True)
ours.load_state_dict(theirs.state_dict())

x = torch.randn(20, 4, 3)  # (T, B, I)
output, (h, c) = ours(x)
wanted, _ = theirs(x)
print("largest difference:", (output - wanted).abs().max().item())

# Sequences of 20, 7, 0 and 12 steps in one batch: no sorting, no packing, 0 is a length.
output, state = ours(x, lengths=torch.tensor([20, 7, 0, 12]))
print("outputs behind the end are 0:", not output[7:, 1].any().item())
alone, _ = ours(x[:7, 1:2])
print("a sequence in a batch is as if alone:", torch.allclose(output[:7, 1:2], alone, atol=1e-6))

print("engine:", ours.engine.name, "because:", ours.engine.reason)
