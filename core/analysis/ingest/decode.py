"""Bytes to UTF-8: which encoding a text file has, what stands in it, and a UTF-8 copy where one is needed."""

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.letters import encoding_by_letters
from core.analysis.ingest.rawtable import decision
from core.errors import UnreadableFile

if TYPE_CHECKING:
    import numpy as np

BLOCK: Final = 2**20
HOLE: Final = 64
"""So many NUL characters in a row are a part of the file that was never written."""
_SAMPLE: Final = 2**16
_BOMS: Final = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32-le'),
    (codecs.BOM_UTF32_BE, 'utf-32-be'),
    (codecs.BOM_UTF16_LE, 'utf-16-le'),
    (codecs.BOM_UTF16_BE, 'utf-16-be'),
)
_BINARY: Final = 'The file holds binary data, not text. Upload a CSV, JSON, Parquet, Feather or Excel file.'
_UNDEFINED_1252: Final = frozenset((0x81, 0x8D, 0x8F, 0x90, 0x9D))
_UTF8: Final = ('utf-8', 'utf-8-sig')
_NAMES: Final = {'iso8859-1': 'latin-1', 'cp932': 'shift_jis', 'cp950': 'big5', 'ascii': 'utf-8'}
_CODECS: Final = {'shift_jis': 'cp932', 'big5': 'cp950'}
# Python reads these single bytes of cp932, which stand for nothing, as private characters.
_NOTHING_932: Final = re.compile('[\uf8f0-\uf8f3]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An encoding, how sure it is (0 to 1), and which one came second."""

    encoding: str
    confidence: float
    runner_up: str | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text file as UTF-8: `path` is the file itself (then `offset` skips its BOM) or a UTF-8 copy.

    `lf`, `crlf`, `cr` count line breaks of each sort, `blanks` pairs of breaks that touch, `quotes` and `apostrophes`
    the characters, `bad` undecodable sequences, `nuls` NUL characters in `holes` runs; `long` tells that a line may
    pass a megabyte. `choice` tells how the encoding was found (see rawtable.decision).
    """

    path: Path
    offset: int
    encoding: str
    copied: bool
    size: int
    lf: int
    crlf: int
    cr: int
    blanks: int
    quotes: int
    apostrophes: int
    nuls: int
    holes: int
    bad: int
    long: bool
    choice: Mapping[str, Any]


def as_utf8(path: Path, *, workdir: Path, progress: Callable[[float], None], encoding: str | None = None) -> Text:
    """Give a text file as UTF-8, from the encoding named or, without one, from the one found.

    A file that is UTF-8 already is not copied. Raises UnreadableFile when the bytes are no text in any known encoding.
    """
    marked, offset = _by_mark(path)
    if encoding is not None:
        found, offset = _asked(encoding, marked, offset)
    else:
        found = Found(encoding=marked or 'utf-8', confidence=1.0)
    if found.encoding in _UTF8 and _has_controls(path):
        raise UnreadableFile(_BINARY)
    if found.encoding in _UTF8:
        text, invalid = _scan_utf8(path, offset=offset, found=found, progress=progress)
        if not invalid and not _is_binary(text):
            return text
        found = found if marked or encoding else _guess(path)
    copy = workdir / 'text.utf8'
    bad = _transcode(path, copy, encoding=found.encoding, offset=offset, progress=progress)
    text, _ = _scan_utf8(copy, offset=0, found=found, progress=progress)
    if _is_binary(text):
        raise UnreadableFile(_BINARY)
    return replace(text, copied=True, bad=bad)


def _asked(encoding: str, marked: str | None, offset: int) -> tuple[Found, int]:
    """The encoding that was asked for; a byte-order mark of its own is skipped and tells which of its kind it is."""
    name = codecs.lookup(encoding).name
    family = name.removesuffix('-sig')
    if marked is None or not marked.startswith(family):
        offset = 0
        name = f'{family}-le' if family in ('utf-16', 'utf-32') else family
    else:
        name = marked
    return Found(encoding=_NAMES.get(name, name), confidence=1.0, asked=True), offset


def _is_binary(text: Text) -> bool:
    # A file whose writer lost power has a few holes of thousands of zero bytes: what stands around them is text.
    holes = text.nuls >= HOLE * text.holes and text.lf + text.crlf + text.cr > 1
    return text.nuls > 16 and text.nuls * 50 > text.size and not holes


def _has_controls(path: Path) -> bool:
    """Whether control characters of many sorts, which no text has, stand in the file's head."""
    with path.open('rb') as file:
        head = file.read(_SAMPLE)
    found = [byte for byte in head if byte < 32 and byte not in b'\t\n\r\x0c\x1b']
    return len(set(found)) >= 4 and len(found) > 0.03 * len(head)


def _by_mark(path: Path) -> tuple[str | None, int]:
    """The encoding that a byte-order mark or the place of zero bytes tells."""
    with path.open('rb') as file:
        head = file.read(65536)
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    if len(head) < 4:
        return None, 0
    head = head[: len(head) // 2 * 2]
    even, odd = head[::2].count(0) * 2 / len(head), head[1::2].count(0) * 2 / len(head)
    if odd > 0.3 and even < 0.05:
        return 'utf-16-le', 0
    if even > 0.3 and odd < 0.05:
        return 'utf-16-be', 0
    return None, 0


def _scan_utf8(path: Path, *, offset: int, found: Found, progress: Callable[[float], None]) -> tuple[Text, int]:
    """What stands in a file, and how many times it is no UTF-8 (0 or 1)."""
    # Comparing by numpy takes a quarter of the time of bytes.count.
    import numpy as np

    decoder = codecs.getincrementaldecoder('utf-8')('strict')
    size = path.stat().st_size
    lf = crlf = cr = blanks = quotes = apostrophes = nuls = holes = invalid = done = since = 0
    long, last = False, b''
    with path.open('rb') as file:
        file.seek(offset)
        while block := file.read(BLOCK):
            if not invalid and (not block.isascii() or decoder.getstate()[0]):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    invalid += 1
            signs = np.frombuffer(block, dtype=np.uint8)
            feeds = _near(last, block, 10)
            lines = int(np.count_nonzero(feeds[2:]))
            lf += lines
            blanks += int(np.count_nonzero(feeds[1:-1] & feeds[2:]))
            # To look for a sign takes far less time than to count it.
            quotes += int(np.count_nonzero(signs == 34)) if b'"' in block else 0
            apostrophes += int(np.count_nonzero(signs == 39)) if b"'" in block else 0
            if b'\0' in block:
                zeros = _near(last, block, 0)
                nuls += int(np.count_nonzero(zeros[2:]))
                holes += int(np.count_nonzero(zeros[2:] & ~zeros[1:-1]))
            if returned := b'\r' in block or last.endswith(b'\r'):
                returns = _near(last, block, 13)
                cr += int(np.count_nonzero(returns[2:]))
                crlf += int(np.count_nonzero(returns[1:-1] & feeds[2:]))
                blanks += int(np.count_nonzero(feeds[:-2] & returns[1:-1] & feeds[2:]))
                blanks += int(np.count_nonzero(returns[1:-1] & returns[2:]))
            since = since + len(block) if not lines and not returned else 0
            long = long or since >= BLOCK
            last = (last + block)[-2:]
            done += len(block)
            progress(done / max(size, 1))
    if not invalid and decoder.getstate()[0]:
        invalid += 1
    text = Text(
        path=path, offset=offset, encoding=found.encoding, copied=False, size=size - offset, lf=lf - crlf, crlf=crlf,
        cr=cr - crlf, blanks=blanks, quotes=quotes, apostrophes=apostrophes, nuls=nuls, holes=holes, bad=0, long=long,
        choice=decision(
            found.encoding, confidence=found.confidence, runner_up=found.runner_up, asked=found.asked
        ),
    )  # fmt: skip
    return text, invalid


def _near(last: bytes, block: bytes, sign: int) -> 'np.ndarray[tuple[int], np.dtype[np.bool_]]':
    """Where a sign stands in a block, with two places in front for the end of the block before."""
    import numpy as np

    found = np.empty(len(block) + 2, dtype=np.bool_)
    np.equal(np.frombuffer(block, dtype=np.uint8), sign, out=found[2:])
    before = last.rjust(2, b' ')
    found[0], found[1] = before[0] == sign, before[1] == sign
    return found


def _transcode(path: Path, copy: Path, *, encoding: str, offset: int, progress: Callable[[float], None]) -> int:
    """Write `path` as UTF-8; undecodable sequences become U+FFFD and are counted."""
    bad = 0

    def counted(error: UnicodeError) -> tuple[str, int]:
        nonlocal bad
        bad += 1
        if not isinstance(error, UnicodeDecodeError):
            raise error
        return '\ufffd', error.end

    codecs.register_error('variosync_count', counted)
    name = 'utf-8' if encoding == 'utf-8-sig' else _CODECS.get(encoding, encoding)
    decoder = codecs.getincrementaldecoder(name)('variosync_count')
    size, done = path.stat().st_size, 0
    with path.open('rb') as source, copy.open('wb') as target:
        source.seek(offset)
        while block := source.read(BLOCK):
            decoded = decoder.decode(block)
            if name == 'cp932':
                decoded, nothings = _NOTHING_932.subn('\ufffd', decoded)
                bad += nothings
            target.write(decoded.encode('utf-8', 'replace'))
            done += len(block)
            progress(done / max(size, 1))
        target.write(decoder.decode(b'', final=True).encode('utf-8', 'replace'))
    return bad


def _guess(path: Path) -> Found:
    """The encoding of a file that is not UTF-8: from its lines with bytes above 127."""
    sample = _high_lines(path)
    multibyte = re.findall(rb'[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}', sample)
    high = sum(byte > 127 for byte in sample)
    paired = sum(map(len, multibyte))
    if paired > 0.75 * high and len(multibyte) > 2:
        return Found(encoding='utf-8', confidence=paired / high, runner_up=_single_byte(sample).encoding)
    if (lettered := encoding_by_letters(sample)) is not None:
        return Found(encoding=lettered[0], confidence=lettered[1], runner_up='cp1252')
    east = _east_asian(sample, high)
    single = _single_byte(sample)
    return single if east is None else Found(encoding=east, confidence=0.95, runner_up=single.encoding)


def _high_lines(path: Path, *, limit: int = _SAMPLE) -> bytes:
    found = bytearray()
    with path.open('rb') as file:
        while len(found) < limit and (block := file.read(BLOCK)):
            if not block.isascii():
                found += b'\n'.join(re.findall(rb'[^\r\n]*[\x80-\xff][^\r\n]*', block)) + b'\n'
    return bytes(found[:limit])


def _east_asian(sample: bytes, high: int) -> str | None:
    """Shift-JIS, Big5 and GB18030 (and their neighbours) by the shape of their byte pairs, confirmed by decoding."""
    leads = sum(0x81 <= byte <= 0x9F for byte in sample)
    if leads > 0.2 * high and _readable(sample, 'cp932', r'[\u3040-\u30ff\u4e00-\u9fff\uff01-\uff9f\u3000-\u303f]'):
        return 'shift_jis'
    if _is_big5(sample, high):
        return 'big5'
    runs = re.findall(rb'[\xa1-\xfe]+', sample)
    paired = sum(len(run) for run in runs if len(run) % 2 == 0)
    if paired < 0.9 * high:
        return None
    # A tenth of kana is enough: no other language of these encodings has any.
    for encoding, letters, share in (('euc_jp', r'[\u3040-\u30ff]', 0.1), ('euc_kr', r'[\uac00-\ud7a3]', 0.85)):
        if _readable(sample, encoding, letters, share=share):
            return encoding
    text = _decoded(sample, 'gb18030')
    if text is None:
        return None
    # Everyday Chinese is level 1 of GB 2312: lead bytes up to D7. Small accented letters of the west start at DF.
    everyday = sum(0xB0 <= run[place] <= 0xD7 for run in runs for place in range(0, len(run) - 1, 2))
    if everyday * 2 < 0.5 * paired:
        return None
    common = re.findall(r'[\u4e00-\u9fff]', text)
    western = _decoded(sample, 'cp1252')
    vowels = len(re.findall(r'[A-Za-z][\xc0-\xff]{2}[A-Za-z]', western or ''))
    return 'gb18030' if common and len(common) * 2 > 0.6 * high and vowels * 4 < len(common) else None


def _is_big5(sample: bytes, high: int) -> bool:
    """Whether nearly all pairs are everyday characters, and some but not all second bytes are ASCII."""
    pairs = re.findall(rb'[\x81-\xfe][\x40-\x7e\xa1-\xfe]', sample)
    everyday = sum(0xA4 <= pair[0] <= 0xC6 for pair in pairs)
    low = sum(pair[1] < 0x80 for pair in pairs)
    if len(pairs) < 4 or everyday < 0.95 * len(pairs) or not 0.1 * len(pairs) <= low <= 0.85 * len(pairs):
        return False
    return 2 * len(pairs) - low >= 0.98 * high and _decoded(sample, 'cp950') is not None


def _readable(sample: bytes, encoding: str, letters: str, *, share: float = 0.8) -> bool:
    text = _decoded(sample, encoding)
    if text is None:
        return False
    beyond = [character for character in text if ord(character) > 127 and character != '\ufffd']
    return bool(beyond) and len(re.findall(letters, ''.join(beyond))) >= share * len(beyond)


def _decoded(sample: bytes, encoding: str) -> str | None:
    """The sample as text, without a last line that may be cut off; None when too much is none in this encoding."""
    whole = sample if len(sample) < _SAMPLE else sample[: sample.rfind(b'\n') + 1]
    text = whole.decode(encoding, 'replace')
    bad = text.count('\ufffd') + (len(_NOTHING_932.findall(text)) if encoding == 'cp932' else 0)
    beyond = sum(not character.isascii() for character in text)
    return text if bad <= 0.02 * beyond or (bad <= 3 and beyond >= 50) else None


def _single_byte(sample: bytes) -> Found:
    words = re.findall(rb'[\x80-\xff]{3,}', sample)
    high = sum(byte > 127 for byte in sample)
    if sum(map(len, words)) > 0.6 * high:
        from charset_normalizer import from_bytes

        ranked = from_bytes(sample, cp_isolation=['cp1251', 'koi8_r', 'cp1253', 'cp1255', 'cp1256', 'iso8859_5'])
        if (best := ranked.best()) is not None:
            other = next((match.encoding for match in ranked if match.encoding != best.encoding), 'cp1252')
            return Found(encoding=best.encoding, confidence=max(0.0, 1.0 - best.chaos), runner_up=other)
    # Inside words, where the west of Europe has signs such as ³ and ¿, its centre has letters.
    letters = re.findall(rb'(?<=[A-Za-z\x9c-\xff])[\xa3\xa5\xaf\xb3\xb9\xbe\xbf](?=[a-z\xe0-\xff])', sample)
    if len(letters) > 1 and len(letters) > 0.08 * high:
        return Found(encoding='cp1250', confidence=min(0.9, 0.5 + len(letters) / high), runner_up='cp1252')
    if _UNDEFINED_1252 & set(sample):
        return Found(encoding='latin-1', confidence=0.6, runner_up='cp1252')
    # Letters of the west stand in words; a byte beside none may as well come from another code page.
    inside = len(re.findall(rb'(?<=[A-Za-z])[\xc0-\xff]|[\xc0-\xff](?=[A-Za-z])', sample))
    return Found(encoding='cp1252', confidence=0.5 + 0.45 * min(inside / max(high, 1), 1.0), runner_up='latin-1')
