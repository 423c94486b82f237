"""Where a language model's prompt comes from, and where its text goes, with an end or without."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from tests.cli.standard_input import typed
from tests.tasks.language_modeling.small_texts import OTHER, small_model

from carousel.cli import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    small_model().save(tmp_path / "m")
    return tmp_path / "m"


def test_a_prompt_may_come_in_on_standard_input(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, b"the cat")
    assert main(["predict", str(model), "-", "--max-tokens", "5"]) == 0
    written = small_model().generate("the cat", max_tokens=5)
    assert capsys.readouterr().out == f"the cat{written}\n"
    typed(monkeypatch, b"the cat\n\xff")
    assert main(["predict", str(model), "-", "--max-tokens", "5"]) == 2
    message = capsys.readouterr().err
    assert "standard input, line 2: expected text in utf-8, got the byte 0xff" in message
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", str(model), "-"]) == 2
    assert "standard input is closed; give INPUT itself" in capsys.readouterr().err


class Full(io.StringIO):
    """A reader that goes away when it has read enough."""

    def write(self, text: str) -> int:
        if self.tell() > 300:
            raise BrokenPipeError
        return super().write(text)


def test_writing_without_an_end_ends_with_its_reader(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Full()
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["predict", str(model), "the", "--max-tokens", "0"]) in (0, 141)
    assert out.getvalue().startswith("the")
    assert 300 < len(out.getvalue()) < 310


@pytest.mark.parametrize("words", [["--json"], ["--out", "{}/o.txt"]])
def test_a_file_and_json_need_an_end(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    placed = [word.format(tmp_path) for word in words]
    assert main(["predict", str(model), "the", "--max-tokens", "0", *placed]) == 2
    assert "--max-tokens 0 has no end" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_text_in_another_encoding_is_scored(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o.txt").write_text(OTHER, encoding="utf-16")
    assert main(["evaluate", str(model), str(tmp_path / "o.txt")]) == 2
    assert "--encoding utf-16" in capsys.readouterr().err
    words = ["evaluate", str(model), str(tmp_path / "o.txt"), "--encoding", "utf-16", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["scores"]["this model"]["perplexity"]
    assert found == pytest.approx(small_model().evaluate([OTHER]).perplexity, rel=1e-12)
