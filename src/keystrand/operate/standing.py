"""What holds for every estate: what no control of keys covers, and the questions that leadership always asks.

Kept to what is true of the technique itself; nothing here depends on a document. Mission rows M8 and M26.
"""

from keystrand.model.control import Control
from keystrand.model.stages import Approach, ControlScope, StandingAnswer

APPROACH_NAMES: dict[Approach, str] = {
    Approach.QKD_FIBRE: "QKD over dedicated fibre",
    Approach.QKD_TRUSTED_NODE: "QKD through trusted nodes",
    Approach.HYBRID: "Hybrid: QKD and other key exchange",
    Approach.PQC_ONLY: "Post-quantum only",
    Approach.QUANTUM_INTERNET_TESTBED: "Quantum-internet testbed",
}
"""The five approaches in words; QKD is spelled out where the report first uses it."""

NOT_COVERED: tuple[str, ...] = (
    "Endpoints: a machine that is broken into holds the keys and the plain data, however the keys were made. "
    "It still needs strong identity, patching, hardening and monitoring.",
    "Insiders: whoever may read the data, enter a trusted node or change a key policy can still misuse that. "
    "Separate duties, approvals and the audit record answer this, not the key exchange.",
    "Malware: it acts inside the encrypted connection with the rights of its victim. "
    "A quantum-safe connection carries it as faithfully as anything else.",
    "Misconfiguration: a connection that may fall back to the old key exchange gives no protection when it does. "
    "Only regular scans show what is really negotiated.",
    "Data already recorded: what was copied before the change stays as it was encrypted then. "
    "No later change of keys reaches it.",
)

ANSWERS: tuple[StandingAnswer, ...] = (
    StandingAnswer(
        question="Is a quantum network the same as post-quantum cryptography?",
        answer="No. Post-quantum cryptography is software for the computers we have, built on problems that quantum "
        "computers are not known to solve. Quantum key distribution (QKD) is optical equipment that makes shared "
        "keys between two places. Most estates need the first everywhere and the second on a few links, if at all.",
    ),
    StandingAnswer(
        question="Does all encryption have to be replaced by QKD?",
        answer="No. QKD only delivers keys; ordinary ciphers still protect the data. It is for links whose value "
        "justifies dedicated fibre, guarded sites and specialised operation.",
    ),
    StandingAnswer(
        question="Can this wait until a quantum computer exists?",
        answer="Not for data with a long life. Traffic can be recorded now and read later, and what has been recorded "
        "cannot be called back. Each year of delay adds to it.",
    ),
    StandingAnswer(
        question="Will it secure our endpoints?",
        answer="No. It protects the making of keys and the traffic between machines. "
        "The machines themselves need the controls they needed before.",
    ),
    StandingAnswer(
        question="Is this a research project?",
        answer="No, it is a migration with owners, dates and a measure of success for each step. "
        "The pilot exists to test assumptions before money is committed.",
    ),
)


def controls_of(approaches: frozenset[Approach], controls: tuple[Control, ...]) -> tuple[ControlScope, ...]:
    """Return the scope of every control in `approaches`; post-quantum is always there, being the default."""
    known = {control.approach: control for control in controls}
    return tuple(
        _scope(known[approach])
        for approach in Approach
        if approach in known and (approach in approaches or approach is Approach.PQC_ONLY)
    )


def _scope(control: Control) -> ControlScope:
    said = {name: getattr(control, name) for name in ControlScope.__struct_fields__ if name != "control"}
    return ControlScope(control=control.name, **said)
