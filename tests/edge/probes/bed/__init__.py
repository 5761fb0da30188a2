"""Live servers whose cryptography is known: certificates, programs and the table of what a scan must say of each.

The programs come from Debian; `node` comes from the npm registry (see `node`), because Debian's OpenSSL has no
post-quantum groups.
"""
