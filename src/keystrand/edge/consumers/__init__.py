"""The systems that consume keys."""
