"""Pages from templates: the one way in which the console writes HTML."""

import hashlib
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from starlette.responses import HTMLResponse, Response

from features.time import parse_instant, span_name, to_datetime
from serving.console.catalogue import Catalogue, shown
from serving.console.office import Visit

STATIC = Path(str(files("serving.console").joinpath("static")))

#: made when the package is built; without it pages show their tables alone
CHARTS = "vega.js"

#: the pages of the navigation, in order: the key of their name, and their address
NAVIGATION = (
    ("today", "/console/"),
    ("segments", "/console/segments"),
    ("overlap", "/console/overlap"),
    ("user", "/console/users"),
    ("cut_off", "/console/cut-off"),
    ("models", "/console/models"),
    ("experiments", "/console/experiments"),
    ("hand_off", "/console/hand-off"),
    ("log", "/console/log"),
)


def page(template: str, words: Catalogue, status: int = 200, /, **values: object) -> Response:
    """A page for anybody.

    Args:
        template: its file.
        words: the language.
        status: of HTTP.
        values: what the template names.
    """
    given = {"t": words, "lang": words.language, "visit": None, "here": "", **values}
    return HTMLResponse(_templates().get_template(template).render(given), status)


def page_of(visit: Visit, template: str, here: str, **values: object) -> Response:
    """A page for somebody who is signed in.

    Args:
        visit: who asks.
        template: its file.
        here: the key of its name in the navigation.
        values: what the template names.
    """
    return page(template, visit.words, visit=visit, here=here, **values)


@cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.console"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {"static": static_address, "navigation": NAVIGATION, "charts": (STATIC / CHARTS).exists()}
    made.filters |= {"n": shown, "day": _day, "minute": _minute, "share": _share, "span": span_name}
    return made


@cache
def static_address(name: str) -> str:
    """The address of a file, which changes with the file."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?{digest}"


def _moment(value: int | str | datetime) -> datetime:
    if isinstance(value, str):
        return parse_instant(value)
    return to_datetime(value) if isinstance(value, int) else value


def _day(value: int | str | datetime) -> str:
    return _moment(value).strftime("%Y-%m-%d")


def _minute(value: int | str | datetime) -> str:
    return _moment(value).strftime("%Y-%m-%d %H:%M UTC")


def _share(value: float | None, places: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{places}f} %"
