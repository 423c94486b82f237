"""replace_lstm and restore_lstm: models that somebody else wrote work on as before."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_sequence

import carousel
from carousel.errors import OptionError

X = torch.linspace(-1, 1, 5 * 2 * 3).reshape(5, 2, 3)  # (T, B, I)


def exact(model: torch.nn.Module) -> torch.nn.Module:
    """Replaced, on the kernel that torch.nn.LSTM runs on, so that equal means every bit."""
    return carousel.replace_lstm(model, engine="pytorch")


def output_and_gradients(model: torch.nn.Module, *args: object) -> list[torch.Tensor]:
    model.zero_grad()
    output = model(*(args or (X,)))
    while isinstance(output, tuple):
        output = output[0]
    output.square().sum().backward()
    return [output.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def same(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(torch.equal, found, wanted))


class Tagger(torch.nn.Module):
    """A model as people write them: it asks the layer about itself and indexes its state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.lstm.flatten_parameters()
        h = x.new_zeros(2 * self.lstm.num_layers, x.shape[0], self.lstm.hidden_size)
        output, hidden = self.lstm(x, (h, h))
        if isinstance(self.lstm, torch.nn.LSTM):
            hidden = hidden[0]
        assert self.lstm.all_weights[0][1] is self.lstm.weight_hh_l0
        assert self.lstm._flat_weights[0] is self.lstm.weight_ih_l0
        return self.head(output) + hidden[-1].sum()


MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "the model itself": lambda: torch.nn.LSTM(3, 4, num_layers=2, proj_size=2),
    "Sequential": lambda: torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LSTM(3, 4)),
    "attributes": Tagger,
    "no biases": lambda: torch.nn.LSTM(3, 4, bias=False),
    "dropout": lambda: torch.nn.LSTM(3, 4, num_layers=3, dropout=0.5),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_changes_no_bit(name: str) -> None:
    model = MODELS[name]()
    before = vars_of_all(model)
    torch.manual_seed(1)
    wanted = output_and_gradients(model)
    assert exact(model) is model
    torch.manual_seed(1)
    assert same(output_and_gradients(model), wanted)
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.LSTM)]
    assert layers
    assert all(isinstance(layer, carousel.LSTM) for layer in layers)
    assert layers[0].engine.name == "pytorch"
    assert carousel.restore_lstm(model) is model
    assert vars_of_all(model) == before
    assert [type(layer) for layer in layers] == [torch.nn.LSTM] * len(layers)
    torch.manual_seed(1)
    assert same(output_and_gradients(model), wanted)


def vars_of_all(model: torch.nn.Module) -> list[tuple[int, type, list[str]]]:
    return [(id(module), type(module), sorted(vars(module))) for module in model.modules()]


def test_the_default_engine_gives_the_same_numbers_and_our_own_abilities() -> None:
    layer = torch.nn.LSTM(3, 4, num_layers=2)
    twin = carousel.LSTM(3, 4, num_layers=2, engine="reference")
    twin.load_state_dict(layer.state_dict())
    carousel.replace_lstm(layer)
    # Both are right to a few dozen roundings of numbers below 1; see test_lstm_numbers for bounds.
    torch.testing.assert_close(layer(X)[0], twin(X)[0], rtol=0, atol=1e-6)
    ragged, trace = layer(X, lengths=[5, 2])[0], layer.trace(X)
    assert not ragged[2:, 1].any()
    assert sorted(trace) == ["l0", "l1"]


def test_parameters_stay_the_same_objects_and_an_optimizer_goes_on() -> None:
    torch.manual_seed(3)
    model, twin = Tagger(), Tagger()
    twin.load_state_dict(model.state_dict())
    model.lstm.weight_hh_l0.requires_grad_(False)
    twin.lstm.weight_hh_l0.requires_grad_(False)
    before = list(model.parameters())
    optimizers = [torch.optim.Adam(each.parameters(), 0.1) for each in (model, twin)]
    exact(model)
    assert all(a is b for a, b in zip(model.parameters(), before, strict=True))
    for _ in range(2):
        for each, optimizer in zip((model, twin), optimizers, strict=True):
            output_and_gradients(each)
            optimizer.step()
    assert same(list(model.state_dict().values()), list(twin.state_dict().values()))
    assert model.lstm.weight_hh_l0.grad is None


