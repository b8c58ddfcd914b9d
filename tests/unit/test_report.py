"""Captions of the report: what a configuration says is shown as text, never as markup."""

from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Template

from repository import ROOT

TEMPLATE = Template((ROOT / "workflow" / "report" / "workflow.rst").read_text())
EVIL = "x``\n\n.. raw:: html\n\n   <script>alert(1)</script>\n\n``y"


@pytest.mark.parametrize(
    "config",
    [
        {"grids": [EVIL]},
        {"grids": [EVIL.replace("\n", "\r")]},
        {"defaults": {"dataset": EVIL}},
        {"grid": [{EVIL: 1}]},
        {"grid": [{"probes": {"masc": {"kind": EVIL}}}]},
        {"grids": ["<img src=x onerror=alert(1)>.yaml"]},
    ],
    ids=["file", "file with carriage returns", "default", "key", "nested value", "tag"],
)
def test_no_word_of_a_configuration_becomes_markup(config):
    text = TEMPLATE.render(snakemake=SimpleNamespace(config=config))
    page = publish_parts(text, writer="html")["html_body"]
    assert "<script" not in page and "<img" not in page
    assert "alert(1)" in page.replace("\xa0", " ")
