"""The compiled kernel, as csrc/binding.cpp shows it to Python."""

from torch import Tensor

def version() -> str: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def use_instruction_set(name: str) -> bool: ...
def team_kind() -> str: ...
def lanes() -> int: ...
def padded(units: int) -> int: ...
def fingerprint(address: int, count: int) -> int: ...
def packed_floats(input: int, hidden: int, output: int, back: bool, bf16: bool) -> int: ...
def supports_bf16(input: int, hidden: int, output: int) -> bool: ...
def pack(
    input: int,
    hidden: int,
    output: int,
    weights: tuple[int, ...],
    packed: int,
    back: bool,
    bf16: bool,
    threads: int,
) -> None: ...
def forward(
    shape: tuple[int, ...],
    sequence: tuple[int | bool, ...],
    variant: tuple[int | float | bool, ...],
    packed: int,
    out: int,
    out_step: int,
    out_row: int,
    h_n: int,
    c_n: int,
    gates: int,
    cells: int,
    threads: int,
) -> None: ...
def single_step(
    shape: tuple[int, ...],
    weights: tuple[int, ...],
    x: int,
    x_row: int,
    h0: int,
    c0: int,
    h_n: int,
    c_n: int,
    threads: int,
) -> None: ...
def backward(
    shape: tuple[int, ...],
    sequence: tuple[int | bool, ...],
    variant: tuple[int | float | bool, ...],
    packed: int,
    out: int,
    out_step: int,
    out_row: int,
    gates: int,
    cells: int,
    given: tuple[int, ...],
    wanted: tuple[int, ...],
    threads: int,
) -> None: ...
def use_exchange(capsule: object) -> bool: ...
def fits(*tensors: Tensor | None) -> bool: ...
def plain_step(
    out: Tensor, h_n: Tensor, c_n: Tensor, threads: int, *tensors: Tensor | None
) -> bool: ...

class Stepper:
    def __init__(self, batch: int) -> None: ...
    def add(
        self,
        input: int,
        hidden: int,
        output: int,
        variant: tuple[int | float | bool, ...],
        packed: int,
        h: int,
        c: int,
    ) -> None: ...
    def step(self, x: int, x_row: int, out: int, threads: int) -> None: ...
    def feed(self, x: Tensor, out: Tensor, threads: int) -> bool: ...