def test_containers_are_indexed_as_before() -> None:
    inner = torch.nn.ModuleDict({"a": torch.nn.ModuleList([torch.nn.LSTM(3, 4)])})
    model = torch.nn.Sequential(torch.nn.LSTM(3, 4), inner)
    first, second = model[0], model[1]["a"][0]
    carousel.replace_lstm(model)
    assert model[0] is first
    assert model[1]["a"][0] is second
    assert isinstance(first, carousel.LSTM)
    assert isinstance(second, carousel.LSTM)


def test_a_layer_under_two_names_stays_one_and_shared_parameters_stay_shared() -> None:
    model = torch.nn.Module()
    model.one = model.two = torch.nn.LSTM(3, 4)
    model.other = torch.nn.LSTM(3, 4)
    model.other.weight_hh_l0 = model.one.weight_hh_l0
    names = list(model.state_dict())
    carousel.replace_lstm(model)
    assert model.one is model.two
    assert model.other.weight_hh_l0 is model.one.weight_hh_l0
    assert list(model.state_dict()) == names


def test_hooks_of_every_kind_survive_both_ways() -> None:
    layer, seen = torch.nn.LSTM(3, 4), []

    def note(word: str) -> Callable[..., None]:
        return lambda *args, **kwargs: seen.append(word)

    layer.register_forward_pre_hook(note("forward pre"))
    layer.register_forward_hook(note("forward"))
    layer.register_full_backward_hook(note("backward"))
    layer.register_state_dict_post_hook(note("state dict"))
    layer.register_load_state_dict_pre_hook(note("load"))
    handle = layer.register_forward_hook(note("removed"))
    words = ["forward pre", "forward", "backward", "state dict", "load"]
    for change in (exact, carousel.restore_lstm):
        change(layer)
        handle.remove()
        seen.clear()
        output, _ = layer(X.clone().requires_grad_())
        output.sum().backward()
        layer.load_state_dict(layer.state_dict())
        assert seen == words


def test_mode_device_dtype_and_attributes_stay() -> None:
    layer = torch.nn.LSTM(3, 4, num_layers=2, dropout=0.5, dtype=torch.float64, device="meta")
    layer.eval()
    layer.note = "mine"
    carousel.replace_lstm(layer)
    assert (layer.training, layer.note, layer.dropout) == (False, "mine", 0.5)
    assert {(p.dtype, p.device.type) for p in layer.parameters()} == {(torch.float64, "meta")}
    layer.to_empty(device="cpu").float().train()
    carousel.restore_lstm(layer)
    assert layer._flat_weights[0] is layer.weight_ih_l0
    assert layer(X)[0].dtype == torch.float32
    assert layer.note == "mine"


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", ["hook", "parametrization"])
@pytest.mark.parametrize("before", [True, False], ids=["normed first", "replaced first"])
def test_weight_norm_works_before_and_after(kind: str, before: bool) -> None:
    norm, remove = {
        "hook": (torch.nn.utils.weight_norm, torch.nn.utils.remove_weight_norm),
        "parametrization": (parametrizations.weight_norm, parametrize.remove_parametrizations),
    }[kind]
    layer, twin = torch.nn.LSTM(3, 4), torch.nn.LSTM(3, 4)
    twin.load_state_dict(layer.state_dict())
    norm(twin, "weight_hh_l0")
    if before:
        norm(exact(norm(layer, "weight_hh_l0")), "bias_ih_l0", dim=None)
    else:
        norm(norm(exact(layer), "weight_hh_l0"), "bias_ih_l0", dim=None)
    norm(twin, "bias_ih_l0", dim=None)
    wanted = output_and_gradients(twin)
    assert len(wanted) == 7  # two weights are a direction and a length now
    assert same(output_and_gradients(layer), wanted)
    remove(layer, "bias_ih_l0")
    carousel.restore_lstm(layer)
    assert not isinstance(layer, carousel.LSTM)
    torch.testing.assert_close(output_and_gradients(layer)[0], wanted[0])
    remove(layer, "weight_hh_l0")
    assert type(layer) is torch.nn.LSTM
    torch.testing.assert_close(output_and_gradients(layer)[0], wanted[0])


