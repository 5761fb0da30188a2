"""The leadership report as a page: self-contained, safe, accessible, reproducible, and traceable to its documents."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from keystrand.edge.catalogue import controls
from keystrand.edge.templates import report_template
from keystrand.formats.documents import encode
from keystrand.formats.report_html import DOCUMENT_FILES, render, split_lead
from keystrand.model.document import Document
from keystrand.model.estate import Estate, Organisation
from keystrand.model.stages import Assessment, Inventory, OperationsReport, PilotReport, Plan
from keystrand.operate.report import make_report

replace = msgspec.structs.replace
VOID = {"meta", "br", "hr", "img", "link", "input", "rect", "line", "circle", "path"}
EVIL = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">\"'&{{ 7*7 }}"


class Page(HTMLParser):
    """A page read strictly: every element closed in the right order, identifiers unique."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element and expect its end."""
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        # SVG shapes may have a title inside, so they are closed one by one unless they close themselves
        if tag not in VOID or tag in ("rect", "circle", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that closes itself."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost open element is the one that ends."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        """Collect what a reader sees, style sheet left out."""
        if "style" not in self.open:
            self.text += text

    def all(self, *names: str) -> Iterator[dict[str, str]]:
        """Yield the attributes of every element with one of these names."""
        return (attributes for tag, attributes in self.tags if tag in names)


@pytest.fixture(scope="module")
def html(report: OperationsReport, estate: Estate, assessment: Assessment, plan: Plan, pilot: PilotReport) -> str:
    """Return the bank's page."""
    return render(report, estate, assessment, plan, pilot, report_template()).decode()


def page_of(estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport | None) -> str:
    """Return the page on these documents."""
    report = make_report(
        estate, inventory, assessment, plan, pilot, made_from=(), as_of=assessment.as_of,
        created_at=assessment.created_at, tool_version="0.1.0", controls=controls(),
    )  # fmt: skip
    return render(report, estate, assessment, plan, pilot, report_template()).decode()


def test_the_page_is_well_formed_and_its_identifiers_are_unique(html: str) -> None:
    """Every element closes in order, no identifier is used twice, and every inner link has its target."""
    page = Page(html)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    inner = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(inner) <= set(ids)
    labelled = [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    assert labelled
    assert set(labelled) <= set(ids)
    used = re.findall(r"url\(#([\w-]+)\)", html)
    assert used
    assert set(used) <= set(ids)


def test_the_page_asks_nothing_of_the_network(html: str) -> None:
    """No script, no address that a browser would load, and a policy that forbids it as well."""
    page = Page(html)
    assert not list(page.all("script", "link", "iframe", "object", "embed", "img", "image", "use", "base", "form"))
    assert not [a for _, a in page.tags if {"src", "srcset", "data", "xlink:href", "background"} & set(a)]
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert "@import" not in html
    assert "@font-face" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert not re.search(r"(?i)\b(?:https?|ftp|wss?):", html)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def test_names_that_hold_markup_stay_text(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """Markup and template code in any name or reason is shown as it is, never run."""
    bad = replace(
        estate,
        organisation=Organisation(name=EVIL, sector=EVIL),
        system=tuple(replace(s, name=EVIL) for s in estate.system),
        site=tuple(replace(s, name=EVIL) for s in estate.site),
        owner=tuple(replace(o, name=EVIL) for o in estate.owner),
        segment=tuple(replace(s, name=EVIL) for s in estate.segment),
        data_class=tuple(replace(d, name=EVIL) for d in estate.data_class),
    )
    judged = replace(
        assessment,
        policies=tuple(replace(p, name=EVIL, source=EVIL) for p in assessment.policies),
        assumptions=tuple(replace(a, name=EVIL, value=EVIL, source=EVIL) for a in assessment.assumptions),
    )
    planned = replace(
        plan,
        measures=tuple(replace(m, title=EVIL, reasons=(EVIL,)) for m in plan.measures),
        decisions=tuple(replace(d, questions=(EVIL,), would_change=(EVIL,)) for d in plan.decisions),
        positions=tuple(replace(p, authority=EVIL, text=EVIL, source=EVIL) for p in plan.positions),
    )
    tried = replace(
        pilot,
        limits=(EVIL,),
        scorecard=tuple(replace(c, name=EVIL, goal=EVIL, reason=EVIL) for c in pilot.scorecard),
        cut=replace(pilot.cut, consumer_error=EVIL),
    )
    page = Page(page_of(bad, inventory, judged, planned, tried))
    assert not list(page.all("script", "img"))
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert page.text.count(EVIL) > 40


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer names in `document`; raises where it names nothing."""
    for token in pointer.split("/")[1:]:
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document


def test_every_source_link_leads_to_its_figure(
    html: str, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """Each link names a file of the run, and its fragment is a JSON pointer that resolves in that file."""
    documents: tuple[Document, ...] = (inventory, assessment, plan, pilot)
    files = {DOCUMENT_FILES[d.kind()]: json.loads(encode(d)) for d in documents}
    hrefs = [a["href"] for a in Page(html).all("a")]
    beside = {file for kind, file in DOCUMENT_FILES.items() if kind != "estate"}
    assert {href.partition("#")[0] for href in hrefs} - {""} <= beside
    links = [a["href"] for a in Page(html).all("a") if a.get("class") == "src"]
    assert len(links) > 60
    assert {link.partition("#")[0] for link in links} == set(files)
    for link in links:
        file, _, fragment = link.partition("#")
        resolve(files[file], unquote(fragment))


def test_headings_are_in_order_and_the_page_says_its_language(html: str) -> None:
    """One first-level heading, no level left out, a language, a title and a main part."""
    page = Page(html)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert next(page.all("html"))["lang"] == "en"
    assert len(list(page.all("main"))) == 1


def test_every_chart_has_words_and_a_table(html: str) -> None:
    """Each drawing is an image with a title, and as many tables as drawings stand on the page."""
    page = Page(html)
    drawings = list(page.all("svg"))
    assert len(drawings) == 6
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in drawings)
    assert len(list(page.all("table"))) >= len(drawings)
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))


def test_the_first_screen_has_the_three_first_measures_and_all_that_is_not_known(
    html: str, report: OperationsReport
) -> None:
    """Before the first section: every headline, three measures with owner and date, and each unknown with its count."""
    first = Page(html[: html.index('<h2 id="unknown">')] + "</main></div></body></html>").text
    for figure in report.headline:
        assert split_lead(figure.value)[1] in first
    for measure in report.first_measures[:3]:
        assert measure.title in first
        assert measure.owner in first
    for figure in report.unknown:
        assert f"{figure.label} {split_lead(figure.value)[0]}" in first


def test_what_is_folded_on_screen_is_open_on_paper(html: str) -> None:
    """Nothing is hidden from a printer: closed parts are shown there, and a browser that cannot do so says it."""
    paper = html[html.index("@media print") : html.index("</style>")]
    assert "details::details-content { content-visibility: visible;" in paper
    assert not re.search(r"details[^{}:]*\{[^}]*display: none", paper)
    assert (
        "@supports not selector(details::details-content) { @media print { .unfolded { display: block; } } }" in paper
    )
    assert not any("open" in a for a in Page(html).all("details"))


def test_the_notice_stands_above_everything(
    html: str, estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """A demonstration says so in a banner before the title; nothing hides it on paper. Without a notice: no banner."""
    shown = page_of(estate, replace(inventory, stand_ins=("a",)), assessment, plan, pilot)
    banner = shown.index('<div class="banner" role="note">')
    assert banner < shown.index("<header>")
    assert "servers started for the purpose were asked" in shown[banner : shown.index("<header>")]
    assert not re.search(r"\.banner[^{}]*\{[^}]*display: none", shown)
    assert '<div class="banner"' not in html


def _luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_shapes_have_contrast_in_both_schemes() -> None:
    """Text reaches 4.5 to 1 and shapes 3 to 1 (WCAG 2.2 AA) in light, dark and print."""
    schemes = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
               for block in re.findall(r":root \{(.*?)\}", report_template(), re.DOTALL)]  # fmt: skip
    assert len(schemes) == 3
    assert schemes[0] == schemes[2]
    assert schemes[0] != schemes[1]
    for colours in schemes:
        for text in ("ink", "muted", "accent", "bad", "safe", "warn"):
            for ground in ("paper", "panel"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert contrast(colours["on-bad"], colours["bad"]) >= 4.5
        assert contrast(colours["on-safe"], colours["safe"]) >= 4.5
        for shape in ("unknown", "a1", "a2", "a3", "a4", "a5"):
            assert contrast(colours[shape], colours["paper"]) >= 3


def test_the_same_documents_give_the_same_bytes(
    html: str, report: OperationsReport, estate: Estate, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """Rendering twice gives one file, byte for byte."""
    assert render(report, estate, assessment, plan, pilot, report_template()).decode() == html


def test_a_hundred_systems_stay_below_300_kilobytes(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """The page names what matters and counts the rest, so a large estate does not make a large file."""
    times = range(4)
    many = replace(estate, system=tuple(replace(s, id=f"{s.id}-{n}") for n in times for s in estate.system))
    judged = replace(
        assessment,
        findings=tuple(replace(f, system=f"{f.system}-{n}") for n in times for f in assessment.findings),
        exposures=tuple(replace(e, system=f"{e.system}-{n}") for n in times for e in assessment.exposures),
    )
    planned = replace(plan, measures=tuple(replace(m, id=f"{m.id}-{n}") for n in times for m in plan.measures))
    page = page_of(many, inventory, judged, planned, pilot)
    assert "76 of 112 systems use key exchange" in Page(page).text.replace("\n", " ")
    assert len(page.encode()) < 300_000


@pytest.mark.parametrize("bare", [True, False])
def test_a_page_with_nothing_in_it_says_so(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, *, bare: bool
) -> None:
    """No pilot, exposures, segments or measures: the page is well-formed and each part says what is missing."""
    empty = replace(assessment, findings=(), exposures=(), policies=(), assumptions=())
    world = replace(estate, system=(), site=(), segment=()) if bare else estate
    page = Page(page_of(world, inventory, empty, replace(plan, decisions=(), measures=(), assumptions=()), None))
    for words in ("No pilot has been run", "No exposure was computed", "No segments are declared",
                  "No measures are planned", "No policy took part"):  # fmt: skip
        assert words in page.text
    assert len(list(page.all("svg"))) == (0 if bare else 1)
    assert ("28 could not be judged" in page.text) is not bare


def test_the_page_warns_that_the_link_was_simulated(
    html: str, estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """A simulated pilot carries a notice above its numbers; one on hardware does not."""
    notice = "The quantum link of this pilot is a simulation"
    assert notice in html
    real = replace(
        pilot,
        secret_key_rate=replace(pilot.secret_key_rate, simulated=False),
        scorecard=tuple(
            replace(c, measured=replace(c.measured, simulated=False) if c.measured else None) for c in pilot.scorecard
        ),
    )
    assert notice not in page_of(estate, inventory, assessment, plan, real)


@pytest.mark.parametrize(
    ("sentence", "lead"),
    [
        ("19 of 28 systems use it.", "19 of 28"),
        ("54 to 61 percent of it.", "54 to 61 percent"),
        ("Less than 1 to 2.0 percent of it.", "Less than 1 to 2.0 percent"),
        ("85 to more than 99 percent of it.", "85 to more than 99 percent"),
        ("1,234 measures are planned.", "1,234"),
        ("No number here.", ""),
    ],
)
def test_the_quantity_of_a_headline_is_set_apart_without_changing_the_sentence(sentence: str, lead: str) -> None:
    """The quantity at the start is split off, and both parts together are the sentence."""
    assert split_lead(sentence)[0] == lead
    assert " ".join(part for part in split_lead(sentence) if part) == sentence


@pytest.mark.system
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_a_real_browser_runs_nothing_and_prints_the_page(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport, tmp_path: Path
) -> None:
    """Chromium shows hostile names as text and prints the page to a PDF file."""
    bad = replace(estate, organisation=Organisation(name=EVIL, sector="Banking"))
    file = tmp_path / "report.html"
    file.write_text(page_of(bad, inventory, assessment, plan, pilot), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    seen = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, check=True, timeout=120)
    assert b"<title>Quantum readiness of &lt;script&gt;" in seen.stdout
    pdf = tmp_path / "report.pdf"
    subprocess.run([*command, f"--print-to-pdf={pdf}", file.as_uri()], capture_output=True, check=True, timeout=120)
    assert pdf.read_bytes().startswith(b"%PDF")


@pytest.mark.system
@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("pdftotext")), reason="needs Debian's chromium and poppler-utils"
)
def test_paper_has_the_banner_and_every_folded_part(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport, tmp_path: Path
) -> None:
    """Chromium prints the notice, and the captions and the last words of the parts that are closed on screen."""
    file, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    demo = replace(inventory, stand_ins=("a",))
    file.write_text(page_of(estate, demo, assessment, plan, pilot), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    subprocess.run([*command, f"--print-to-pdf={pdf}", file.as_uri()], capture_output=True, check=True, timeout=120)
    printed = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True, text=True).stdout
    paper = " ".join(printed.split())
    for words in ("Demonstration: for 1 of", "Does not support QKD for government", "Rules that do not bind",
                  "Is this a research project?", "Switch it off", "Team capacity", "SHA-256", "What else the pilot",
                  "Measures still open", "a measured loss above 18 dB", "Scorecard"):  # fmt: skip
        assert words in paper, words
    assert "This browser leaves closed parts out" not in paper
