"""The key management entity: ETSI GS QKD 014 over mutual, post-quantum TLS 1.3."""
