"""Frozen models of values that users write, and errors that name the key, what was found and what is legal."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, ValidationError

from rgbench.errors import SpecError, shown

MOST_LISTED = 1000
"""Entries of a list at most; more are taken for a slip."""

# True is no number here, and a text in quotes neither.
Whole = StrictInt
Number = StrictFloat
Flag = StrictBool


class Frozen(BaseModel):
    """A model that cannot be changed, knows no other keys, and takes no infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


M = TypeVar("M", bound=Frozen)


def validate(model: type[M], content: dict[str, Any], where: str) -> M:
    """Make a spec from plain values; raise `SpecError` naming the key, what was found, what is legal."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SpecError(f"{where}: " + "; ".join(_explain(model, e) for e in error.errors())) from None


def _explain(model: type[BaseModel], error: Any) -> str:
    location = [str(part) for part in error["loc"] if not isinstance(part, int) or part < 1000]
    key = ".".join(location) or "the table"
    if error["type"] == "extra_forbidden":
        legal = _keys_at(model, location[:-1])
        close = difflib.get_close_matches(location[-1], legal, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(legal)}"
        return f"unknown key {key!r}; {hint}"
    if error["type"] == "missing":
        return f"key {key!r} is missing"
    if error["type"] == "tuple_type":
        return f"key {key!r}: must be a list, as [{shown(error['input'])}], found {shown(error['input'])}"
    if error["type"] == "too_long":
        return f"key {key!r}: must have 1 to {MOST_LISTED:,} entries, found {len(error['input']):,}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"key {key!r}: {message}, found {shown(error['input'])}"


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        # Of a list of tables, the kind of one.
        for each in (annotation, *get_args(annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                model = each
    return list(model.model_fields)
