"""Pages that are read without a network: a template, pictures, and the drawing library inside."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import altair as alt
import jinja2
import vl_convert

from training.report import model_plots as plots

#: no filter of a template's own
NONE: Mapping[str, Callable[..., object]] = MappingProxyType({})

#: pictures by name, each with its caption and its parts; those of several parts wrap on a narrow screen
Captioned = Mapping[str, tuple[str, list[Any]]]


def rendered(
    template: Path,
    charts: Mapping[str, Any],
    *,
    filters: Mapping[str, Callable[..., object]] = NONE,
    **values: object,
) -> str:
    """A page.

    Args:
        template: its file; it may include ``style.css`` of this folder. It gets ``specs``, the charts by name, and
            ``library``, empty where there is no chart.
        charts: by the id of the element that shows each.
        filters: of the template.
        values: what else it shows.
    """
    folders = [template.parent, Path(__file__).parent]
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(folders), undefined=jinja2.StrictUndefined
    )
    environment.filters |= filters
    specs = {name: specification(chart).replace("</", "<\\/") for name, chart in charts.items()}
    return environment.get_template(template.name).render(specs=specs, library=library() if specs else "", **values)


def in_parts(template: Path, drawn: Captioned, **values: object) -> str:
    """A page whose pictures have captions and parts: the template gets ``captions`` and ``parts``, too."""
    charts = {f"{name}-{i}": chart for name, (_, parts) in drawn.items() for i, chart in enumerate(parts)}
    captions = {name: caption for name, (caption, _) in drawn.items()}
    parts = {name: [f"{name}-{i}" for i in range(len(some))] for name, (_, some) in drawn.items()}
    return rendered(template, charts, filters=NONE, captions=captions, parts=parts, **values)


def specification(chart: Any) -> str:
    """A chart in the charts' common look, as Vega-Lite's JSON with all of its rows."""
    look = (
        chart.configure(font="system-ui, sans-serif", background="#ffffff")
        .configure_view(stroke=None)
        .configure_axis(gridOpacity=0.35, labelColor=plots.INK, titleColor=plots.INK, titleFontWeight="normal")
        .configure_legend(orient="bottom", labelLimit=200, columns=4)
    )
    # Altair refuses more than 5,000 rows, to spare notebooks; a page holds what it draws, however many they are
    with alt.data_transformers.enable("default", max_rows=None):
        return str(look.to_json())


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]
