"""What holds for every estate: what these controls do not cover, and the questions that leadership always asks.

Kept to what is true of the technique itself; nothing here depends on a document. Mission rows M8 and M26.
"""

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

_QUANTUM = {
    "confidentiality": "Makes keys whose secrecy does not rest on a mathematical problem; the data itself is still "
    "encrypted with ordinary ciphers.",
    "integrity": "None by itself: its classical channel must be authenticated by other means, and so must the data.",
}
_CONTROLS: dict[Approach, ControlScope] = {
    Approach.QKD_FIBRE: ControlScope(
        control=APPROACH_NAMES[Approach.QKD_FIBRE],
        availability="Lowers it: a cut or disturbed fibre stops new keys. A fallback has to be decided beforehand.",
        recoverability="Stored keys bridge a short outage; hardware needs spares and specialised staff.",
        **_QUANTUM,
    ),
    Approach.QKD_TRUSTED_NODE: ControlScope(
        control=APPROACH_NAMES[Approach.QKD_TRUSTED_NODE],
        confidentiality="As over dedicated fibre on each span, but every node on the way sees the keys: it must be "
        "guarded like the end points.",
        integrity=_QUANTUM["integrity"],
        availability="Each span and node can fail; a second path without shared parts is what protects it.",
        recoverability="Keys can be sent another way if there is one; a node that was entered must be rebuilt and "
        "its keys discarded.",
    ),
    Approach.HYBRID: ControlScope(
        control=APPROACH_NAMES[Approach.HYBRID],
        confidentiality="Holds as long as any one of its key sources holds.",
        integrity="Comes from the signatures and ciphers beside it; those need their own change to post-quantum.",
        availability="Traffic can go on with the remaining key source when the quantum link fails, if policy allows.",
        recoverability="Each source can be repaired or replaced on its own; the loss of one must be visible.",
    ),
    Approach.PQC_ONLY: ControlScope(
        control=APPROACH_NAMES[Approach.PQC_ONLY],
        confidentiality="Resists known quantum attacks on key exchange; rests on mathematics that is younger than "
        "what it replaces.",
        integrity="Only where signatures and certificates are changed as well, up to the root.",
        availability="About as today: it is software, with larger messages.",
        recoverability="An algorithm that fails is replaced by software, if the system was built to allow that.",
    ),
    Approach.QUANTUM_INTERNET_TESTBED: ControlScope(
        control=APPROACH_NAMES[Approach.QUANTUM_INTERNET_TESTBED],
        confidentiality="None that may be relied on: it is research.",
        integrity="None that may be relied on.",
        availability="None promised; production traffic must not depend on it.",
        recoverability="Switch it off: nothing in production changes.",
    ),
}

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


def controls_of(approaches: frozenset[Approach]) -> tuple[ControlScope, ...]:
    """Return the scope of every control in `approaches`; post-quantum is always there, being the default."""
    return tuple(_CONTROLS[a] for a in Approach if a in approaches or a is Approach.PQC_ONLY)
