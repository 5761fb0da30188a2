"""Key life cycle, policy and the two-KME contract: sans-I/O."""
