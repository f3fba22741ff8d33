"""Which single-byte encoding makes words of a language: the letters beyond ASCII that languages of Europe write.

A byte above 127 is a letter of the west of Europe in one encoding and of its centre, of Turkish or of a Baltic language
in another. Each reading is judged by how often a language writes the letters it gives, as a naive Bayes classifier
does, every different word counted once.
"""

import math
import re
from functools import cache
from typing import Final

_WEST: Final = {
    'German': 'ü40ä25ö20ß15',
    'French': 'é60à18è11ê9ç3î2ô2û2â2ù2ë1ï1œ1',
    'Spanish': 'ó27í24á17é15ñ11ú6ü1',
    'Portuguese': 'ã19ç15é13á12ó10í9ê8õ6ú5â4à3ô2ü1',
    'Italian': 'à35è25ò15ù15é5ì5ó1',
    'Swedish': 'ä39å29ö28é2ü1',
    'Danish': 'å38ø34æ25é2ö1ü1ä1',
    'Icelandic': 'ð32á13í12þ11ó8é6ö6æ6ú5ý2',
    'Dutch': 'ë45é25ï15ö8ü4è3ó1ê1ç1',
    'Catalan': 'à20é18è14ó16í10ò8ç7ú3ï3ü1·1',
    'Estonian': 'ä35õ25ü25ö10š3ž2',
}
_CENTRE: Final = {
    'Czech': 'í20á17é9ě13ý9ž9š8č8ř10ů5ú2ó1ť1ď1ň1',
    'Slovak': 'á19í11č11š9é9ž9ý9ú8ľ5ť6ň2ó2ô2ä1ď2ŕ1ĺ1ě1',
    'Polish': 'ł27ó14ę13ą11ś10ż9ć7ń5ź2é1ü1ö1',
    'Hungarian': 'é36á29ö8ő8ó8ü6í4ú3ű2',
    'Croatian': 'č30š30ž18ć16đ8',
    'Slovene': 'č40š34ž26ć1',
    'Romanian': 'ă38ş18î17ţ15â12é1',
    'German': 'ü40ä25ö20ß15',
}
_TURKISH: Final = {'Turkish': 'ı44ü16ş15ç9ğ9ö6İ2â1î1'}
_BALTIC: Final = {
    'Lithuanian': 'ė22š17ų16ž12ą9į8č6ū6ę4',
    'Latvian': 'ā37ī18ē17š10ņ5ū5ļ4ž3č2ķ1ģ1',
    'Estonian': 'ä35õ25ü25ö10š3ž2',
}
_READINGS: Final = {
    'cp1252': _WEST, 'cp1250': _CENTRE, 'iso8859-2': _CENTRE, 'cp1254': _TURKISH, 'cp1257': _BALTIC,
}  # fmt: skip
# Quotes, dashes and the like are no letters in any of these encodings.
_WORD: Final = re.compile(rb'(?:[A-Za-z]|[^\x00-\x7f\x82-\x89\x8b\x91-\x97\x9b\xa0\xad\xb4])+')
_SIGNS: Final = bytes(
    byte for byte in range(0x80, 0x100) if byte < 0xC0 and byte not in b'\x8a\x8c\x8e\x9a\x9c\x9e\x9f'
)
_MOST_WORDS: Final = 600
_FOREIGN: Final = math.log(0.0005)
_MARGIN: Final = 3.0
_EXPLAINED: Final = 0.9


def encoding_by_letters(sample: bytes) -> tuple[str, float] | None:
    """The encoding other than cp1252 whose letters make words, with how sure that is (0 to 1); None where cp1252 does.

    That takes a language which writes nearly all of the words, and writes them far likelier than any of the west does.
    """
    whole = list(dict.fromkeys(word for word in _WORD.findall(sample) if not word.isascii()))[:_MOST_WORDS]
    words = [word for word in dict.fromkeys(map(_folded, whole)) if not word.isascii()]
    found: dict[str, tuple[float, float]] = {}
    for encoding in _READINGS:
        if encoding == 'iso8859-2' and any(0x80 <= byte < 0xA0 for byte in sample):
            continue
        found[encoding] = _best(words, encoding)
    west = found.pop('cp1252')
    encoding = max(found, key=lambda name: found[name])
    score, explained = found[encoding]
    if not words or west[1] >= _EXPLAINED or explained < _EXPLAINED or score - west[0] < _MARGIN:
        return None
    if encoding == 'cp1250' and 'iso8859-2' in found and _best(whole, 'iso8859-2') > _best(whole, encoding):
        encoding = 'iso8859-2'
    return encoding, 1.0 - 0.5 * math.exp(west[0] - score)


def _best(words: list[bytes], encoding: str) -> tuple[float, float]:
    """How well the language that suits words best in an encoding does."""
    read = [[_lowered(sign) for sign in word.decode(encoding, 'replace') if not sign.isascii()] for word in words]
    return max(_judged(read, letters) for letters in _READINGS[encoding].values())


def _lowered(sign: str) -> str:
    return lowered if len(lowered := sign.lower()) == 1 else sign


def _folded(word: bytes) -> bytes:
    """A word without what is a sign rather than a letter at its ends, as in `m³` and `£5`."""
    return word.strip(_SIGNS)


def _judged(words: list[list[str]], letters: str) -> tuple[float, float]:
    """How likely a language writes these letters (a logarithm), and the share of words that it can write."""
    table = _table(letters)
    score = sum(table.get(sign, _FOREIGN) for word in words for sign in word)
    return score, sum(all(sign in table for sign in word) for word in words) / max(len(words), 1)


@cache
def _table(letters: str) -> dict[str, float]:
    """The logarithm of each letter's share among the letters beyond ASCII of a language."""
    counts = {letter: int(count) for letter, count in re.findall(r'(\D)(\d+)', letters)}
    total = sum(counts.values())
    return {letter: math.log(count / total) for letter, count in counts.items()}
