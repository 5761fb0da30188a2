"""What pilots are judged by, by name: the scorecard, the plan's criteria and the questions to vendors share these."""

from enum import StrEnum


class CriterionName(StrEnum):
    """The criteria of a pilot: first those of its link and key service, then those of each consumer, by weight."""

    KEY_RATE = "secret key rate"
    HANDSHAKE = "handshake time"
    KEY_DELIVERY = "key delivery time"
    CUT_RECOVERY = "recovery after a cut"
    FAILED_HANDSHAKES = "failed handshakes"
    DETECTION = "detection of faults"
    CLEAR = "packets in clear"
    WRONG_KEYS = "wrong keys"
    GAP = "longest silence"
    FAILOVER = "failover"
    RECOVERY = "fresh keys after an outage"
    KEY_AGE = "age of keys in use"
    ROTATION = "rotation time"
    ROTATION_LOSS = "packets lost in rotations"
    THROUGHPUT = "throughput with keys"
    AUDIT = "changes audited"
