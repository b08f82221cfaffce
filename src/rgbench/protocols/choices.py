"""What was chosen, and on which sources: a table ``[[choices]]`` of a protocol, of a network's card, or of a study.

`rgbench.data.choices` holds it against the sources that are tested on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import Field, field_validator, model_validator

from rgbench.errors import SpecError
from rgbench.validation import MOST_LISTED, Frozen, Whole, validate

_SPLIT = re.compile(r"published|fold-\d{1,4}")
_KEY = re.compile(r"(images|augmentation|recipe)\.\w+")


class Choice(Frozen):
    """A choice: of what, from which values, judged on the validation sources of which splits.

    Attributes
    ----------
    what : str
        What was chosen, in words, as "learning rate".
    key : str
        The key of a run that it set, as "recipe.learning_rate"; a run with another value there does not rest on the
        choice. "" where there is none, as of layers.
    networks : tuple of str
        Networks that it was made for; none for all.
    tried : tuple of str
        Networks whose runs judged it; none for those of `networks`.
    values : tuple
        What was tried.
    trials : int, optional
        How many trials there were, where they are no list of values.
    seeds : int, optional
        Seeds of each trial, where it is known.
    data : str
        The data set whose validation sources judged it; "" where that is not recorded.
    splits : tuple of str
        Its splits: "published", "fold-0" and so on.
    without : tuple of str
        Splits whose test sources were taken out of all sides before.
    note : str
        What else is known of it.
    """

    what: str = Field(min_length=1)
    key: str = ""
    networks: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    tried: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    values: tuple[bool | int | float | str, ...] = Field((), max_length=MOST_LISTED)
    trials: Whole | None = Field(None, ge=1)
    seeds: Whole | None = Field(None, ge=1)
    data: str = ""
    splits: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    without: tuple[str, ...] = Field((), max_length=MOST_LISTED)
    note: str = ""

    @field_validator("key")
    @classmethod
    def _names_a_key(cls, value: str) -> str:
        if value and not _KEY.fullmatch(value):
            raise ValueError("must be a key of images, augmentation or recipe, as 'recipe.learning_rate'")
        return value

    @field_validator("splits", "without")
    @classmethod
    def _published(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not _SPLIT.fullmatch(value):
                raise ValueError("must be 'published' or published folds: 'fold-0', 'fold-1', ...")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Choice:
        if bool(self.data) != bool(self.splits):
            raise ValueError("data and splits go together: the data set, and the splits of it that judged")
        if self.without and not self.splits:
            raise ValueError("without goes with splits")
        return self

    @property
    def tries(self) -> int | None:
        """How many values were tried; None if that is not recorded."""
        return self.trials or len(self.values) or None


def read_choices(content: Any, where: str) -> tuple[Choice, ...]:
    """Read the tables ``[[choices]]`` of a file; `SpecError` names the table and the key.

    Examples
    --------
    >>> (choice,) = read_choices([{"what": "epochs", "data": "mnist", "splits": ["published"]}], "my.toml")
    >>> choice.what, choice.data, choice.tries
    ('epochs', 'mnist', None)
    """
    if not isinstance(content, Sequence) or not all(isinstance(each, dict) for each in content):
        raise SpecError(f"{where}: choices must be a list of tables, [[choices]]")
    return tuple(
        validate(Choice, each, f"{where}: choices {number}") for number, each in enumerate(content, start=1)
    )
