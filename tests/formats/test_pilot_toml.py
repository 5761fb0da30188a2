"""The file of a pilot with real consumers: what is sound is read, and every mistake is named with its line."""

import re
import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.pilot_toml import pilot_plan_from_toml
from keystrand.model.errors import InvalidInput
from keystrand.model.pilot import ConsumerKind, EventKind, PilotPlan, SourceChoice

CRITERIA = """
[criteria]
rotation_p95_max_s = 1.0
rotation_lost_max_packets = 1.0
failover_max_s = 2.0
traffic_gap_max_s = 1.0
key_age_max_s = 5.0
throughput_min_ratio = 0.5
detection_max_s = 5.0
recovery_max_s = 10.0
"""
GOOD = (
    """pilot = "corridor"
name = "first campaign"

[[consumer]]
id = "shop"
kind = "tls"

[[consumer]]
id = "tunnel"
kind = "ipsec"
policy = "fail-secure"

[[consumer]]
id = "second-tunnel"
kind = "wireguard"
policy = "fallback-pqc"
fallback_most_s = 60.0

[[event]]
kind = "normal"

[[event]]
kind = "agent-death"
times = 3
"""
    + CRITERIA
)
VENDOR_END = """
[source.{at}]
url = "https://kme-{at}.example:8443"
sae = "sae-{at}"
ca = "ca.pem"
certificate = "sae.pem"
key = "sae-key.pem"
"""


def read(text: str) -> PilotPlan:
    """Read a plan beside an estate with one pilot."""
    return pilot_plan_from_toml(text, "pilot.toml", ["corridor"])


def problems(text: str) -> list[tuple[str, str, str]]:
    """Return field, message and the line's text of every problem; each has a hint."""
    with pytest.raises(InvalidInput) as caught:
        read(text)
    lines = text.splitlines()
    assert all(problem.hint and problem.file == "pilot.toml" for problem in caught.value.problems)
    return [(p.field, p.message, lines[p.line - 1] if p.line else "") for p in caught.value.problems]


def test_a_sound_plan_is_read_with_its_defaults() -> None:
    """Consumers and events in their order; what is left out has its default."""
    plan = read(GOOD)
    assert [one.kind for one in plan.consumers] == [ConsumerKind.TLS, ConsumerKind.IPSEC, ConsumerKind.WIREGUARD]
    assert [(one.kind, one.times) for one in plan.events] == [(EventKind.NORMAL, 1), (EventKind.AGENT_DEATH, 3)]
    assert (plan.source.kind, plan.packets_per_s, plan.criteria.audit_min_ratio) == (SourceChoice.TWIN, 1000, 1.0)


def test_a_vendor_is_named_by_both_ends() -> None:
    """Two ends and the commands for its events; `require_post_quantum` may be given up for one end."""
    source = '\n[source]\nkind = "vendor"\n' + VENDOR_END.format(at="a") + VENDOR_END.format(at="b")
    plan = read(GOOD + source + 'require_post_quantum = false\n[source.commands]\nlink-cut = "ssh lab cut"\n'
                'link-cut-end = "ssh lab mend"\n')  # fmt: skip
    assert plan.source.a is not None
    assert plan.source.b is not None
    assert (plan.source.a.sae, plan.source.b.require_post_quantum) == ("sae-a", False)


@pytest.mark.parametrize(
    ("old", "new", "field", "words", "line"),
    [
        ('pilot = "corridor"', 'pilot = "coridor"', "pilot", "declares no pilot", "coridor"),
        ('id = "tunnel"', 'id = "shop"', "consumer[1].id", "already", "shop"),
        ('kind = "agent-death"', 'kind = "normal"', "event[1].kind", "already", "normal"),
        ('kind = "agent-death"', 'kind = "agent-deth"', "event[1].kind", "", "agent-deth"),
        ('"fail-secure"', '"fail-secur"', "consumer[1].policy", "no failure policy", "fail-secur"),
        ('"fail-secure"', '"fail-open"', "consumer[1].policy", "signed exception", "fail-open"),
        ('policy = "fail-secure"\n', "", "consumer[1].policy", "ipsec needs one", "[[consumer]]"),
        ('kind = "tls"', 'kind = "tls"\npolicy = "fail-secure"', "consumer[0].policy", "nothing for tls", "policy"),
        ('kind = "tls"', 'kind = "tls"\nmax_age_s = 3.0', "consumer[0].max_age_s", "nothing for tls", "max_age_s"),
        ('kind = "ipsec"', 'kind = "ipsec"\nper_s = 5.0', "consumer[1].per_s", "packets", "per_s"),
        ('kind = "ipsec"', 'kind = "ipsec"\nttl_s = 9.0', "consumer[1].ttl_s", "nothing under fail-secure", "ttl_s"),
        ('kind = "ipsec"', 'kind = "ipsec"\nrotate_every_s = 4.0', "consumer[1].max_age_s", "too old", "[[consumer]]"),
        ('"fail-secure"', '"hold-until-ttl"', "consumer[1].ttl_s", "needs ttl_s above", "[[consumer]]"),
        ('"fail-secure"', '"hold-until-ttl"\nttl_s = 4.0', "consumer[1].ttl_s", "needs ttl_s above", "ttl_s"),
        ("fallback_most_s = 60.0", "", "consumer[2].fallback_most_s", "needs fallback_most_s", "[[consumer]]"),
        ("rotation_p95_max_s = 1.0\n", "", "criteria.rotation_p95_max_s", "missing", "[criteria]"),
        ("throughput_min_ratio = 0.5", "throughput_min_ratio = 50", "criteria.throughput_min_ratio", "", "ratio = 50"),
        ("times = 3", "times = 0", "event[1].times", "", "times = 0"),
        ("times = 3", "time = 3", "event[1].time", "unknown key", "time = 3"),
    ],
)
def test_each_mistake_is_named_at_its_line(old: str, new: str, field: str, words: str, line: str) -> None:
    """The field, what is wrong, and the line that it stands on; one mistake is one problem."""
    assert old in GOOD
    ((found, message, at),) = problems(GOOD.replace(old, new, 1))
    assert found == field
    assert words in message
    assert line in at


