"""See what the memory of a model that somebody else wrote does, in three lines."""

import importlib.util

import torch

import carousel


class Tagger(torch.nn.Module):
    """Somebody else's model, which knows nothing of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(128, 8)
        self.lstm = torch.nn.LSTM(8, 12, num_layers=2, batch_first=True)
        self.head = torch.nn.Linear(12, 2)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        output, _ = self.lstm(self.embed(text))
        return self.head(output)


def quoted(text: torch.Tensor) -> torch.Tensor:
    """Returns which characters stand inside quotes: the tags that are to be learnt."""
    return (text == ord('"')).cumsum(-1) % 2


torch.manual_seed(0)
model = Tagger()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(150):
    texts = torch.randint(97, 123, (32, 40))
    texts[torch.rand(texts.shape) < 0.1] = ord('"')
    loss = torch.nn.functional.cross_entropy(model(texts).transpose(1, 2), quoted(texts))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

text = 'she said "come in" and he said "thank you" and came'
codes = torch.tensor([list(text.encode())])
quotes = {"inside quotes": quoted(codes)[0]}

# Three lines:
seen = carousel.inspect(model, codes, names=text, tracks=quotes, flow=True)
print(seen)
quote, forget = text.index('"'), seen.layers["lstm.l0"].f  # (T, H), as everything else
print(f"forget gate of unit 0 at the first quote: {forget[quote, 0]:.2f}")
# and seen.save_page("seen.html") writes all of it as a page.

if importlib.util.find_spec("neuralforecast"):  # somebody else's forecaster, if it is there
    from neuralforecast.models import LSTM

    network = LSTM(h=12, input_size=48, encoder_hidden_size=16)
    load = torch.sin(torch.arange(48) * 2 * torch.pi / 24).reshape(1, 48, 1)
    window = {"insample_y": load, "futr_exog": None, "hist_exog": None, "stat_exog": None}
    print(carousel.inspect(network, window, values=load[0], columns=["load"]))
