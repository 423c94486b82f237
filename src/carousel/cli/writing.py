"""What ``carousel predict`` does with a language model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from carousel.cli import standard_output
from carousel.cli.standard_input import incoming_text
from carousel.data.storage import write_atomically
from carousel.decoding.sampling import SamplingOptions
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.language_modeling.options import share_option

_MOST = 500  # tokens, where nothing is said


@options
class WritingOptions:
    """What a language model writes."""

    stop: tuple[str, ...] = option(default=(), help="texts at which to stop")
    seed: int = option(default=0, help="decides every draw", low=0, high=2**63 - 1)
    score: bool = option(
        default=False, help="write nothing; say how likely INPUT is, token by token"
    )
    ngram_weight: float | None = share_option()


def write(
    model: Path,
    input: str | None,
    chosen: WritingOptions,
    sampling: SamplingOptions,
    max_tokens: int | None,
    out: Path | None,
    device: str,
    *,
    as_json: bool,
) -> None:
    """Writes on from a text, or scores it."""
    import carousel

    most = _MOST if max_tokens is None else max_tokens
    if most == 0 and (out is not None or as_json):
        raise OptionError("--max-tokens 0 has no end, which only a terminal or pipe can take")
    prompt = incoming_text("give INPUT itself") if input == "-" else input or ""
    language_model = carousel.load(model).to(device)
    if chosen.ngram_weight is not None:
        language_model.ngram_weight = chosen.ngram_weight
    if chosen.score:
        scored = language_model.score(prompt)
        text = json.dumps(scored.to_dict()) if as_json else str(scored)
        if out is None:
            print(text)
        else:
            write_atomically(out, f"{text}\n".encode())
        return
    pieces = language_model.stream(
        prompt, max_tokens=most or None, stop=chosen.stop, seed=chosen.seed, options=sampling
    )
    if as_json:
        print(standard_output.as_json({"prompt": prompt, "text": "".join(pieces)}))
    elif out is not None:
        text = prompt + "".join(pieces)
        write_atomically(out, f"{text}\n".encode())
        print(f"wrote {len(text):,} characters to {out}", file=sys.stderr)
    else:
        print(prompt, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
            if getattr(sys.stdout, "failed", False):  # the reader has left, and there may be no end
                return
        print()
