"""What is made when the package is built: the scripts that draw the console's charts."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CHARTS = Path("serving/console/static/vega.js")


class BuildWithCharts(build_py):
    """Bundles Vega, Vega-Lite and Vega-Embed into one file, so that no page loads anything from elsewhere."""

    def run(self) -> None:
        """Make the bundle, and then what is always built."""
        import vl_convert

        bundle = vl_convert.javascript_bundle(snippet="window.vegaEmbed = vegaEmbed;")
        CHARTS.write_text(bundle, encoding="utf-8")
        super().run()


setup(cmdclass={"build_py": BuildWithCharts})
