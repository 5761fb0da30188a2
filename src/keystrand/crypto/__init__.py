"""Pure bytes: secret type, domain-separation labels; no primitives of our own."""
