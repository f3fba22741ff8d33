"""Words that a stranger does not know: pointer, focus or a press on one tells in a sentence what it means.

The sentences are those of docs/glossary.md. `static/terms.js` shows what an element's `data-says` holds.
"""

import re
from collections.abc import Mapping

from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

TERMS: Mapping[str, str] = {
    # scores
    'MASE': 'mean absolute scaled error: how far off forecasts were, in errors of the seasonal naive; below 1 beats it',
    'RMSSE': 'root mean squared scaled error: like MASE, but one far miss counts more than several near ones',
    'sMAPE': 'symmetric mean absolute percentage error: how far off forecasts were, in percent of the mean of the '
    'forecast and the actual value',
    'SQL': 'scaled quantile loss: how far off all quantiles together were, in errors of the seasonal naive; it is the '
    'score for bands, and lower is better',
    'WQL': 'weighted quantile loss: how far off all quantiles together were, as a share of the size of the values',
    # forecasts
    'seasonal naive': 'the forecast that repeats the last season; what the errors of other models are measured in',
    'cutoff': 'the last time that a forecast has seen',
    'horizon': 'the steps after the cutoff that a forecast is for',
    'step ahead': 'how many steps after the cutoff a value lies; a step is the usual time from one value to the next',
    'season': 'the number of steps after which a series repeats its pattern, such as 24 in hourly values',
    'quantile': 'a level that the value stays under with the given probability',
    'band': 'the range between two quantiles: an 80% band promises to hold 80 of 100 values',
    'coverage': 'the share of actual values that fell into a band, beside the share that the band promised',
    'backtest': 'forecasts from past cutoffs, scored on what came after them',
    'regressor': 'a measure that is known for the horizon too, in rows after the last value of the target',
    'residual': 'the actual value minus its forecast, in a backtest',
    'autocorrelation': 'how much one error tells of a later one, from −1 to 1; near 0 it tells nothing',
    'anomaly': 'a past value that lies far from what its neighbours and its season let expect',
    'changepoint': 'a time at which a series begins to rise, fall or lie otherwise than before',
    'leaderboard': 'the models of a forecast by how well each did in its backtest',
    'track record': 'what issued forecasts promised beside what came, deleted ones too, by model, by steps ahead and '
    'over time',
    'adapted level': 'the level that a band is drawn at in the place of the promised one, because of what earlier '
    'forecasts held',
    'what-if': 'a forecast asked for again with other values of its regressors ahead; it is not scored, as nobody '
    'expects that future',
    'budget': 'the seconds that `auto` may take, which bound its share of the quote; other models do not heed it',
    # datasets
    'record': 'one logical row of the source file, which may span several physical lines',
    'role': 'what a column is for: the time, a series, a measure or an attribute',
    'measure': 'a column of numbers that are charted and forecast',
    'repaired': 'stored with at least one change, each listed as a fault',
    'rejected': 'not stored, since it cannot be read; listed as a fault',
    'fault': 'one place in the source that was repaired or rejected: line, column, kind, value, action',
    'own faults': 'the faults of the file that came with a version, without those of the files before it',
    'gap': 'a step longer than the usual one of its series; a line is drawn through it unless it is far longer than '
    'nine in ten steps',
    'recipe': 'what cleans the rows of a version after they were read, in order',
    'provenance': 'the file, the line and the version that a stored row came from',
    # hours
    'hours': 'what viewing and jobs are paid with; counted in whole seconds everywhere',
    'quote': 'the most a job may cost, told before it is ordered',
    'grant': 'seconds that a user was given: trial, owner, gift, purchase or refund; used by priority, then expiry, '
    'then age',
    'held for jobs': 'the quotes of jobs that have not ended, taken from the balance; what they do not use comes back',
    # programs
    'API key': 'a secret for programs with scopes such as `datasets:read`; shown once, stored as a hash',
    'scope': 'what an API key may do: a resource, and `read` or `write`',
}

_IN_TEXT = re.compile(r'\{([^{}|]+)(?:\|([^{}]+))?\}')


class Marked(str):
    """Text of ours in which `{word}` is a term, and `{shown|word}` one that is shown otherwise: `{cutoffs|cutoff}`.

    `tag` draws such text, and so does every part that is given one. It never holds the words of a user.
    """

    __slots__ = ()


def says(word: str) -> str:
    """What a term means, as a sentence. Raise KeyError for a word that the glossary does not explain."""
    return _sentence(TERMS[word])


def meaning(label: str) -> str:
    """What a label means when it is a term itself; '' for all other labels."""
    word = label if label in TERMS else label.lower()
    return says(word) if word in TERMS else ''


def term(word: str, shown: str = '', *, classes: str = '') -> Element:
    """A word of the glossary, written as `shown` if given, that can be asked what it means."""
    return explained(shown or word, says(word), classes=classes)


def explained(shown: str, sentence: str, *, classes: str = '') -> Element:
    """A word that can be asked for a sentence of its own, such as what the head of a column means."""
    element = TextElement(tag='button', text=shown).classes(f'term {classes}'.strip())
    element.props.update({'type': 'button', 'data-says': sentence, 'aria-description': sentence})
    return element


def write(text: str) -> None:
    """Write text into the open element, the terms of `Marked` text as `term` draws them."""
    done = 0
    for found in _IN_TEXT.finditer(text):
        if text[done : found.start()]:
            TextElement(tag='span', text=text[done : found.start()])
        shown, word = found.group(1), found.group(2) or found.group(1)
        term(word, shown)
        done = found.end()
    if text[done:]:
        TextElement(tag='span', text=text[done:])


def _sentence(meaning: str) -> str:
    return f'{meaning[0].upper()}{meaning[1:]}.'.replace('`', '')
