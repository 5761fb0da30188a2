"""Several documents on the same things: what they share, and on what they differ."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.inventory.contradictions import Contradiction, compared
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Certificate, Strength
from keystrand.model.reading import Found

CERTIFICATE = Certificate(
    sha256="a" * 64, spki_sha256="b" * 64, subject="CN=web", issuer="CN=ca", serial="0a",
    not_before=date(2026, 1, 1), not_after=date(2027, 1, 1), signature_algorithm="RSA", key_algorithm="RSA-2048",
)  # fmt: skip


def use(name: str, where: str = "!src/a.py:7", library: str = "") -> Found:
    """Return a use of a cipher."""
    return Found(
        where, Strength.REFERENCED, AlgorithmUse(algorithm=name, function=Function.ENCRYPTION, library=library)
    )


def certificate(**changes: object) -> Found:
    """Return a certificate in a file."""
    return Found("!web.pem", Strength.CONFIGURED, replace(CERTIFICATE, **changes))


def test_the_same_thing_said_differently() -> None:
    """A field on which two differ names both; one who is silent contradicts nobody."""
    comparison = compared({"theia": [certificate(subject="CN=other", key_bits=2048)], "lens": [certificate()]})
    assert comparison.shared == 1
    assert comparison.contradictions == (
        Contradiction(f"certificate:{'a' * 64}", "subject", (("lens", "CN=web"), ("theia", "CN=other"))),
    )


def test_the_same_place_named_differently() -> None:
    """Two tools that see one line and name its cipher differently contradict each other; other lines do not matter."""
    comparison = compared(
        {"sonar": [use("AES-256-GCM"), use("RC4", "!src/b.py:1")], "cdxgen": [use("AES"), use("DES", "!src/c.py:1")]}
    )
    assert comparison.contradictions == (
        Contradiction("encryption at src/a.py:7", "algorithm", (("cdxgen", "AES"), ("sonar", "AES-256-GCM"))),
    )
    assert comparison.alone == (("cdxgen", 2), ("sonar", 2))


def test_agreement_is_none() -> None:
    """Documents that say the same, and numbers of components, which are of one document alone, contradict nothing."""
    comparison = compared({"a": [use("AES"), use("DES", "#1")], "b": [use("AES"), use("RC4", "#1")]})
    assert (comparison.shared, comparison.contradictions) == (1, ())
    assert compared({}) == (0, (), ())


FOUND = st.lists(
    st.sampled_from((use("AES"), use("DES"), use("AES", "!x", library="openssl"), use("AES", "!x"), certificate(),
                     certificate(subject="CN=x"))), max_size=5,
)  # fmt: skip


@given(FOUND, FOUND)
def test_order_and_repetition_change_nothing(one: list[Found], other: list[Found]) -> None:
    """Neither that of documents nor that of findings; the same document twice agrees with itself."""
    straight = compared({"a": one, "b": other})
    assert straight == compared({"b": [*reversed(other)], "a": [*reversed(one), *one]})
    assert compared({"a": one, "b": one}).contradictions == ()
