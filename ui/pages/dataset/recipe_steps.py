"""Steps of a recipe as the page knows them: what they are called, what they lack, a draft in an address."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from ui.components.times import count

Step = dict[str, Any]
MOST_IN_ADDRESS = 3000  # characters
KINDS: Mapping[str, tuple[str, str, Step]] = {
    'merge': ('Merge series', 'One name for a series that is spelled in several ways.', {'values': [], 'to': ''}),
    'filter': ('Filter rows', 'Keep the rows that meet a condition.', {'where': ''}),
    'resample': ('Resample', 'One row a step of time, for each series.', {'every': 'D', 'how': 'mean'}),
    'fill': ('Fill gaps', 'Give empty cells a value.', {'how': 'linear'}),
    'clip': (
        'Empty outliers',
        'Empty values beyond bounds, or bring them to the bound.',
        {'how': 'iqr', 'k': 3.0, 'action': 'empty'},
    ),
    'derive': ('Derive a column', 'A new column, or other values for one.', {'column': '', 'as': ''}),
    'rename': ('Rename a column', '', {'column': '', 'to': ''}),
    'cast': ('Change a type', '', {'column': '', 'type': 'number'}),
    'drop': ('Remove a column', '', {'column': ''}),
}
LARGEST = sys.float_info.max  # that a field for numbers can hold
NUMBERS = ('low', 'high', 'k', 'limit', 'season')
ASKED = re.compile(r'(?:The step (\w+) needs "(\w+)"\.|"(values)" of the step (merge) is a list of texts\.)$')
LABELS = {
    ('merge', 'to'): 'Become', ('merge', 'values'): 'Spellings', ('filter', 'where'): 'Keep rows where',
    ('derive', 'column'): 'Column', ('derive', 'as'): 'Is', ('rename', 'to'): 'New name',
}  # fmt: skip
"""What the form calls what a step needs, where that is another word than the recipe's."""
IN_THE_FORM = {
    'Clipping at fixed bounds needs "low", "high" or both.': 'Fill in "Lower", "Upper" or both.',
    'Filling by season needs "season": ': 'Fill in "Rows in a season": ',
}


def in_the_form(text: str) -> str:
    """What is wrong with a step, with the names that the form has for what a recipe calls otherwise."""
    if (found := ASKED.search(text)) is not None:
        do, key = found[1] or found[4], found[2] or found[3]
        return f'{text[: found.start()]}Fill in "{LABELS.get((do, key), key.capitalize())}".'
    for words, own in IN_THE_FORM.items():
        text = text.replace(words, own)
    return text


def is_whole(step: Step) -> bool:
    """Whether a step has all that it cannot do without; one that has not is being written."""
    return all(step.get(key) for key, value in KINDS[step['do']][2].items() if value in ('', []))


def read(text: str) -> list[Step] | None:
    """The draft in an address, None where there is none that makes sense."""
    try:
        steps = json.loads(text) if text else None
        json.dumps(steps, ensure_ascii=False).encode()  # a ValueError for half a character, which no page can show
    except (ValueError, RecursionError):
        return None
    if not isinstance(steps, list):
        return None
    return [step for step in steps if isinstance(step, dict) and str(step.get('do')) in KINDS and _in_shape(step)]


def _in_shape(step: Step) -> bool:
    """Whether the form can show what a step holds: texts, numbers, names of columns; whether it can be done is told."""

    def fits(name: str, value: Any) -> bool:
        if name == 'columns':
            names = value.values() if isinstance(value, dict) else value
            kind = dict if step['do'] == 'resample' else list
            return isinstance(value, kind) and all(isinstance(one, str) for one in names)
        if name == 'values':
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        if name in NUMBERS:
            return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
        return isinstance(value, str)

    return all(value is None or fits(name, value) for name, value in step.items())


def title(step: Mapping[str, Any]) -> str:
    """What a step does, in two words."""
    clips = step['do'] == 'clip' and step.get('action') != 'empty'
    return 'Clip outliers' if clips else KINDS[step['do']][0]


def done(step: Mapping[str, Any]) -> str:
    """What a step of a version's recipe did, such as "Empty outliers: 14 of 10,482 values"."""
    name = title(step)
    said = []
    if step.get('rows_before') != step.get('rows_after'):
        said.append(f'{count(step["rows_before"])} \u2192 {count(step["rows_after"])} rows')
    if step.get('cells_changed') or (step.get('cells') and not said):
        said.append(f'{share(step)} {"empty cells" if step["do"] == "fill" else "values"}')
    return f'{name}: {", ".join(said)}' if said else name


def share(step: Mapping[str, Any]) -> str:
    """How many cells a step changed, and of how many where that was counted."""
    return count(step['cells_changed']) + (f' of {count(step["cells"])}' if step.get('cells') else '')
