"""The arguments of a tool call in one exact form: what is judged, shown, approved and executed."""

from __future__ import annotations

import json
from collections.abc import Collection
from hashlib import sha256
from math import isfinite
from typing import Any


def canonical(text: str) -> str:
    """Return a JSON object with sorted keys, compact and in ASCII; empty text counts as `{}`.

    Raises:
        ValueError: It is none, or has a key twice, or no finite number; the text is for the model.
    """
    try:
        return json.dumps(_object(text or "{}"), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            "the arguments must be one JSON object, no key twice, with finite numbers"
        ) from error


def digest(canonical: str) -> str:
    """Return the SHA-256 of canonical arguments in hex."""
    return sha256(canonical.encode()).hexdigest()


def values(arguments: str, names: Collection[str] = ()) -> tuple[str, ...]:
    """Return all that the named arguments hold, or all arguments: texts, and the rest as JSON.

    What is nested is opened, keys included; what is blank or null is left out.

    Raises:
        ValueError, RecursionError: It is not a JSON object, or one that is far too deep.
    """
    given = _object(arguments)
    waiting = [each for name, each in given.items() if not names or name in names]
    found: list[str] = []
    for each in waiting:  # grows as it goes
        if isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each
        elif each is not None:
            found.append(each if isinstance(each, str) else json.dumps(each))
    return tuple(value for value in found if value.strip())


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    if not isinstance(found, dict):
        raise ValueError  # noqa: TRY004 - like any other text that is no such object
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found
