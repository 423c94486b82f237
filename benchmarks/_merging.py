"""A record made of parts, each measured by a run of its own, for what is too long for one.

Every row of its tables says at which commit, when and on what processor it was measured; a part
that is measured again takes the place of what it was. Knows nothing of what is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

ORIGIN = ("commit", "date", "processor")  # the last columns of each table


def signed(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of a part with the origin of each row of its tables."""
    origin = [record["commit"], record["date"], record["machine"]["cpu"]]
    tables = [
        {
            **table,
            "columns": [*table["columns"], *ORIGIN],
            "rows": [[*row, *origin] for row in table["rows"]],
        }
        for table in record.get("tables", [])
    ]
    return {**record, **({"tables": tables} if tables else {})}


def merged(old: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what an older record says of other parts, and this part.

    Of everything but results, tables, notes and seconds the new one is taken.

    Args:
        old: the record that is there.
        part: a newer one, its rows signed.
    """
    earlier = {table["title"]: table for table in old.get("tables", [])}
    tables = [_joined(earlier.pop(table["title"], None), table) for table in part.get("tables", [])]
    tables += earlier.values()
    found = {
        **part,
        "seconds": round(old["seconds"] + part["seconds"], 1),
        "results": {**old["results"], **part["results"]},
    }
    notes = list(dict.fromkeys([*old.get("notes", []), *part.get("notes", [])]))
    return {
        **found,
        **({"tables": tables} if tables else {}),
        **({"notes": notes} if notes else {}),
    }


def _joined(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table with the older one's rows, but for those of a name that the newer one has."""
    if old is None or old["columns"] != new["columns"]:
        return dict(new)
    rows = {_name(row): row for row in [*old["rows"], *new["rows"]]}
    return {**new, "rows": list(rows.values())}


def _name(row: Sequence[object]) -> tuple[object, ...]:
    """Returns the words that a signed row begins with."""
    own = row[: -len(ORIGIN)]
    return tuple(itertools.takewhile(lambda cell: isinstance(cell, str), own))
