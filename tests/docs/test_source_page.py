"""The page on source code is true: its estate is one, its rule file is complete, and finds what it says."""

import re
from pathlib import Path

from keystrand.edge.probes.tree import TreeProbe
from keystrand.formats.source.rules import Given, Later, LibraryRules, Rule, RuleFile
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import AlgorithmUse, Observation

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "find-cryptography-in-source.md").read_text()
ESTATE, RULES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
(SOURCE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_rule_file_of_the_page_finds_the_calls_of_the_page(tmp_path: Path) -> None:
    """Written as the page says and scanned as a target, the two calls of the page are found."""
    for name, text in (("rules/house.toml", RULES), ("checkout/payments/a.py", SOURCE)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    target = Target(
        id="payments-source", probe=ProbeKind.SOURCE, system="payments", path="checkout/payments",
        rules=("rules/house.toml",),
    )  # fmt: skip
    assert all(f'"{word}"' in ESTATE for word in (target.id, target.probe.value, target.path, *target.rules))
    records = TreeProbe(ProbeKind.SOURCE).read(target, tmp_path)
    found = [(one.place, one.fact) for one in records if isinstance(one, Observation)]
    uses = [(place, fact.algorithm, fact.library) for place, fact in found if isinstance(fact, AlgorithmUse)]
    assert uses == [
        ("file:checkout/payments/a.py:4", "RSA-3072", "house vault"),
        ("file:checkout/payments/a.py:5", "3DES-CBC", "house vault"),
    ]


def test_the_page_names_every_field_of_a_rule_file() -> None:
    """Each field that a rule file may have stands in the page."""
    kinds = (RuleFile, LibraryRules, Rule, Given, Later)
    fields = {name for kind in kinds for name in kind.__struct_fields__}
    assert {name for name in fields if f"`{name}`" not in PAGE and not re.search(rf"[\[.]{name}[\].]", PAGE)} == set()
