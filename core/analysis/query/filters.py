"""What rows and series a filter leaves: texts and numbers related to its values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.analysis.arrays import Floats, fixed, there
from core.analysis.query.request import Filter
from core.errors import UsageError


def related(text: str, one: Filter) -> bool:
    """Whether a text is related to a filter's values; order is that of the letters."""
    value = one.values[0]
    return {
        'eq': text == value,
        'ne': text != value,
        'in': text in one.values,
        'lt': text < value,
        'le': text <= value,
        'gt': text > value,
        'ge': text >= value,
    }[one.relation]


def said(words: Any, one: Filter) -> NDArray[np.bool_]:
    """Which texts of an Arrow array are related to a filter's; a missing one never is."""
    coded = words.cast('string').dictionary_encode()
    meant = [word is not None and related(word, one) for word in coded.dictionary.to_pylist()]
    codes = np.where(there(coded.indices), fixed(coded.indices), len(meant))
    return np.asarray(np.array([*meant, False])[codes])


def compared(v: Floats, one: Filter) -> NDArray[np.bool_]:
    """Which numbers are related to a filter's; a missing one never is."""
    try:
        values = [float(value) for value in one.values]
    except ValueError as error:
        raise UsageError(f'"{one.values[0][:40]}" is no number.', place='query.filters') from error
    value = values[0]
    if one.relation == 'in':
        return np.isin(v, values)
    compare = {
        'eq': np.equal,
        'ne': np.not_equal,
        'lt': np.less,
        'le': np.less_equal,
        'gt': np.greater,
        'ge': np.greater_equal,
    }[one.relation]
    return np.asarray(compare(v, value) & ~np.isnan(v))