def test_a_parametrized_layer_is_copied() -> None:
    layer = parametrizations.weight_norm(torch.nn.LSTM(3, 4), "weight_hh_l0")
    exact(layer)
    wanted = output_and_gradients(layer)
    assert same(output_and_gradients(copy.deepcopy(layer)), wanted)


def test_packed_sequences_go_in_and_out() -> None:
    packed = pack_sequence([X[:2, 0], X[:, 1]], enforce_sorted=False)
    layer = torch.nn.LSTM(3, 4, bidirectional=True)
    wanted, (h, c) = layer(packed)
    output, state = exact(layer)(packed)
    assert torch.equal(output.data, wanted.data)
    assert torch.equal(state.h, h)
    assert torch.equal(state.c, c)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)
def test_copies_are_independent_and_can_be_restored(copied) -> None:
    model = exact(Tagger())
    wanted = output_and_gradients(model)
    twin = copied(model)
    assert same(output_and_gradients(twin), wanted)
    assert twin.lstm.weight_ih_l0 is not model.lstm.weight_ih_l0
    assert type(carousel.restore_lstm(twin).lstm) is torch.nn.LSTM
    assert same(output_and_gradients(twin), wanted)
    assert isinstance(model.lstm, carousel.LSTM)


def test_state_dict_is_the_same() -> None:
    model, twin = Tagger(), Tagger()
    names = list(model.state_dict())
    exact(model)
    assert list(model.state_dict()) == names
    model.load_state_dict(twin.state_dict())
    assert same(output_and_gradients(model), output_and_gradients(twin))


def test_functional_call_sees_other_weights() -> None:
    layer = carousel.replace_lstm(torch.nn.LSTM(3, 4))
    zeros = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
    assert not torch.func.functional_call(layer, zeros, (X,))[0].any()
    assert layer(X)[0].any()


def test_wrappers_do_not_notice(one_process_group: None) -> None:
    model, twin = Tagger(), Tagger()
    twin.load_state_dict(model.state_dict())
    wanted = output_and_gradients(twin)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    exact(wrapped)
    assert same(output_and_gradients(wrapped), wanted)
    assert isinstance(model.lstm, carousel.LSTM)
    carousel.restore_lstm(wrapped)
    assert same(output_and_gradients(torch.nn.DataParallel(exact(model))), wanted)
    # What DataParallel makes on each GPU: a shallow copy whose weights are plain tensors.
    replica = model.lstm._replicate_for_data_parallel()
    for name, parameter in model.lstm.named_parameters():
        setattr(replica, name, parameter.detach() * 0)
    assert not replica(X)[0].any()
    assert model.lstm(X)[0].any()


@pytest.fixture
def one_process_group() -> Iterator[None]:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class Forgetful(torch.nn.LSTM):
    def forward(self, input, hx=None):
        return super().forward(input * 0, hx)