@pytest.mark.parametrize(
    ("source", "field", "words"),
    [
        ('kind = "vendor"\n' + VENDOR_END.format(at="a"), "source.b", "both sites"),
        ('kind = "vendor"\nstock_keys = 9' + VENDOR_END.format(at="a") + VENDOR_END.format(at="b"),
         "source.stock_keys", "twin's"),
        ('kind = "vendor"' + (VENDOR_END.format(at="a") + VENDOR_END.format(at="b")).replace("sae-b", "sae-a"),
         "source.b.sae", "both ends"),
        ('kind = "vendor"' + (VENDOR_END.format(at="a") + VENDOR_END.format(at="b")).replace("https://kme-b", "kme-b"),
         "source.b.url", ""),
        (VENDOR_END.format(at="a"), "source.a", "twin as source"),
        ('[source.commands]\nlink-cut = "x"', "source.commands", "twin as source"),
        ('kind = "vendor"' + VENDOR_END.format(at="a") + VENDOR_END.format(at="b")
         + '[source.commands]\nlink-cutt = "x"', "source.commands.link-cutt", "no event"),
        ('kind = "vendor"' + VENDOR_END.format(at="a") + VENDOR_END.format(at="b")
         + '[source.commands]\nlink-cut-end = "x"', "source.commands.link-cut-end", "undoes"),
        ('kind = "vendor"' + VENDOR_END.format(at="a") + VENDOR_END.format(at="b")
         + '[source.commands]\nlink-cut = " "', "source.commands.link-cut", "no command"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_give_keys_is_named(source: str, field: str, words: str) -> None:
    """A vendor without its ends, a twin with a vendor's, commands for events that are none."""
    ((found, message, _),) = problems(GOOD + "\n[source]\n" + source)
    assert found == field
    assert words in message


def test_an_agent_cannot_die_where_there_is_none() -> None:
    """With consumers in band alone there is no agent: the event would show nothing."""
    consumer, event = '[[consumer]]\nid = "a"\nkind = "age"\n', '[[event]]\nkind = "agent-death"\n'
    text = f'pilot = "corridor"\nname = "x"\n{consumer}{event}{CRITERIA}'
    ((field, message, _),) = problems(text)
    assert field == "event[0].kind"
    assert "no consumer here has an agent" in message


def test_every_mistake_is_told_at_once() -> None:
    """Mistakes of shape and of meaning, in the order of their lines."""
    text = GOOD.replace('"corridor"', '"other"').replace('"fail-secure"', '"none"').replace("times = 3", "times = 900")
    assert [field for field, _, _ in problems(text)] == ["pilot", "consumer[1].policy", "event[1].times"]


def test_without_a_pilot_in_the_estate_it_says_what_to_add() -> None:
    """An estate without a pilot: the hint is to add one."""
    with pytest.raises(InvalidInput) as caught:
        pilot_plan_from_toml(GOOD, "pilot.toml", [])
    assert "[[pilot]]" in caught.value.problems[0].hint


values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5), st.just([]), st.just({}))


@given(st.dictionaries(st.sampled_from(["policy", "kind", "id", "ttl_s", "max_age_s", "per_s"]), values), values)
def test_no_shape_of_a_plan_is_a_traceback(consumer: dict[str, object], source: object) -> None:
    """Whatever stands in a consumer or for the source: read, or refused with problems."""

    def spelt(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return '"' + re.sub(r'[\\"\x00-\x1f\x7f]', "", value) + '"'
        return "{}" if value == {} else str(value)

    rows = "\n".join(f"{name} = {spelt(value)}" for name, value in consumer.items() if value is not None)
    text = f"source = {spelt(source)}\n" if source is not None else ""
    text += GOOD.replace('id = "tunnel"\nkind = "ipsec"\npolicy = "fail-secure"', rows)
    tomllib.loads(text)
    with suppress(InvalidInput):
        read(text)


@pytest.mark.parametrize("kind", ["ipsec", "wireguard", "hsm"])
def test_a_second_consumer_of_a_kind_with_an_agent_is_refused(kind: str) -> None:
    """Two tunnels would share networks, two HSMs an installer: told at its line, and not after a minute of trying."""
    second = f'[[consumer]]\nid = "other"\nkind = "{kind}"\npolicy = "fail-secure"\n'
    text = GOOD.replace("[[event]]", second.replace("other", "one") + "\n" + second + "\n[[event]]", 1)
    found = problems(text)
    assert (found[-1][0], found[-1][2]) == ("consumer[4].kind", f'kind = "{kind}"')
    assert found[-1][1] == f"there is already a consumer of kind {kind}, and a pilot runs one"


def test_consumers_in_band_may_be_several_but_not_thousands() -> None:
    """Two TLS services are two; two thousand measure the machine."""
    shops = [f'[[consumer]]\nid = "shop-{n}"\nkind = "tls"\n\n' for n in range(2000)]
    assert len(read(GOOD.replace("[[event]]", shops[0] + shops[1] + "[[event]]", 1)).consumers) == 5
    ((field, message, _),) = problems(GOOD.replace("[[event]]", "".join(shops) + "[[event]]", 1))
    assert field == "consumer"
    assert "20" in message
