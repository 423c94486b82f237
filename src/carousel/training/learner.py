"""What learns: the module, its optimizer, its averaged weights and the best weights so far."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from carousel.training.options import RunOptions


class Learner:
    """Everything that an update changes, in one place, so that one place saves and restores it.

    Args:
        module: on its device.
        options: complete ones.
    """

    def __init__(self, module: nn.Module, options: RunOptions) -> None:
        self.module = module
        self.clip_norm = options.clip_norm or 0.0
        self.names: dict[Tensor, str] = {
            p: name for name, p in module.named_parameters() if p.requires_grad
        }
        self.optimizer = make_optimizer(list(self.names), options)
        self.average = (
            AveragedModel(module, multi_avg_fn=_ramped_average(options.average))
            if options.average
            else None
        )
        self.best: dict[str, Tensor] = {}

    @property
    def candidate(self) -> nn.Module:
        """The module that is validated and kept: the averaged one where there is one."""
        return self.module if self.average is None else self.average.module

    def gradient_norm(self) -> float:
        """Returns the Euclidean norm of the whole gradient."""
        return float(torch.nn.utils.get_total_norm(self._gradients()))

    def update(self, learning_rate: float, gradient_norm: float) -> None:
        """Clips the gradient, changes the weights, and moves their average."""
        if self.clip_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(
                list(self.names), self.clip_norm, torch.tensor(gradient_norm)
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.module)

    def keep_best(self) -> None:
        """Remembers the candidate's weights."""
        self.best = {n: t.detach().clone() for n, t in self.candidate.state_dict().items()}

    def finish(self) -> None:
        """Gives the module the weights to keep: the best ones, else the candidate's."""
        if self.best:
            self.module.load_state_dict(self.best)
        elif self.average is not None:
            self.module.load_state_dict(self.average.module.state_dict())
        self.module.eval()

    def names_and_weights(self) -> list[tuple[str, Tensor]]:
        """Returns what is trained, by name."""
        return [(name, parameter) for parameter, name in self.names.items()]

    def tensors(self) -> dict[str, Tensor]:
        """Returns the whole state by name."""
        tensors = {f"model/{name}": t for name, t in self.module.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average/{name}": t for name, t in self.average.state_dict().items()}
        tensors |= {f"best/{name}": t for name, t in self.best.items()}
        for parameter, state in self.optimizer.state.items():
            for key, value in state.items():
                if value is not None:
                    assert isinstance(value, Tensor), f"optimizer state {key} is no tensor"
                    tensors[f"optimizer/{self.names[parameter]}/{key}"] = value
        return tensors

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what ``tensors`` returned.

        Raises:
            RuntimeError: if names or shapes do not fit the module, as ``load_state_dict`` does.
        """
        self.module.load_state_dict(_under("model/", tensors))
        if self.average is not None:
            self.average.load_state_dict(_under("average/", tensors))
        device = next(iter(self.names)).device
        self.best = {name: t.to(device) for name, t in _under("best/", tensors).items()}
        parameters = {name: parameter for parameter, name in self.names.items()}
        for path, value in _under("optimizer/", tensors).items():
            name, key = path.rsplit("/", 1)
            # Adam keeps its step counter on the CPU, whatever the device of the weights.
            place = value if key == "step" else value.to(device)
            self.optimizer.state[parameters[name]][key] = place

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.names if p.grad is not None]


def make_optimizer(parameters: list[Tensor], options: RunOptions) -> torch.optim.Optimizer:
    """Returns the optimizer that the options name; only tensors of two or more axes decay.

    Biases and gains are not shrunk: their size does not measure complexity.
    """
    decay = options.weight_decay or 0.0
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = options.learning_rate
    assert rate is not None, "options.complete() comes first"
    # In one pass over the weights, which on a CPU are too many for its caches.
    fused = all(p.device.type == "cpu" for p in parameters)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=options.momentum or 0.0, fused=fused)
    adam = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return adam(groups, lr=rate, fused=fused)


def _ramped_average(decay: float):  # type: ignore[no-untyped-def]
    """Returns the exponential average whose decay at update n is min(decay, (1 + n) / (10 + n)).

    The ramp lets a short run forget its first weights.

    Reference: num_updates of TensorFlow's tf.train.ExponentialMovingAverage.
    """

    def average(averaged, current, num_averaged) -> None:  # type: ignore[no-untyped-def]
        n = int(num_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, num_averaged)

    return average


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
