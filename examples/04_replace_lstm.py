"""Make the LSTMs of a model that somebody else wrote run here, and take it back."""

import torch

import carousel


class Tagger(torch.nn.Module):
    """Somebody else's model, which knows nothing of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(100, 16)
        self.lstm = torch.nn.LSTM(16, 32, num_layers=2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(64, 5)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        output, _ = self.lstm(self.embed(words))
        return self.head(output)


torch.manual_seed(0)
model = Tagger().eval()
words = torch.randint(100, (4, 20))
with torch.no_grad():
    before = model(words)
    lstm, weight = model.lstm, model.lstm.weight_hh_l0

    carousel.replace_lstm(model)
    print("largest difference below 1e-5:", bool((model(words) - before).abs().max() < 1e-5))
    print(
        "the same layer:", model.lstm is lstm, "on the same weights:", lstm.weight_hh_l0 is weight
    )
    print("it can do more:", *model.lstm.trace(model.embed(words)))
    print("engine:", model.lstm.engine.name)

    carousel.restore_lstm(model)
    print("and back:", type(model.lstm) is torch.nn.LSTM, torch.equal(model(words), before))
