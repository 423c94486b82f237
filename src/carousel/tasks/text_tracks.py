"""A text as its reader sees it: what each token looks like, and what is open once it has been read.

Knows nothing of models.

Letters: T tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from carousel.data.tokenizers import LINE_END, Decoder, Tokenizer
from carousel.inspection.contents import BLANKS

# By which signs a quotation ends that begins with one. The German „ ends with the English “.
_QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«"}
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_IN_WORDS = "'’"  # as in "don't", but not before it


def visible(text: str) -> str:
    """Returns a text of which nothing is blank: ␣, ⏎ and ⇥ stand for what would be.

    A sign that joins the one before it stands on a circle of its own.
    """
    signs = [BLANKS.get(sign, sign) for sign in text]
    if signs and unicodedata.combining(signs[0]):
        signs.insert(0, "◌")
    return "".join(sign if sign.isprintable() else f"<U+{ord(sign):04X}>" for sign in signs)


def token_names(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    """Returns what each token (T,) looks like to a reader.

    A part of a character is shown as the vocabulary has it, and so is what is no text.
    """
    names = []
    for token in tokens:
        name = tokenizer.vocabulary[token]
        if tokenizer.kind == "words":
            names.append(BLANKS["\n"] if name == LINE_END else visible(name))
            continue
        try:
            text = tokenizer.bytes_after(token, tokenizer.end).decode()
        except UnicodeDecodeError:
            text = ""
        names.append(visible(text) or name)
    return names


def token_texts(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    """Returns what each token (T,) adds to the text; a character whole with its last part."""
    decoder = Decoder(tokenizer)
    return [decoder.feed(token) for token in tokens]


def text_tracks(texts: Sequence[str]) -> dict[str, Float32[np.ndarray, " T"]]:
    """Returns what a reader may keep in mind, by name, each as it is once a token has been read.

    Args:
        texts: (T,) what each token adds to the text.

    Returns:
        Of each a number a token:

        - "position in line": signs since the last line end; 0 at a line end.
        - "position in word": letters and digits of the word so far; 0 outside words.
        - "indentation": blanks that its line began with.
        - "inside quotes": 1 from an opening double quote to the one that closes it, or to an empty
          line: what is not closed by then goes on with an opening quote, or was a mistake.
        - "bracket depth": round, square and curly ones that are open.
        - "is space": 1 where the token is nothing but blanks or line ends.
        - "is upper case": 1 where its first letter is a capital.
    """
    rows = []
    line = indentation = word = depth = 0
    closing = ""  # the signs that would end the quotation; none outside
    for text in texts:
        for sign in text:
            if sign == "\n":
                closing = closing if line > indentation else ""
                line = indentation = word = 0
                continue
            indentation += line == indentation and sign.isspace()
            line += 1
            within = sign.isalnum() or sign == "_" or (word > 0 and sign in _IN_WORDS)
            word = word + 1 if within else 0
            depth = max(0, depth + _BRACKETS.get(sign, 0))
            if not closing:
                closing = _QUOTES.get(sign, "")
            elif sign in closing:
                closing = ""
        capital = next((sign.isupper() for sign in text if sign.isalpha()), False)
        rows.append((line, word, indentation, bool(closing), depth, text.isspace(), capital))
    names = (
        "position in line",
        "position in word",
        "indentation",
        "inside quotes",
        "bracket depth",
        "is space",
        "is upper case",
    )
    table = np.array(rows, np.float32).reshape(len(rows), len(names))
    return {name: table[:, k].copy() for k, name in enumerate(names)}
