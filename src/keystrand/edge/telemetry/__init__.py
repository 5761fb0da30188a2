"""Telemetry: what leaves for other systems that watch, and never makes the service wait."""
