"""Model to bytes and back, pure: TOML, JSON, CycloneDX, HTML, wire formats."""
