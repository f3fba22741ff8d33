"""The error tree."""

import json
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import errors
from core.errors import VariosyncError
from ui.errors import wrong_value

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VariosyncError)]


@pytest.mark.parametrize('kind', KINDS)
def test_every_error_survives_pickling(kind):
    error = pickle.loads(pickle.dumps(kind('Line 7 is wrong.', line=7)))
    assert type(error) is kind
    assert (error.message, error.details, str(error)) == ('Line 7 is wrong.', {'line': 7}, 'Line 7 is wrong.')


@pytest.mark.parametrize('kind', KINDS)
def test_every_error_says_something_and_is_drawn_in_the_tree(kind):
    assert kind().message.endswith('.')
    assert kind.__name__ in (errors.__doc__ or '')
    assert 400 <= kind.status < 600


@pytest.mark.parametrize('kind', KINDS)
def test_every_error_survives_plain_words(kind):
    words = json.loads(json.dumps(errors.to_words(kind('Line 7 is wrong.', line=7))))
    error = errors.from_words(*words)
    assert (type(error), error.message, error.details) == (kind, 'Line 7 is wrong.', {'line': 7})


@pytest.mark.parametrize('name', ['Exception', 'ClassVar', 'to_words', '__builtins__', 'nonsense'])
def test_words_that_name_no_error_of_ours_are_a_failed_task(name):
    error = errors.from_words(name, 'Said.', {'message': 'twice'})
    assert (type(error), error.message) == (errors.TaskFailed, 'Said.')


def test_code_is_the_name_in_snake_case():
    assert errors.SeriesTooShort().code == 'series_too_short'


class Asked(BaseModel):
    model_config = ConfigDict(extra='forbid')
    limit: int = Field(ge=1)
    name: str = Field('a', max_length=3)
    on: bool = False
    steps: list[int] = []


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({'limit': 'ten'}, 'The value of "limit" cannot be read: it should be a whole number.'),
        ({'limit': 0}, 'The value of "limit" cannot be read: it should be greater than or equal to 1.'),
        ({}, 'The value of "limit" cannot be read: it is missing.'),
        ({'limit': 1, 'name': 'abcd'}, 'The value of "name" cannot be read: it should have at most 3 characters.'),
        ({'limit': 1, 'on': 'maybe'}, 'The value of "on" cannot be read: it should be true or false.'),
        ({'limit': 1, 'steps': 3}, 'The value of "steps" cannot be read: it should be a list.'),
        ({'limit': 1, 'more': 3}, 'The value of "more" cannot be read: there is no value of this name.'),
    ],
)
def test_a_wrong_value_is_told_in_our_words(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Asked.model_validate(given)
    (error,) = wrong.value.errors()
    assert wrong_value(str(error['loc'][0]), error) == said
