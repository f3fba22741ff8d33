"""DuckDB as this product opens it."""

import threading

import pytest

from core.analysis import duck
from core.errors import Unavailable

ENDLESS = 'select count(*) from range(1000000) a, range(1000000) b where a.range * b.range % 7 = 3'


def test_a_query_that_nobody_waits_for_ends_when_the_process_stops() -> None:
    ended: list[Unavailable] = []

    def read() -> None:
        with pytest.raises(Unavailable) as told, duck.told(), duck.connect(memory=2**26) as connection:
            duck.single(connection, ENDLESS)
        ended.append(told.value)

    reading = threading.Thread(target=read)
    reading.start()
    while reading.is_alive():
        duck.interrupt()
        reading.join(0.05)
    assert 'INTERRUPT' in str(ended[0].__cause__)


def test_what_is_between_two_queries_ends_too_when_the_process_stops() -> None:
    opened, stopped, ended = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        with pytest.raises(Unavailable), duck.told(), duck.connect(memory=2**26) as connection:
            duck.single(connection, 'select 1')
            opened.set()
            stopped.wait()
            duck.single(connection, ENDLESS)
        ended.set()

    reading = threading.Thread(target=read)
    reading.start()
    opened.wait()
    duck.interrupt()
    stopped.set()
    told_once = ended.wait(20)
    while reading.is_alive():
        duck.interrupt()
        reading.join(0.05)
    assert told_once
