"""``carousel info``."""

from __future__ import annotations

import json
import platform
from typing import Annotated, Any

from cyclopts import Parameter


def info(
    *, json_: Annotated[bool, Parameter(name="--json", help="print JSON", negative="")] = False
) -> None:
    """Show versions, which engines run here and why, and the samples that ship."""
    facts = gather()
    if json_:
        print(json.dumps(facts))
        return
    for name, value in facts["versions"].items():
        print(f"{name:<10} {value}")
    print(f"{'machine':<10} {facts['machine']}, {facts['threads']} threads")
    print("\nengines")
    for engine in facts["engines"]:
        print(
            f"  {engine['name']:<10} {'yes' if engine['available'] else 'no ':<4}{engine['reason']}"
        )
    print("\nsamples")
    for name, sample in facts["samples"].items():
        print(f"  sample:{name:<12} {sample['task']}: {sample['about']} ({sample['licence']})")


def gather() -> dict[str, Any]:
    """Returns what ``carousel info`` shows, as plain values."""
    import torch

    import carousel
    from carousel import engines
    from carousel.data.samples import samples

    return {
        "versions": {
            "carousel": carousel.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "machine": f"{platform.system()} {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
        "engines": [
            {"name": name, "available": available, "reason": reason}
            for name, available, reason in engines.available()
        ],
        "samples": samples(),
    }
