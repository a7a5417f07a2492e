"""The command line: `propensity check | train | score | serve | ui | feast`."""

#: as in pyproject.toml; an image of the service holds the code alone, without what pip knows of it
__version__ = "0.1.0"
