"""Every cipher suite of TLS: how it establishes the key, and what it encrypts with, by number and by name.

Source: IANA "TLS Cipher Suites" (as of 2026), and the numbers that Chrome and Cloudflare used for ChaCha20-Poly1305
before RFC 7905. A row is the first number, the key exchange, and the ciphers of the numbers that follow.
"""

import re
from functools import lru_cache
from typing import NamedTuple

_CBC = "RC4_128 3DES_EDE_CBC AES_128_CBC AES_256_CBC"
_ROWS = f"""
0001 RSA NULL NULL RC4_40 RC4_128 RC4_128 RC2_CBC_40 IDEA_CBC DES40_CBC DES_CBC 3DES_EDE_CBC
000b DH DES40_CBC DES_CBC 3DES_EDE_CBC DES40_CBC DES_CBC 3DES_EDE_CBC
0011 DHE DES40_CBC DES_CBC 3DES_EDE_CBC DES40_CBC DES_CBC 3DES_EDE_CBC
0017 DH_anon RC4_40 RC4_128 DES40_CBC DES_CBC 3DES_EDE_CBC
002c PSK NULL
002d DHE_PSK NULL
002e RSA_PSK NULL
002f RSA AES_128_CBC
0030 DH AES_128_CBC AES_128_CBC
0032 DHE AES_128_CBC AES_128_CBC
0034 DH_anon AES_128_CBC
0035 RSA AES_256_CBC
0036 DH AES_256_CBC AES_256_CBC
0038 DHE AES_256_CBC AES_256_CBC
003a DH_anon AES_256_CBC
003b RSA NULL AES_128_CBC AES_256_CBC
003e DH AES_128_CBC AES_128_CBC
0040 DHE AES_128_CBC
0041 RSA CAMELLIA_128_CBC
0042 DH CAMELLIA_128_CBC CAMELLIA_128_CBC
0044 DHE CAMELLIA_128_CBC CAMELLIA_128_CBC
0046 DH_anon CAMELLIA_128_CBC
0067 DHE AES_128_CBC
0068 DH AES_256_CBC AES_256_CBC
006a DHE AES_256_CBC AES_256_CBC
006c DH_anon AES_128_CBC AES_256_CBC
0084 RSA CAMELLIA_256_CBC
0085 DH CAMELLIA_256_CBC CAMELLIA_256_CBC
0087 DHE CAMELLIA_256_CBC CAMELLIA_256_CBC
0089 DH_anon CAMELLIA_256_CBC
008a PSK {_CBC}
008e DHE_PSK {_CBC}
0092 RSA_PSK {_CBC}
0096 RSA SEED_CBC
0097 DH SEED_CBC SEED_CBC
0099 DHE SEED_CBC SEED_CBC
009b DH_anon SEED_CBC
009c RSA AES_128_GCM AES_256_GCM
009e DHE AES_128_GCM AES_256_GCM
00a0 DH AES_128_GCM AES_256_GCM
00a2 DHE AES_128_GCM AES_256_GCM
00a4 DH AES_128_GCM AES_256_GCM
00a6 DH_anon AES_128_GCM AES_256_GCM
00a8 PSK AES_128_GCM AES_256_GCM
00aa DHE_PSK AES_128_GCM AES_256_GCM
00ac RSA_PSK AES_128_GCM AES_256_GCM
00ae PSK AES_128_CBC AES_256_CBC NULL NULL
00b2 DHE_PSK AES_128_CBC AES_256_CBC NULL NULL
00b6 RSA_PSK AES_128_CBC AES_256_CBC NULL NULL
00ba RSA CAMELLIA_128_CBC
00bb DH CAMELLIA_128_CBC CAMELLIA_128_CBC
00bd DHE CAMELLIA_128_CBC CAMELLIA_128_CBC
00bf DH_anon CAMELLIA_128_CBC
00c0 RSA CAMELLIA_256_CBC
00c1 DH CAMELLIA_256_CBC CAMELLIA_256_CBC
00c3 DHE CAMELLIA_256_CBC CAMELLIA_256_CBC
00c5 DH_anon CAMELLIA_256_CBC
00c6 TLS13 SM4_GCM SM4_CCM
1301 TLS13 AES_128_GCM AES_256_GCM CHACHA20_POLY1305 AES_128_CCM AES_128_CCM_8
c001 ECDH NULL {_CBC}
c006 ECDHE NULL {_CBC}
c00b ECDH NULL {_CBC}
c010 ECDHE NULL {_CBC}
c015 ECDH_anon NULL {_CBC}
c01a SRP 3DES_EDE_CBC 3DES_EDE_CBC 3DES_EDE_CBC AES_128_CBC AES_128_CBC AES_128_CBC AES_256_CBC AES_256_CBC AES_256_CBC
c023 ECDHE AES_128_CBC AES_256_CBC
c025 ECDH AES_128_CBC AES_256_CBC
c027 ECDHE AES_128_CBC AES_256_CBC
c029 ECDH AES_128_CBC AES_256_CBC
c02b ECDHE AES_128_GCM AES_256_GCM
c02d ECDH AES_128_GCM AES_256_GCM
c02f ECDHE AES_128_GCM AES_256_GCM
c031 ECDH AES_128_GCM AES_256_GCM
c033 ECDHE_PSK {_CBC} AES_128_CBC AES_256_CBC NULL NULL NULL
c09c RSA AES_128_CCM AES_256_CCM
c09e DHE AES_128_CCM AES_256_CCM
c0a0 RSA AES_128_CCM_8 AES_256_CCM_8
c0a2 DHE AES_128_CCM_8 AES_256_CCM_8
c0a4 PSK AES_128_CCM AES_256_CCM
c0a6 DHE_PSK AES_128_CCM AES_256_CCM
c0a8 PSK AES_128_CCM_8 AES_256_CCM_8
c0aa DHE_PSK AES_128_CCM_8 AES_256_CCM_8
c0ac ECDHE AES_128_CCM AES_256_CCM AES_128_CCM_8 AES_256_CCM_8
cc13 ECDHE CHACHA20_POLY1305 CHACHA20_POLY1305
cc15 DHE CHACHA20_POLY1305
cca8 ECDHE CHACHA20_POLY1305 CHACHA20_POLY1305
ccaa DHE CHACHA20_POLY1305
ccab PSK CHACHA20_POLY1305
ccac ECDHE_PSK CHACHA20_POLY1305
ccad DHE_PSK CHACHA20_POLY1305
ccae RSA_PSK CHACHA20_POLY1305
d001 ECDHE_PSK AES_128_GCM AES_256_GCM AES_128_CCM_8
d005 ECDHE_PSK AES_128_CCM
"""
# ARIA and Camellia-GCM take two numbers for each exchange, in these orders (RFC 6209; RFC 6367).
_ARIA_CBC = "RSA DH DH DHE DHE DH_anon ECDHE ECDH ECDHE ECDH"
_ARIA_GCM = "RSA DHE DH DHE DH DH_anon ECDHE ECDH ECDHE ECDH"
_PAIRS = (
    (0xC03C, _ARIA_CBC, "ARIA", "CBC"),
    (0xC050, _ARIA_GCM, "ARIA", "GCM"),
    (0xC064, "PSK DHE_PSK RSA_PSK", "ARIA", "CBC"),
    (0xC06A, "PSK DHE_PSK RSA_PSK", "ARIA", "GCM"),
    (0xC070, "ECDHE_PSK", "ARIA", "CBC"),
    (0xC072, "ECDHE ECDH ECDHE ECDH", "CAMELLIA", "CBC"),
    (0xC07A, _ARIA_GCM, "CAMELLIA", "GCM"),
    (0xC08E, "PSK DHE_PSK RSA_PSK", "CAMELLIA", "GCM"),
    (0xC094, "PSK DHE_PSK RSA_PSK ECDHE_PSK", "CAMELLIA", "CBC"),
)


