"""Small plots: their ticks, their reach, and points that are too many."""

import re

from ui.components.plot import Columns, Dots, Line, markup, number_ticks, thinned, time_ticks, whole_ticks

DAY = 86_400_000.0


def test_ticks_are_round_and_few() -> None:
    assert [text for _, text in number_ticks(0.03, 0.97, 4)] == ['0.25', '0.5', '0.75']
    assert [at for at, _ in whole_ticks(1, 12)] == [1, 4, 7, 10]
    assert [at for at, _ in whole_ticks(1, 3)] == [1, 2, 3]
    assert [at for at, _ in whole_ticks(5, 5)] == [5]
    assert [text for _, text in time_ticks(0, 40 * DAY, 2)] == ['11 Jan', '31 Jan']
    assert len(time_ticks(5.0, 5.0)) == 1


def test_long_figures_beside_a_plot_have_room() -> None:
    short, long = (markup([Line(x=[0, 1], y=[0.0, top])]) for top in (9_000.0, 12_345_678.0))
    assert 'margin-left' not in short
    assert long.count('style="margin-left: 82px"') == 2, 'the plot and what stands below it begin at one place'


def test_thinning_keeps_what_stands_out() -> None:
    y: list[float | None] = [0.0] * 5000
    y[1234], y[4000] = 9.0, None
    x, kept = thinned([float(place) for place in range(5000)], y)
    assert len(x) <= 402
    assert (1234.0, 9.0) in zip(x, kept, strict=True)
    assert None not in kept
    assert thinned([1.0, 2.0], [3.0, None]) == ([1.0, 2.0], [3.0, None])


def test_a_plot_stays_inside_its_frame_and_trusts_no_text() -> None:
    shapes = [
        Line(x=[0, 1, 2], y=[5.0, None, 7.0]),
        Dots(x=[1], y=[float('nan')]),
        Columns(x=[0, 1, 2], y=[1, 2, 3], width=0.8, texts=['<b>', 'two', 'three']),
    ]
    drawn = markup(shapes, x_name='<script>')
    assert '<script>' not in drawn
    assert '<title>&lt;b&gt;</title>' in drawn
    assert 'nan' not in drawn
    places = [float(text) for text in re.findall(r'(?:left|bottom): (-?[\d.]+)%', drawn)]
    assert all(-0.5 <= place <= 100.5 for place in places)


def test_plots_of_nothing_and_of_one_point_can_be_drawn() -> None:
    assert '<path' not in markup([])
    assert 'd="M0.00 50.00"' in markup([Line(x=[1], y=[4.0])])
