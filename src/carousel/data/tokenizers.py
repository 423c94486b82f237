"""From text to token numbers and back, learned from the training text; a text may come in pieces.

Knows nothing of files, and nothing of models.
"""

from __future__ import annotations

import abc
import codecs
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from carousel.data.blocks import Holder, blocks_of
from carousel.data.extras import import_extra
from carousel.errors import CarouselError, DataError, ModelError, OptionError, unknown_name

END = "<end>"  # the boundary of documents, which no text contains
UNKNOWN = "<unk>"
LINE_END = "<eos>"  # as in Mikolov's Penn Treebank and in WikiText


class Tokenizer(abc.ABC):
    """Text to token numbers and back; number 0 is END, the boundary of documents.

    Args:
        vocabulary: each token as it is shown to a person, by number.
        tokens: the bytes of each token.
        fields: what ``to_json`` writes, for the constructor of the kind.
    """

    kind: ClassVar[str]
    least: ClassVar[int] = 0  # size of the vocabulary; 0 where it cannot be chosen
    end: int = 0
    unknown: int | None = None

    def __init__(self, vocabulary: Sequence[str], tokens: Sequence[bytes], fields: Any) -> None:
        self.vocabulary, self._tokens, self._fields = vocabulary, tokens, fields

    def __len__(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def train(
        cls, pieces: Iterable[str | None], *, size: int | None = None, min_count: int | None = None
    ) -> Tokenizer:
        """Learns from a text; see ``train_tokenizer``."""
        for name, value, least in (("size", size, cls.least), ("min_count", min_count, 1)):
            if not cls.least and value is not None:
                raise OptionError(f"{name} is for words and subwords; leave it out for {cls.kind}")
            if value is not None and value < least:
                raise OptionError(f"{cls.kind}: {name} expects at least {least}, got {value}")
        blocks = map(_checked, blocks_of(pieces, cls.last_cut))
        for first in blocks:
            return cls._learn(itertools.chain([first], blocks), size, min_count)
        raise DataError("the text is empty; give one that has something to learn from")

    def encode(self, text: str, *, source: str = "", line: int = 1) -> np.ndarray:
        """Returns the tokens of a document's text as (N,) int32; END is never among them.

        Raises:
            DataError: for text that the kind cannot express; ``source`` is the file that it names,
                ``line`` the number of the text's first line there.
        """
        parts = [np.zeros(0, np.int32)]
        for block in blocks_of([text], self.last_cut):
            parts.append(self._encode(block, source, line))
            line += block.count("\n")
        return np.concatenate(parts)

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the tokens of each of many short documents, as ``encode`` would."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Returns the text of the tokens; END is nothing, bytes that are not UTF-8 are U+FFFD.

        Raises:
            DataError: for a number that is not in the vocabulary.
        """
        decoder = Decoder(self)
        return "".join(map(decoder.feed, np.asarray(ids).tolist())) + decoder.finish()

    def bytes_after(self, token: int, previous: int) -> bytes:
        """Returns what a token adds to the text after ``previous``, the last that was not END."""
        if not 0 <= token < len(self._tokens):
            known = f"numbers from 0 to {len(self) - 1}"
            raise DataError(f"expected {known}, got {token}; decode with what encoded")
        return self._tokens[token]

    def to_json(self) -> str:
        """Returns the tokenizer as a JSON object, for ``tokenizer_from_json``."""
        return json.dumps({"kind": self.kind, **self._fields})

    @staticmethod
    def last_cut(text: str) -> int:
        """Returns the last place where a cut changes no token, whatever follows; 0 for none."""
        return len(text)

    @classmethod
    @abc.abstractmethod
    def _learn(
        cls, blocks: Iterator[str], size: int | None, min_count: int | None
    ) -> Tokenizer: ...

    @abc.abstractmethod
    def _encode(self, text: str, source: str, line: int) -> np.ndarray: ...


class Characters(Tokenizer):
    """One token for each Unicode character of the training text, by code point."""

    kind = "characters"

    def __init__(self, characters: Any) -> None:
        if not characters or characters != "".join(sorted(set(characters))):
            raise ValueError("its characters are not in order")
        tokens = (b"", *(character.encode() for character in characters))
        super().__init__((END, *characters), tokens, {"characters": characters})
        # The last entry stands for every character beyond the largest one that is known.
        self._table = np.full(ord(characters[-1]) + 2, -1, np.int32)
        self._table[[ord(character) for character in characters]] = range(1, len(self))

    @classmethod
    def _learn(cls, blocks: Iterator[str], size: int | None, min_count: int | None) -> Characters:
        return cls("".join(sorted(set().union(*map(set, blocks)))))

    def _encode(self, text: str, source: str, line: int) -> np.ndarray:
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        ids = self._table.take(points, mode="clip")
        if ids.min() < 0:
            place = int(ids.argmin())
            raise DataError(
                f"the model knows no {text[place]!r} (U+{points[place]:04X}); it knows "
                f"{len(self) - 1} characters; leave it out, or train with tokenizer bytes, which "
                f"knows every text",
                source=source or None,
                line=line + text.count("\n", 0, place),
            )
        return ids


class Bytes(Tokenizer):
    """One token for each byte of the text in UTF-8: 256 and END, which know every text."""

    kind = "bytes"

    def __init__(self) -> None:
        tokens = [bytes([value]) for value in range(256)]
        super().__init__((END, *map(_shown, tokens)), (b"", *tokens), {})

    @classmethod
    def _learn(cls, blocks: Iterator[str], size: int | None, min_count: int | None) -> Bytes:
        return cls()

    def _encode(self, text: str, source: str, line: int) -> np.ndarray:
        return np.frombuffer(_checked(text, source, line).encode(), np.uint8).astype(np.int32) + 1


class Words(Tokenizer):
    """One token for each frequent word between white space, LINE_END for the end of a line."""

    kind = "words"
    least = 4  # the special tokens and one word

    def __init__(self, vocabulary: Any) -> None:
        self._ids = {word: number for number, word in enumerate(vocabulary) if number}
        if vocabulary[:2] != [END, UNKNOWN] or LINE_END in vocabulary[3:]:
            raise ValueError("its vocabulary does not begin with the special tokens")
        if " ".join(vocabulary).split() != vocabulary or len({*vocabulary}) < len(vocabulary):
            raise ValueError("its vocabulary is not a list of different words")
        tokens = (b"", *(word.encode() for word in vocabulary[1:]))
        super().__init__(tuple(vocabulary), tokens, {"vocabulary": vocabulary})
        self.unknown, self._line_end = self._ids[UNKNOWN], self._ids.get(LINE_END)

    @classmethod
    def _learn(cls, blocks: Iterator[str], size: int | None, min_count: int | None) -> Words:
        counts: Counter[str] = Counter()
        for block in blocks:
            counts.update(block.replace("\n", f" {LINE_END} ").split())
        if min_count is None:  # a text that says <unk> itself has left out what is rare
            min_count = 1 if counts[UNKNOWN] else 2
        special = [END, UNKNOWN, *([LINE_END] if counts[LINE_END] else [])]
        for word in (END, UNKNOWN, LINE_END):
            del counts[word]
        frequent = [word for word, count in counts.items() if count >= min_count]
        if not frequent:
            wanted = f"a word that comes {min_count} times or more"
            raise DataError(f"the text is empty: expected {wanted}; give more, or lower min_count")
        frequent.sort(key=lambda word: (-counts[word], word))
        return cls([*special, *frequent][:size])

    @staticmethod
    def last_cut(text: str) -> int:
        """Returns the place behind the last white space."""
        if not text or text[-1].isspace():
            return len(text)
        return len(text) - len(text.rsplit(None, 1)[-1])

    def _encode(self, text: str, source: str, line: int) -> np.ndarray:
        words = _checked(text, source, line).replace("\n", f" {LINE_END} ").split()
        known, unknown = self._ids.get, self.unknown
        return np.fromiter((known(word, unknown) for word in words), np.int32, len(words))

    def bytes_after(self, token: int, previous: int) -> bytes:
        """Returns the word, after a space where it does not begin a line."""
        word = super().bytes_after(token, previous)
        if token == self._line_end:
            return b"\n"
        return word if not word or previous in (self.end, self._line_end) else b" " + word


class Subwords(Tokenizer):
    """Byte-level byte pair encoding by the library tokenizers, which knows every text.

    Its numbers are the library's plus one: the library never hears of END, and so no text of a
    user can produce it.

    Reference: arXiv:1508.07909; on bytes, Radford et al. 2019 (GPT-2), section 2.2.
    """

    kind = "subwords"
    least = 257  # END and the 256 bytes

    def __init__(self, library: Any) -> None:
        value_of = {letter: value for value, letter in enumerate(_byte_letters())}
        by_number = {number: token for token, number in library["model"]["vocab"].items()}
        tokens = [by_number[number] for number in range(len(by_number))]
        if library["normalizer"] or library["added_tokens"] or not {*value_of} <= {*tokens}:
            raise ValueError("it does not know every byte by itself")
        plain = [bytes(value_of[letter] for letter in token) for token in tokens]
        super().__init__((END, *map(_shown, plain)), (b"", *plain), {"library": library})
        tokenizers = import_extra("tokenizers", "text")
        self._library = tokenizers.Tokenizer.from_str(json.dumps(library))

    @classmethod
    def _learn(cls, blocks: Iterator[str], size: int | None, min_count: int | None) -> Subwords:
        tokenizers = import_extra("tokenizers", "text")
        library = tokenizers.Tokenizer(tokenizers.models.BPE())
        library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=(size or 8_000) - 1,
            min_frequency=min_count or 1,
            show_progress=False,
            initial_alphabet=_byte_letters(),
        )
        library.train_from_iterator(blocks, trainer)
        return cls(json.loads(library.to_str()))

    @staticmethod
    def last_cut(text: str) -> int:
        """Returns the place before the last white space that follows something else.

        No alternative of GPT-2's pattern reaches over it, and the one that looks ahead does so
        from white space. This is ASCII's here: of the rest, Python and the pattern differ.
        """
        for place in range(len(text) - 1, 0, -1):
            if text[place] in " \n\r\t" and not text[place - 1].isspace():
                return place
        return 0

    def _encode(self, text: str, source: str, line: int) -> np.ndarray:
        found = self._library.encode_batch_fast([_checked(text, source, line)])[0]
        return np.array(found.ids, np.int32) + 1

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the tokens of each of many short documents, in one call of the library."""
        found = self._library.encode_batch_fast([_checked(text) for text in texts])
        return [np.array(one.ids, np.int32) + 1 for one in found]


KINDS: dict[str, type[Tokenizer]] = {cls.kind: cls for cls in (Characters, Bytes, Words, Subwords)}


def train_tokenizer(
    kind: str,
    pieces: Iterable[str | None],
    *,
    size: int | None = None,
    min_count: int | None = None,
) -> Tokenizer:
    """Learns a tokenizer from a text.

    Args:
        kind: "characters", "bytes", "words" or "subwords".
        pieces: the text, cut anywhere; a None among them ends a document, and with it a word.
        size: most tokens of the vocabulary, END included; for words (by default all) and
            subwords (by default 8,000).
        min_count: words that come less often are left out, by default those that come once, or
            none where the text has UNKNOWN itself; for subwords pairs, by default none.

    Raises:
        DataError: where the text is empty.
        OptionError: for an unknown kind, or a size or count that is impossible with it.
    """
    if kind not in KINDS:
        raise OptionError(unknown_name("tokenizer", kind, KINDS))
    return KINDS[kind].train(pieces, size=size, min_count=min_count)


def tokenizer_from_json(text: str) -> Tokenizer:
    """Returns the tokenizer that ``Tokenizer.to_json`` wrote; ModelError where it is damaged."""
    try:
        fields = json.loads(text)
        return KINDS[fields.pop("kind")](**fields)
    except CarouselError:
        raise  # such as the library that is missing
    except Exception as error:  # the library raises no narrower one
        raise ModelError(
            f"expected a tokenizer as it was saved, got a damaged one "
            f"({type(error).__name__}: {error}); take it from a copy, or train again"
        ) from error


class Encoder:
    """Encodes a document in pieces, cut anywhere, into the tokens that the whole would give."""

    def __init__(self, tokenizer: Tokenizer, *, source: str = "", line: int = 1) -> None:
        self._tokenizer, self._source, self._line = tokenizer, source, line
        self._holder = Holder(tokenizer.last_cut)

    def feed(self, text: str) -> np.ndarray:
        """Returns the next tokens, (N,) int32; what may still change is held back."""
        passed = self._holder.feed(text)
        ids = self._tokenizer.encode(passed, source=self._source, line=self._line)
        self._line += passed.count("\n")
        return ids

    def finish(self) -> np.ndarray:
        """Returns the last tokens of the document; the next piece begins another."""
        line, self._line = self._line, 1
        return self._tokenizer.encode(self._holder.finish(), source=self._source, line=line)


class Decoder:
    """Decodes tokens one by one, into texts that joined are the text of all."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._previous = tokenizer, tokenizer.end
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, id: int) -> str:
        """Returns the next text; a character that is not yet whole is held back."""
        data = self._tokenizer.bytes_after(id, self._previous)
        self._previous = id or self._previous
        return self._utf8.decode(data)

    def finish(self) -> str:
        """Returns what was held back, U+FFFD for half a character; the next token begins anew."""
        self._previous = self._tokenizer.end
        return self._utf8.decode(b"", True)


def _checked(text: str, source: str = "", line: int | None = None) -> str:
    """Returns the text, which has to be expressible in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"expected Unicode text, got {text[error.start]!r}; read it with its right encoding",
            source=source or None,
            line=line and line + text.count("\n", 0, error.start),
        ) from error
    return text


def _byte_letters() -> list[str]:
    """Returns the letter that GPT-2's vocabulary writes for each byte, by the byte's value."""
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}  # printable in Latin-1
    others = iter(range(0x100, 0x200))
    return [chr(value if value in own else next(others)) for value in range(256)]


def _shown(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    if text.isprintable() and "\ufffd" not in text:
        return text
    return "".join(chr(value) if 0x20 <= value < 0x7F else f"<0x{value:02X}>" for value in data)
