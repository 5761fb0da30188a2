"""Argument text in, an app call, rendering out."""