class Suite(NamedTuple):
    """A cipher suite: `exchange` as IANA writes it (`ECDHE`, `RSA_PSK`; `TLS13` says nothing), `cipher` canonical."""

    exchange: str
    cipher: str


_FIXED_CIPHERS = {
    "NULL": "NULL",
    "CHACHA20_POLY1305": "ChaCha20-Poly1305",
    "RC4_40": "RC4",
    "RC4_128": "RC4",
    "RC2_CBC_40": "RC2",
    "IDEA_CBC": "IDEA-CBC",
    "DES_CBC": "DES-CBC",
    "DES40_CBC": "DES-CBC",
    "DES_CBC_40": "DES-CBC",
    "3DES_EDE_CBC": "3DES-168-CBC",
    "SEED_CBC": "SEED-128-CBC",
    "SM4_GCM": "SM4-128-GCM",
    "SM4_CCM": "SM4-128-CCM",
}


def _cipher(name: str) -> str:
    if name in _FIXED_CIPHERS:
        return _FIXED_CIPHERS[name]
    return name.replace("CAMELLIA", "Camellia").replace("CCM_8", "CCM8").replace("_", "-")


def _table() -> dict[int, Suite]:
    found: dict[int, Suite] = {}
    for row in _ROWS.split("\n"):
        first, exchange, *ciphers = row.split() or ("0", "")
        found |= {int(first, 16) + n: Suite(exchange, _cipher(cipher)) for n, cipher in enumerate(ciphers)}
    for number, exchanges, family, mode in _PAIRS:
        for n, exchange in enumerate(exchanges.split()):
            for m, bits in enumerate((128, 256)):
                found[number + 2 * n + m] = Suite(exchange, _cipher(f"{family}_{bits}_{mode}"))
    return found


_SUITES = _table()
_NAME = re.compile(r"(?:TLS|SSL)_(?:(\w+?)_WITH_)?(\w+?)(?:_(?:MD5|SHA|SHA256|SHA384|SM3))?")


def suite(number: int) -> Suite | None:
    """Return the suite with this number, or None where it is not registered."""
    return _SUITES.get(number)


def suites_of(*exchanges: str) -> tuple[int, ...]:
    """Return the numbers of all suites that establish the key in one of these ways."""
    return tuple(number for number, found in _SUITES.items() if found.exchange in exchanges)


@lru_cache(maxsize=1024)
def suite_named(name: str) -> Suite | None:
    """Return the suite that IANA, Zeek or Suricata calls `name`, or None where it does not read like one."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match[1] is None:
        return Suite("TLS13", _cipher(match[2]))
    exchange = re.sub(r"_(?:RSA|DSS|ECDSA|EXPORT\d*)(?=_|$)", "", "_" + match[1])[1:]
    if match[1].startswith("RSA"):
        exchange = "RSA_PSK" if match[1] == "RSA_PSK" else "RSA"
    exchange = {"PSK_DHE": "DHE_PSK", "SRP_SHA": "SRP"}.get(exchange, exchange)
    return Suite(exchange, _cipher(match[2]))
