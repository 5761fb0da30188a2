"""The QUIC probe: the questions of the TLS probe that mean something in QUIC, whose only TLS is 1.3.

We send no Finished and close every connection that we opened. Source: RFC 9001.
"""

import secrets
from functools import partial
from typing import ClassVar

from keystrand.edge.probes.base import Answer, Job
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.tls_questions import Inquiry, TlsConversation
from keystrand.formats.quic_client import QuicClient, error_name, hello_extensions
from keystrand.formats.quic_packets import V1, QuicUnreadable
from keystrand.formats.tls_wire import TlsUnreadable
from keystrand.model.estate import ProbeKind, Target

PROTOCOLS = (b"h3", b"doq", b"smb", b"hq-interop")
"""Application protocols offered: servers refuse a hello without one of theirs (RFC 9001, 8.1)."""
_CONNECTION_ID_OCTETS = 8
