"""DuckDB as this product opens it."""

import threading

import pytest

from core.analysis import duck
from core.errors import Unavailable


def test_a_query_that_nobody_waits_for_ends_when_the_process_stops() -> None:
    ended: list[Unavailable] = []

    def read() -> None:
        with pytest.raises(Unavailable) as told, duck.told(), duck.connect(memory=2**26) as connection:
            duck.single(connection, 'select count(*) from range(10000000) a, range(10000000) b where a.range > b.range')
        ended.append(told.value)

    reading = threading.Thread(target=read)
    reading.start()
    while reading.is_alive():
        duck.interrupt()
        reading.join(0.05)
    assert ended
