"""Sources of key material."""
