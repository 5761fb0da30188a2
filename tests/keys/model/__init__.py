"""The two-KME contract as a model, and what walks through all of its states."""
