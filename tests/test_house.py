"""The house rules of the README and CONTRIBUTING, checked against the disk."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import _tree

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "carousel"
KERNEL = ROOT / "csrc"

JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_MODULE = 400  # lines
HEAVY = [  # imported where they are used, not before
    "beartype",
    "cyclopts",
    "matplotlib",
    "narwhals",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "polars",
    "pyarrow",
    "rich",
    "sacrebleu",
    "safetensors",
]


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package by its own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def kernel_files() -> dict[str, Path]:
    """Every file of the kernel's code by its path below csrc."""
    found = sorted(path for path in KERNEL.rglob("*") if path.suffix in _tree.COMMENTS)
    return {path.relative_to(KERNEL).as_posix(): path for path in found}


def imported(
    name: str, source: str, known: set[str], is_package: bool, for_types_only: bool = True
) -> Iterator[str]:
    """Yields each module of ours that a source text imports, inside functions too.

    With ``for_types_only=False`` what stands under ``if TYPE_CHECKING`` is left out.
    """
    package = name.split(".") if is_package else name.split(".")[:-1]
    tree = ast.parse(source)
    if not for_types_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "carousel")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join(base + ([node.module] if node.module else []))
            if origin.split(".")[0] == "carousel":
                for alias in node.names:
                    inner = f"{origin}.{alias.name}"
                    yield inner if inner in known else origin


def edges(for_types_only: bool = True) -> dict[str, set[str]]:
    """Which of our modules imports which, the table of contents left out."""
    found = modules()
    stubs = (path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.pyi"))
    known = set(found) | {".".join(stub.parts) for stub in stubs}
    return {
        name: set(
            imported(
                name,
                path.read_text("utf-8"),
                known,
                is_package=path.name == "__init__.py",
                for_types_only=for_types_only,
            )
        )
        for name, path in found.items()
        if name != "carousel"
    }


def test_every_folder_has_its_place_in_the_order() -> None:
    assert {name.split(".")[1] for name in modules() if name != "carousel"} <= set(_tree.ORDER)


def test_imports_go_one_way() -> None:
    wrong = []
    for name, targets in edges().items():
        place = _tree.ORDER.index(name.split(".")[1])
        for target in targets:
            # The table of contents leads everywhere: only the bottom of the house may use it.
            own = target.split(".")[1] if "." in target else "cli"
            if _tree.ORDER.index(own) > place:
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_imports_have_no_circle() -> None:
    graph = edges(for_types_only=False)
    assert "carousel.errors" in list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import carousel.tasks", {"carousel.tasks"}),
        ("def f():\n    from carousel import tasks", {"carousel.tasks"}),
        ("from carousel import __version__", {"carousel"}),
        ("from ..training.loop import fit", {"carousel.training.loop"}),
        ("from . import state", {"carousel.nn.state"}),
        ("if TYPE_CHECKING:\n    import carousel.tasks", {"carousel.tasks"}),
        ("import torch\nfrom os import path", set()),
    ],
)
def test_the_import_reader_sees(source: str, expected: set[str]) -> None:
    known = {"carousel.tasks", "carousel.training.loop", "carousel.nn.state"}
    assert set(imported("carousel.nn.lstm", source, known, is_package=False)) == expected


def test_modules_are_short() -> None:
    files = modules() | kernel_files()
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in files.items()}
    assert not {name: count for name, count in lines.items() if count > LONGEST_MODULE}


def test_there_is_no_junk_drawer() -> None:
    names = {part for name in modules() for part in name.split(".")}
    names |= {
        path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    }
    names |= {path.stem for path in kernel_files().values()}
    assert not {name for name in names if name.strip("_") in JUNK_DRAWERS}


def test_every_module_says_what_it_is() -> None:
    files = modules() | kernel_files()
    assert not [name for name, path in files.items() if not _tree.head(path)]


def test_the_kernel_knows_neither_python_nor_pytorch() -> None:
    foreign = re.compile(r"#\s*include\s*[<\"](Python\.h|nanobind/|pybind11/|torch/|ATen/|c10/)")
    knows = {
        name for name, path in kernel_files().items() if foreign.search(path.read_text("utf-8"))
    }
    # The binding does, so that the pattern is seen to find some.
    assert knows == {"binding.cpp", "exchange.h"}
    for name in knows:
        assert not re.search(r"#\s*include\s*[<\"]torch", (KERNEL / name).read_text("utf-8"))


def test_there_is_no_pickle() -> None:
    found = []
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                words = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                words = [node.module or ""]
            elif isinstance(node, ast.Attribute):
                words = [ast.unparse(node)]
            elif isinstance(node, ast.keyword):
                words = [node.arg or ""]
            else:
                continue
            banned = {"pickle", "cPickle", "dill", "joblib", "torch.load", "torch.save"}
            banned |= {"allow_pickle", "numpy.load", "np.load"}
            found += [f"{name}: {word}" for word in words if word in banned]
    assert not found


def test_every_public_name_resolves() -> None:
    import carousel

    assert len(carousel.__all__) == len(set(carousel.__all__))
    assert set(dir(carousel)) == set(carousel.__all__)
    for name in carousel.__all__:
        assert getattr(carousel, name) is not None
    with pytest.raises(AttributeError, match="LTSM"):
        carousel.LTSM  # noqa: B018


def test_type_checkers_see_the_public_names() -> None:
    import carousel

    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = set()
    for node in guarded.body:
        if isinstance(node, ast.ImportFrom):
            seen |= {alias.name for alias in node.names}
        elif isinstance(node, ast.AnnAssign):
            seen.add(ast.unparse(node.target))
    assert seen == set(carousel.__all__)


def test_the_version_is_the_one_in_pyproject() -> None:
    import carousel

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert carousel.__version__ == project["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{project['version']}]" in changelog


@pytest.mark.parametrize(
    ("statement", "may_load_torch"),
    [("import carousel", False), ("import carousel; carousel.LSTM; carousel.State", True)],
)
def test_importing_loads_nothing_heavy(statement: str, may_load_torch: bool) -> None:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
    )
    assert [name for name in HEAVY if name in loaded] == []
    assert may_load_torch or "torch" not in loaded


def test_the_tree_in_the_readme_is_the_disk() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme == _tree.replaced(readme), "run: python docs/_tree.py"


def test_the_tree_lists_every_module() -> None:
    shown = [line.split()[0] for line in _tree.tree().splitlines()]
    on_disk = [path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    on_disk += [path.name for path in kernel_files().values()]
    code = tuple(_tree.CODE)
    root = {path.name for path in ROOT.iterdir()}
    assert sorted(n for n in shown if n.endswith(code) and n not in root) == sorted(on_disk)
    assert {"Makefile", "pyproject.toml", "src/carousel/", "nn/", "tests/"} <= set(shown)
