"""What pages say of words that a stranger does not know."""

import re
from pathlib import Path

import pytest

from ui.components.terms import TERMS, meaning, says

ROOT = Path(__file__).parent.parent.parent
GLOSSARY = dict(re.findall(r'^\| ([^|]+?) \| (.+) \|$', (ROOT / 'docs' / 'glossary.md').read_text('utf-8'), re.M))


@pytest.mark.parametrize('word', TERMS)
def test_pages_explain_a_word_as_the_glossary_does(word: str) -> None:
    assert GLOSSARY[word] == TERMS[word]


def test_what_is_said_is_one_sentence_of_plain_text() -> None:
    said = [says(word) for word in TERMS]
    assert [one for one in said if not re.fullmatch(r'[A-Z][^`*\[\]]{10,170}[^.]\.', one)] == []


def test_a_label_is_known_by_its_word_and_others_are_not() -> None:
    assert meaning('Own faults') == meaning('own faults') == says('own faults')
    assert meaning('MASE') == says('MASE')
    assert meaning('Name') == ''
