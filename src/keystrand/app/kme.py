"""Run a key management entity."""

from pathlib import Path

from keystrand.edge.kme.__main__ import serve


def serve_kme(config: Path) -> None:
    """Serve ETSI GS QKD 014 as `config` says, until SIGTERM."""
    serve(config)
