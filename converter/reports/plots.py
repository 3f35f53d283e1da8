"""Plots as SVG that takes the page's colours, so that it reads by day, at night and on paper.

Drawn with matplotlib; text stays text. Colours stand for CSS variables of the page
(`--ink`, `--muted`, `--line`, `--first`, `--second`), which are told apart by people who do not see
all colours (Okabe & Ito); marks differ in shape as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec
from xml.etree import ElementTree

import numpy as np

from converter.errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that no drawing has by itself, for the variables that take their place.
_COLOURS = {
    "ink": "#010203",
    "muted": "#010204",
    "line": "#010205",
    "first": "#010206",
    "second": "#010207",
}
# Terms that a plot shows, and characters of their names.
MOST = 40
_WIDEST = 34
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.parse_math": False,
    "text.color": _COLOURS["ink"],
    "axes.edgecolor": _COLOURS["line"],
    "axes.labelcolor": _COLOURS["ink"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "xtick.color": _COLOURS["muted"],
    "ytick.color": _COLOURS["muted"],
    "xtick.labelcolor": _COLOURS["ink"],
    "ytick.labelcolor": _COLOURS["ink"],
    "legend.frameon": False,
    "legend.fontsize": 9.0,
}


@dataclass(frozen=True, slots=True)
class Group:
    """Observations with like predictions.

    Parameters
    ----------
    predicted, observed : float
        Their means.
    low, high : float
        95 % interval of the observed mean.
    count : int
    """

    predicted: float
    observed: float
    low: float
    high: float
    count: int


_Arguments = ParamSpec("_Arguments")


def _drawn(
    draw: Callable[Concatenate[Axes, _Arguments], None],
) -> Callable[Concatenate[str, float, _Arguments], str]:
    """Make a function that fills axes into one that returns SVG.

    Its first arguments are then the figure's name, which is unique on its page, and its height in
    inches.
    """

    @wraps(draw)
    def figure(
        name: str, height: float, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> str:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
            # Of letters that matplotlib's own font lacks: the reader's has them.
            warnings.simplefilter("ignore")
            canvas = Figure(figsize=(6.6, height), layout="constrained")
            FigureCanvasSVG(canvas)
            draw(canvas.add_subplot(), *args, **kwargs)
            text = StringIO()
            canvas.savefig(text, format="svg", transparent=True)
        return _inline(name, text.getvalue())

    return figure


def _inline(name: str, svg: str) -> str:
    """Return a drawing as a part of a page.

    What is changed are attributes alone: names of terms may look like anything.
    """
    root = ElementTree.fromstring(svg[svg.index("<svg") :])
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
        for key in list(one.attrib):
            value = one.attrib.pop(key)
            local = key.rpartition("}")[2]
            if local == "id":
                value = f"{name}-{value}"
            elif local == "href":
                value = f"#{name}-{value[1:]}"
            elif local in ("style", "clip-path", "fill", "stroke"):
                value = value.replace("url(#", f"url(#{name}-")
                for variable, colour in _COLOURS.items():
                    value = value.replace(colour, f"var(--{variable})")
            one.set(local, value)
    for one in root.findall("metadata"):
        root.remove(one)
    # The page says how wide it is, and what it shows.
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {"aria-hidden": "true", "viewBox": box}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _named(names: Sequence[str]) -> list[str]:
    """Return names as a plot shows them: what is too long loses its middle."""
    half = _WIDEST // 2 - 1
    shown = [printable(name, 10_000) for name in names]
    return [one if len(one) <= _WIDEST else f"{one[:half]}...{one[-half:]}" for one in shown]


def _rows(axes: Axes, names: Sequence[str]) -> np.ndarray:
    """Lay out one row a term, the first on top."""
    places = np.arange(len(names))[::-1]
    axes.set_yticks(places, _named(names))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.grid(axis="y", color=_COLOURS["line"], linewidth=0.4)
    axes.set_axisbelow(True)
    return places


def height_of(terms: int) -> float:
    """Return how high a plot of so many terms is, in inches."""
    return 1.1 + 0.27 * min(terms, MOST)


@_drawn
def coefficients(
    axes: Axes,
    names: Sequence[str],
    estimate: np.ndarray,
    reach: np.ndarray,
    optimum: np.ndarray,
    optimum_reach: np.ndarray,
    label: str,
) -> None:
    """Draw the network's coefficients and the optimum's, with intervals.

    Parameters
    ----------
    axes : matplotlib Axes
    names : sequence of str, length p
    estimate, reach, optimum, optimum_reach : ndarray, shape (p,)
        Coefficients and half the widths of their intervals; NaN where there is none.
    label : str
        What the axis shows.
    """
    places = _rows(axes, names)
    axes.axvline(0.0, color=_COLOURS["muted"], linewidth=0.8)
    given: dict[str, Any] = {"linestyle": "none", "capsize": 0.0, "elinewidth": 1.6}
    axes.errorbar(
        *(estimate, places + 0.14),
        xerr=reach,
        marker="o",
        color=_COLOURS["first"],
        label="network",
        **given,
    )
    there = np.isfinite(optimum)
    if there.any():
        axes.errorbar(
            *(optimum[there], places[there] - 0.14),
            xerr=optimum_reach[there],
            marker="s",
            markerfacecolor="none",
            color=_COLOURS["second"],
            label="optimum",
            **given,
        )
    _below(axes, label)
    _legend(axes)


@_drawn
def drift(axes: Axes, names: Sequence[str], values: np.ndarray, bounds: Sequence[float]) -> None:
    """Draw how far each coefficient is from the optimum, in standard errors.

    Parameters
    ----------
    axes : matplotlib Axes
    names : sequence of str, length p
    values : ndarray, shape (p,)
        Finite.
    bounds : sequence of float
        Of the verdicts, drawn as lines.
    """
    places = _rows(axes, names)
    axes.hlines(places, 0.0, values, color=_COLOURS["first"], linewidth=1.6)
    axes.plot(values, places, "o", color=_COLOURS["first"])
    axes.axvline(0.0, color=_COLOURS["muted"], linewidth=0.8)
    for bound, dashes in zip(bounds, ("dotted", "dashed"), strict=False):
        for side in (-bound, bound):
            axes.axvline(side, color=_COLOURS["second"], linewidth=1.0, linestyle=dashes)
    # Verdicts differ by powers of ten: linear below the first bound, logarithmic beyond.
    axes.set_xscale("symlog", linthresh=bounds[0], linscale=0.5)
    most = max(float(np.abs(values).max(initial=0.0)), bounds[-1]) * 1.5
    axes.set_xlim(-most, most)
    top = int(np.ceil(np.log10(most)))
    step = max(1, (top + 3) // 3)
    powers = [10.0**power for power in range(-2, top + 1, step) if 10.0**power <= most]
    ticks = [-one for one in reversed(powers)] + [0.0] + powers
    axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
    axes.minorticks_off()
    _below(axes, "standard errors from the optimum")


@_drawn
def calibration(axes: Axes, series: Sequence[tuple[str, Sequence[Group]]], share: bool) -> None:
    """Draw what was observed against what was predicted, in groups of like predictions.

    Parameters
    ----------
    axes : matplotlib Axes
    series : sequence of (str, sequence of Group)
        One for each class.
    share : bool
        Whether these are probabilities.
    """
    ends = [one for _, groups in series for g in groups for one in (g.predicted, g.low, g.high)]
    low, high = (0.0, 1.0) if share else (min(ends), max(ends))
    axes.plot([low, high], [low, high], color=_COLOURS["muted"], linewidth=1.0, label="calibrated")
    for place, (name, groups) in enumerate(series):
        observed = np.array([g.observed for g in groups])
        axes.errorbar(
            [g.predicted for g in groups],
            observed,
            yerr=[
                observed - np.array([g.low for g in groups]),
                np.array([g.high for g in groups]) - observed,
            ],
            marker="os^Dv"[place % 5],
            markerfacecolor="none" if place % 2 else _COLOURS["first"],
            linestyle="none",
            elinewidth=1.4,
            color=_COLOURS["second" if place % 2 else "first"],
            label=printable(name, _WIDEST) or "observed",
        )
    axes.set_xlabel("predicted " + ("probability" if share else "mean"))
    axes.set_ylabel("observed " + ("share" if share else "mean"))
    _legend(axes)


@_drawn
def residuals(axes: Axes, fitted: np.ndarray, residual: np.ndarray, trend: np.ndarray) -> None:
    """Draw residuals against fitted values.

    Parameters
    ----------
    axes : matplotlib Axes
    fitted, residual : ndarray, shape (n,)
    trend : ndarray, shape (k, 2)
        A smooth curve through them.
    """
    axes.axhline(0.0, color=_COLOURS["muted"], linewidth=0.8)
    axes.plot(fitted, residual, ".", markersize=4, alpha=0.5, color=_COLOURS["first"])
    if len(trend):
        axes.plot(trend[:, 0], trend[:, 1], color=_COLOURS["second"], linewidth=1.8, label="trend")
        _legend(axes)
    axes.set_xlabel("fitted value")
    axes.set_ylabel("residual")


@_drawn
def quantiles(axes: Axes, expected: np.ndarray, found: np.ndarray) -> None:
    """Draw the quantiles of standardised residuals against those of the normal distribution.

    Parameters
    ----------
    axes : matplotlib Axes
    expected, found : ndarray, shape (n,)
    """
    ends = [min(expected[0], found[0]), max(expected[-1], found[-1])]
    axes.plot(ends, ends, color=_COLOURS["muted"], linewidth=1.0, label="normal")
    axes.plot(expected, found, ".", markersize=4, color=_COLOURS["first"], label="residuals")
    axes.set_xlabel("quantile of the standard normal distribution")
    axes.set_ylabel("standardised residual")
    _legend(axes)


def _below(axes: Axes, label: str) -> None:
    """Label the axis below in the middle of the figure, where there is room."""
    figure = axes.get_figure()
    assert figure is not None
    figure.supxlabel(label, fontsize=10.0)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.0)