def test_other_recurrent_layers_stay_untouched() -> None:
    kinds = (torch.nn.GRU, torch.nn.RNN, torch.nn.LSTMCell, torch.nn.GRUCell)
    model = torch.nn.Sequential(*(kind(3, 4) for kind in kinds), torch.nn.LSTM(3, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        carousel.replace_lstm(model)
    assert [type(module) for module in model[:4]] == list(kinds)


def test_subclasses_and_own_forwards_are_left_alone_and_named() -> None:
    patched = torch.nn.LSTM(3, 4)
    patched.forward = lambda x: x
    model = torch.nn.ModuleDict(
        {"mine": Forgetful(3, 4), "patched": patched, "plain": torch.nn.LSTM(3, 4)}
    )
    with pytest.warns(UserWarning, match=r"left alone: mine is a Forgetful.*; patched has a 'for"):
        carousel.replace_lstm(model)
    assert type(model["mine"]) is Forgetful
    assert type(patched) is torch.nn.LSTM
    assert isinstance(model["plain"], carousel.LSTM)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_and_quantized_layers_are_left_alone_and_named() -> None:
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.LSTM(3, 4)))
    wanted = scripted(X)[0]
    with pytest.warns(UserWarning, match="0 is scripted"):
        assert carousel.replace_lstm(scripted) is scripted
    assert torch.equal(scripted(X)[0], wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(
            torch.nn.Sequential(torch.nn.LSTM(3, 4)), {torch.nn.LSTM}
        )
    wanted = quantized(X)[0]
    kind = type(quantized[0])
    with pytest.warns(UserWarning, match="0 is quantized"):
        carousel.replace_lstm(quantized)
    assert type(quantized[0]) is kind
    assert torch.equal(quantized(X)[0], wanted)


def test_a_model_without_an_lstm_is_said() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), carousel.LSTM(3, 4))
    with pytest.warns(UserWarning, match=r"expected a torch.nn.LSTM in the model, found none"):
        assert carousel.replace_lstm(model) is model
    assert type(carousel.restore_lstm(model)[1]) is carousel.LSTM


def test_again_takes_the_new_engine() -> None:
    layer = carousel.replace_lstm(torch.nn.LSTM(3, 4))
    assert carousel.replace_lstm(layer, engine="reference").engine.name == "reference"
    assert "engine='reference'" in repr(layer)


def test_the_class_can_be_made_anew() -> None:
    layer = carousel.replace_lstm(torch.nn.LSTM(3, 4))
    clone = type(layer)(3, 4, num_layers=2, engine="reference")
    clone.load_state_dict(torch.nn.LSTM(3, 4, num_layers=2).state_dict())
    assert clone(X)[0].shape == (5, 2, 4)
    assert type(carousel.restore_lstm(clone)) is torch.nn.LSTM


def test_what_is_no_model_or_no_engine_is_refused_before_anything_changes() -> None:
    layer = torch.nn.LSTM(3, 4)
    with pytest.raises(OptionError, match="did you mean 'reference'"):
        carousel.replace_lstm(layer, engine="referense")
    assert type(layer) is torch.nn.LSTM
    for function in (carousel.replace_lstm, carousel.restore_lstm):
        with pytest.raises(TypeError, match="model"):
            function([layer])


def test_a_class_that_something_else_put_on_top_is_not_taken_away() -> None:
    layer = carousel.replace_lstm(torch.nn.LSTM(3, 4))
    sharded = type("ShardedLSTM", (type(layer),), {})
    layer.__class__ = sharded
    with pytest.warns(UserWarning, match="left alone: the model itself is a ShardedLSTM"):
        carousel.restore_lstm(layer)
    assert type(layer) is sharded


def test_random_numbers_are_not_touched() -> None:
    layer = torch.nn.LSTM(3, 4, num_layers=2)
    before = torch.get_rng_state()
    carousel.restore_lstm(carousel.replace_lstm(layer))
    assert torch.equal(torch.get_rng_state(), before)


def test_compile_stops_where_it_stops_for_pytorchs_or_goes_through() -> None:
    """In a process of its own: torch.compile cannot see through the tests' shape checks."""
    code = """
        import torch, carousel
        model = torch.nn.Sequential(torch.nn.LSTM(3, 4))
        carousel.replace_lstm(model)
        x = torch.randn(2, 2, 3)
        with torch.no_grad():
            wanted = model(x)[0]
            torch.testing.assert_close(torch.compile(model, backend="eager")(x)[0], wanted)
            torch._dynamo.reset()
            torch._dynamo.config.allow_rnn = True
            whole = torch.compile(model, backend="eager", fullgraph=True)
            torch.testing.assert_close(whole(x)[0], wanted)
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.stdout == "done\n", done.stderr
