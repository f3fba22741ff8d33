"""The error tree."""

import json
import pickle

import pytest

from core import errors
from core.errors import VariosyncError

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
