"""Writes the tree in the README from the disk: a file is described by its own first sentence.

    python docs/_tree.py

A test compares the two, so that a file cannot appear, vanish or change its purpose unseen.
"""

from __future__ import annotations

import ast
import fnmatch
import itertools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
OPENING, CLOSING = "<!-- tree: written by docs/_tree.py -->\n```text\n", "```\n"

# What has no docstring to speak for it.
OTHERS = {
    ".ci/": "run: what a change must pass, from a clean checkout",
    "CHANGELOG.md": "what changed for users",
    "CONTRIBUTING.md": "the rules of the house",
    "LICENSE": "Apache-2.0",
    "Makefile": "make demo · make test · make bench",
    "README.md": "this page",
    "benchmarks/": "one script for each number in results/, which docs/results.md is made of",
    "constraints.txt": "the exact versions that tests and benchmarks run with",
    "csrc/": "the CPU kernel: C++17 that knows neither Python nor PyTorch, and a thin binding",
    "csrc/targets/": "the same code once for each instruction set",
    "csrc/tests/": "of the kernel by itself: each .cpp one program",
    "csrc/tests/each_target/": "programs that are compiled once for each instruction set",
    "csrc/tests/targets/": "instruction sets for tests only",
    "docs/": "these pages; a warning fails their build",
    "examples/": "numbered, short, run by the tests",
    "pyproject.toml": "build, extras, and every tool's settings",
    "src/carousel/": "the table of contents: public names, loaded on first use",
    "src/carousel/data/sample_files/": "the samples themselves, which ship in the wheel",
    "src/carousel/data/sample_files/spoken-digits/": "six speakers, and a table of what is where",
    "src/carousel/inspection/page_files/": "the page in a browser: frame, style sheet, script",
    "tests/": "mirrors src/carousel file by file",
}
# Files of code, which say at their head what they are, and how a line of comment begins there.
COMMENTS = {".cpp": "//", ".h": "//", ".cmake": "#", ".txt": "#"}
CODE = {".py", *COMMENTS}
NOT_SHOWN = {".git", ".gitignore", "PKG-INFO", "__init__.py", "py.typed"}

# Dependencies run one way: below src/carousel, each imports only from those before it.
ORDER = [
    "errors",
    "options",
    "equations",
    "engines",
    "nn",
    "data",
    "export",
    "decoding",
    "inspection",
    "training",
    "tasks",
    "serving",
    "cli",
    "__main__",
]


def tree() -> str:
    """Returns the tree: the root, and below csrc and src/carousel every folder and file of code."""
    lines = []
    for path in entries(ROOT):
        if path.name == "src":
            lines += branch(path / "carousel", "src/carousel/", 0)
        elif path.name == "csrc":
            lines += branch(path, "csrc/", 0)
        else:
            lines.append((path.name + "/" * path.is_dir(), purpose(path)))
    width = max(len(name) for name, _ in lines)
    return "".join(f"{name.ljust(width)}  {what}\n" for name, what in lines)


def branch(folder: Path, shown_as: str, depth: int) -> list[tuple[str, str]]:
    """Returns a folder and what is below it, two spaces a level; a package is its __init__."""
    lines = [("  " * depth + shown_as, purpose(folder))]
    for path in entries(folder):
        if path.is_dir():
            lines += branch(path, path.name + "/", depth + 1)
        elif path.suffix in CODE:
            lines.append(("  " * (depth + 1) + path.name, purpose(path)))
    return lines


def entries(folder: Path) -> list[Path]:
    """Returns what is in a folder and not ignored by git; the package in the order of imports."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]
    kept = [
        path
        for path in folder.iterdir()
        if path.name not in NOT_SHOWN
        and not any(fnmatch.fnmatch(path.name, rule) for rule in ignored)
        and (path.is_file() or any(path.iterdir()))
    ]

    def place(path: Path) -> tuple[int, bool, str]:
        if folder == ROOT / "src" / "carousel":
            return (ORDER.index(path.stem), False, "")
        return (0, path.is_dir() and folder != ROOT, path.name.lower())

    return sorted(kept, key=place)


def purpose(path: Path) -> str:
    """Returns the words for one line: from OTHERS, or the file's own first sentence."""
    key = path.relative_to(ROOT).as_posix() + "/" * path.is_dir()
    if key in OTHERS:
        return OTHERS[key]
    source = path / "__init__.py" if path.is_dir() else path
    text = head(source) if source.is_file() and source.suffix in CODE else ""
    if not text:
        return "says nothing of itself yet"
    sentence = re.split(r"\.(?:\s|$)|;\s", " ".join(text.split()))[0]
    return sentence.replace("``", "")


def head(source: Path) -> str:
    """Returns what a file says of itself: its docstring, or the comment that it begins with."""
    text = source.read_text("utf-8")
    if source.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    sign = COMMENTS[source.suffix]
    lines = itertools.takewhile(lambda line: line.startswith(sign), text.splitlines())
    return "\n".join(line.removeprefix(sign) for line in lines).strip()


def replaced(readme: str) -> str:
    """Returns the README's text with the tree of the disk."""
    before, rest = readme.split(OPENING)
    return before + OPENING + tree() + CLOSING + rest.split(CLOSING, 1)[1]


if __name__ == "__main__":
    README.write_text(replaced(README.read_text("utf-8")), encoding="utf-8")
