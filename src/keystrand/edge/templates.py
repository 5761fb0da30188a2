"""The package's own templates, read from wherever the package is installed."""

from importlib.resources import files


def report_template() -> str:
    """Return the text of the leadership report's template (Jinja2, HTML)."""
    return (files("keystrand.formats") / "templates" / "report.html.j2").read_text(encoding="utf-8")
