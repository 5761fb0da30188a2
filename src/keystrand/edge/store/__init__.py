"""Stores: database, sealed keys and their keyring, the audit file."""
