"""keystrand: from "where is our cryptography?" to links that run on quantum-safe keys, with the evidence."""

__version__ = "0.1.0"

__all__ = ["__version__"]
