"""Source code to the cryptography it uses: syntax, values, rules and names. Pure: octets in, facts out."""
