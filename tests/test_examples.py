"""Every example runs, alone and without a warning, and prints what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
PROMISED = {
    "01_drop_in.py": ["outputs behind the end are 0: True", "as if alone: True", "engine: "],
    "02_see_the_gates.py": ["  0.9  1.000  1.000   0.716", "  0.0  0.000  0.000   0.000"],
    "05_language_model.py": ["unigram", "bits per character against"],
    "03_forecast.py": ["beats the best baseline", "office"],
    "04_replace_lstm.py": [
        "below 1e-5: True",
        "the same layer: True on the same weights: True",
        "l0 l0_reverse l1 l1_reverse",
        "and back: True True",
    ],
    "08_inspect.py": ["lstm.l0", "lstm.l1", "inside quotes", "forget gate of unit 0"],
    "07_recognise.py": ["most frequent sentence", "sure to"],
    "06_translate.py": ["word by word", "BLEU: nrefs:1|bs:1000", "cannot be told from 3 sentences"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in PROMISED[path.name]:
        assert words in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_example_promises_something() -> None:
    assert {path.name for path in EXAMPLES} == set(PROMISED)
