"""Which clock the stamps of a series follow: that of their zone, whose days are 23 to 25 hours long, or UTC.

Models see naive stamps on a regular grid. Days, weeks and months that begin at the same local time are regular by the
clock on the wall alone, hours that follow each other by UTC alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting.frequency import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The `zone` that the stamps of a frame came in (None: naive), and the series that follow its `local` clock.

    Stamps of the others are UTC.
    """

    zone: str | None = None
    local: frozenset[str] = frozenset()

    def back(self, rows: 'polars.DataFrame', *columns: str) -> 'polars.DataFrame':
        """Return rows with a `unique_id`, whose `columns` of naive stamps are by this clock, with them in UTC.

        They stay naive when they came so. A local time that a change of the clock skips is the moment after it; of one
        that comes twice, it is the first.
        """
        import polars as pl

        if self.zone is None:
            return rows
        is_local = pl.col('unique_id').is_in(list(self.local))
        return rows.with_columns(
            pl.when(is_local)
            .then(_moments(pl.col(name), self.zone))
            .otherwise(pl.col(name).dt.replace_time_zone('UTC'))
            .alias(name)
            for name in columns
        )

    def utc(self, unique_id: str, stamps: 'Array | None') -> 'Array | None':
        """Return stamps (datetime64) of a series that are by this clock as naive UTC; naive ones as they are."""
        import polars as pl

        if self.zone is None or stamps is None or unique_id not in self.local:
            return stamps
        column = pl.DataFrame({'ds': stamps.astype('datetime64[us]')})
        found: Array = column.select(_moments(pl.col('ds'), self.zone).dt.replace_time_zone(None))['ds'].to_numpy()
        return found


def _moments(wall: 'polars.Expr', zone: str) -> 'polars.Expr':
    """Return the moments, in UTC, at which the clock on the wall of a zone shows naive stamps."""
    import polars as pl

    def at(stamps: 'polars.Expr') -> 'polars.Expr':
        return stamps.dt.replace_time_zone(zone, ambiguous='earliest', non_existent='null')

    return pl.coalesce(at(wall), at(wall.dt.offset_by('1h'))).dt.convert_time_zone('UTC')


def read(frame: 'polars.DataFrame') -> tuple['polars.DataFrame', Clock]:
    """Return the frame `unique_id, ds …` with naive stamps, and the clock that they are by.

    A series is by the local clock when that shows fewer times of day than UTC does, or just one, and tells all of its
    stamps apart.
    """
    import polars as pl

    kind = frame.schema['ds']
    zone = kind.time_zone if isinstance(kind, pl.Datetime) else None
    if zone is None:
        return frame, Clock()
    wall, utc = (pl.col('ds').dt.convert_time_zone(name).dt.replace_time_zone(None) for name in (zone, 'UTC'))
    times, apart = wall.dt.time().n_unique(), wall.n_unique()
    is_local = (apart == utc.n_unique()) & ((times < utc.dt.time().n_unique()) | (times == 1))
    found = frame.group_by('unique_id').agg(is_local.alias('_local')).filter('_local')['unique_id'].to_list()
    chosen = pl.when(pl.col('unique_id').is_in(found)).then(wall).otherwise(utc)
    return frame.with_columns(chosen.alias('ds')), Clock(zone=zone, local=frozenset(found))
