"""The page as a file: one script that its policy knows, no way out, and every word escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from tests.inspection.recorded import (
    TEXT,
    spectrogram_axis,
    text_axis,
    traced,
    with_everything,
)

from carousel.inspection import page as page_module
from carousel.inspection.contents import Axis, Contents
from carousel.inspection.page import BUDGET, SCRIPTS, STYLES, page_bytes
from carousel.inspection.page_data import PRECISIONS

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = (
    "</script><script>window.pwned = 1</script><!--\u2028&amp;'\"\ud800\u202e<img src=x onerror=a>"
)


class Reader(HTMLParser):
    """Keeps attributes and what stands inside elements, and refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.inside: dict[str, list[tuple[dict[str, str | None], str]]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            tag, attributes = self.open[-1]
            self.inside.setdefault(tag, []).append((attributes, data))

    def value(self, tag: str, attribute: str) -> list[str]:
        return [value for t, name, value in self.attributes if (t, name) == (tag, attribute)]


def read(contents: Contents, other: Contents | None = None) -> tuple[Reader, str]:
    text = page_bytes(contents, other).decode("utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader, text


def scripts(reader: Reader) -> list[str]:
    """Those that a browser runs."""
    return [text for attributes, text in reader.inside["script"] if "type" not in attributes]


def facts(reader: Reader) -> dict:
    found = [text for attributes, text in reader.inside["script"] if "type" in attributes]
    return json.loads(found[0])


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("both", [False, True], ids=["one", "two"])
def test_the_policy_lets_in_this_script_and_nothing_else(both: bool) -> None:
    reader, text = read(with_everything(), traced(text_axis()) if both else None)
    assert text.startswith("<!DOCTYPE html>")
    (script,) = scripts(reader)
    (style,) = [inside for _, inside in reader.inside["style"]]
    policy = next(value for value in reader.value("meta", "content") if "default-src" in value)
    assert policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{digest(style)}'; script-src 'sha256-{digest(script)}'"
    )


def test_nothing_is_loaded_from_anywhere() -> None:
    reader, text = read(with_everything())
    names = {name for _, name, _ in reader.attributes}
    assert not names & {"src", "srcset", "data", "action", "poster", "background", "style"}
    assert not {name for name in names if name.startswith("on")}
    assert reader.value("a", "href") == ["#panes"]
    assert not reader.value("link", "href")
    (script,) = scripts(reader)
    addresses = set(re.findall(r"\w+://[^\s\"'`]+", script + reader.inside["style"][0][1]))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not a place
    for word in (
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "import(",
        "eval(",
        "innerHTML",
        "@import",
    ):
        assert word not in script + text.split("</style>")[0], word


def test_no_word_of_a_user_becomes_part_of_the_page() -> None:
    axis = Axis(
        name=EVIL,
        kind="words",
        names=[EVIL, "a", "b"],
        tracks={EVIL: np.array([0, 1, 0], np.float32)},
        values=np.eye(3, dtype=np.float32),
        columns=[EVIL, "x", "y"],
        unit=EVIL,
    )
    contents = traced(axis, title=EVIL)
    renamed = {f"{EVIL}.{name}": layer for name, layer in contents.layers.items()}
    contents = Contents(title=EVIL, axes={EVIL: axis}, layers=renamed)
    reader, _ = read(contents)
    blocks = [name for name in reader.value("script", "id") if name.startswith("block-")]
    assert len(reader.inside["script"]) == len(blocks) + 2
    assert len(scripts(reader)) == 1
    assert not reader.value("img", "src")
    found = facts(reader)["recordings"][0]
    assert found["title"] == EVIL
    assert found["axes"][0]["names"][0] == EVIL
    assert found["layers"][0]["name"] == f"{EVIL}.lstm.l0"
    title = "".join(inside for _, inside in reader.inside["title"])
    assert title == EVIL.replace("\ud800", "\ufffd")


def test_the_same_contents_make_the_same_page() -> None:
    assert page_bytes(traced(text_axis())) == page_bytes(traced(text_axis()))


def test_two_inputs_are_two_recordings_in_their_order() -> None:
    first, second = traced(text_axis()), traced(text_axis("another"), title="the other")
    found = facts(read(first, second)[0])["recordings"]
    assert [each["title"] for each in found] == ["a small model", "the other"]
    assert [len(each["axes"][0]["names"]) for each in found] == [len(TEXT), 7]


def test_a_large_page_has_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = traced(spectrogram_axis(300), hidden_size=40)
    whole = page_bytes(contents)
    assert facts(read(contents)[0])["precision"] == {"values": 32, "weights": 32}
    assert len(whole) < BUDGET
    fixed = len(page_bytes(traced(text_axis("a"), hidden_size=1, num_layers=1)))
    monkeypatch.setattr(page_module, "BUDGET", fixed + (len(whole) - fixed) // 2)
    smaller = page_bytes(contents)
    assert len(smaller) < fixed + (len(whole) - fixed) * 0.6
    found = facts(read(contents)[0])["precision"]
    assert found["values"] < 32
    assert found in [vars(each) for each in PRECISIONS]


def test_every_file_of_the_page_is_used_and_short() -> None:
    files = list((resources.files("carousel.inspection") / "page_files").iterdir())
    names = {path.name for path in files}
    parts = [*(f"{name}.css" for name in STYLES), *(f"{name}.js" for name in SCRIPTS)]
    assert names == {"page.html", *parts}
    for path in files:
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 400, path.name
        if path.name.endswith(".js"):
            assert lines[0].startswith("// "), f"{path.name} does not say what it is"


def test_every_control_says_what_it_does() -> None:
    text = page_bytes(traced(text_axis())).decode("utf-8")
    text = text.split('<script type="application/json"')[0].split("</style>")[1]
    labels = re.findall(r"<label\b[^>]* title=.*?</label>", text, flags=re.DOTALL)
    controls = re.findall(r"<(?:button|select|input)\b[^>]*>", text)
    assert len(controls) > 20
    for control in controls:
        said = " title=" in control or " aria-label=" in control
        assert said or any(control in label for label in labels), control
