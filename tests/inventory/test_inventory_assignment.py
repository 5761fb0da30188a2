"""Which system a thing belongs to, by the estate's rules."""

import pytest
from msgspec.structs import replace
from tests.inventory.test_inventory_coverage import ESTATE
from tests.inventory.test_inventory_identity import a_certificate

from keystrand.inventory.assignment import Assigned, Assignment
from keystrand.model.algorithm import Function
from keystrand.model.estate import Rule
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, Flow, Observation, Strength

USE = AlgorithmUse(algorithm="AES-128-GCM", function=Function.ENCRYPTION)
FLOW = Flow(client="192.0.2.9", server="10.1.2.3", port=443, transport="tcp", protocol="tls")


def seen(fact: Fact, place: str = "file:app/a.py#1", target: str = "a") -> Observation:
    """Return one observation of target `a`."""
    return Observation(target=target, probe="files", place=place, strength=Strength.CONFIGURED, fact=fact)


def endpoint(host: str) -> Endpoint:
    """Return a TLS endpoint on port 443."""
    return Endpoint(protocol="tls", host=host, port=443)


HOLDS: tuple[tuple[dict[str, str], Observation, bool], ...] = (
    ({"place": "file:backup/*"}, seen(USE, "file:backup/x/y.conf:3"), True),
    ({"place": "file:backup/*"}, seen(USE, "file:app/backup/y.conf:3"), False),
    ({"address": "10.0.0.0/8"}, seen(endpoint("10.9.9.9")), True),
    ({"address": "10.0.0.0/8"}, seen(endpoint("11.9.9.9")), False),
    ({"address": "10.0.0.0/8"}, seen(endpoint("ten.example")), False),
    ({"address": "fe80::/10"}, seen(endpoint("fe80::1%eth0")), True),
    ({"address": "10.0.0.0/8"}, seen(FLOW), True),
    ({"address": "10.0.0.0/8"}, seen(USE), False),
    ({"name": "*.Backup.example"}, seen(endpoint("one.BACKUP.example")), True),
    ({"name": "web"}, seen(a_certificate()), True),
    ({"name": "other"}, seen(a_certificate()), False),
    ({"name": "web", "place": "file:backup/*"}, seen(a_certificate()), False),
)


@pytest.mark.parametrize(("conditions", "observation", "holds"), HOLDS)
def test_every_condition_given_must_hold(conditions: dict[str, str], observation: Observation, *, holds: bool) -> None:
    """A rule gives its system where all its conditions hold, and leaves the target's where one does not."""
    estate = replace(ESTATE, rule=(Rule(id="r", system="archive", **conditions),))
    expected = Assigned("archive", "r") if holds else Assigned("shop")
    assert Assignment(estate).of(observation) == expected


def test_the_first_rule_counts() -> None:
    """Of two rules that hold the first one in the estate decides."""
    rules = (Rule(id="one", system="archive", place="*"), Rule(id="two", system="shop", place="file:*"))
    assert Assignment(replace(ESTATE, rule=rules)).of(seen(USE)) == Assigned("archive", "one")


def test_a_name_is_also_the_common_name_of_a_subject() -> None:
    """Old certificates carry their host name there alone."""
    fact: Certificate = replace(a_certificate(), names=(), subject="O=Bank, CN=vault.bank.example, C=DE")
    estate = replace(ESTATE, rule=(Rule(id="r", system="archive", name="*.bank.example"),))
    assert Assignment(estate).of(seen(fact)).rule == "r"
