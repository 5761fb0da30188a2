"""Post-quantum groups and signature schemes of TLS from before the standards, still met in old builds and pilots.

Sources: draft-tls-westerbaan-xyber768d00 (0x6399) and draft-kwiatkowski-tls-ecdhe-kyber (0x639A), which stand with the
groups of today in `tls_codepoints`; Cloudflare's private numbers 0xFE30 to 0xFE32 (2022); CECPQ2 0x4138 (2019); the
block of Open Quantum Safe, of which the provider's list of code points keeps record. A number that was given twice is
named after what the internet saw more of. No one of these is in any standard: what they resist stays unknown.
"""

_CLOUDFLARE = {
    0xFE30: "X25519Kyber512Draft00",
    0xFE31: "X25519Kyber768Draft00Old",
    0xFE32: "SecP256r1Kyber768Draft00Old",
}
_GOOGLE = {0x4138: "CECPQ2"}
_KYBER = {
    0x023A: "Kyber512",
    0x023C: "Kyber768",
    0x023D: "Kyber1024",
    0x2F39: "X25519Kyber512",
    0x2F3A: "SecP256r1Kyber512",
    0x2F3C: "SecP384r1Kyber768",
    0x2F90: "X448Kyber768",
    0x2F3D: "SecP521r1Kyber1024",
    0x020F: "Kyber512-round2",
    0x0210: "Kyber768-round2",
    0x0211: "Kyber1024-round2",
    0x2F0F: "SecP256r1Kyber512-round2",
    0x2F26: "X25519Kyber512-round2",
    0x2F10: "SecP384r1Kyber768-round2",
    0x2F11: "SecP521r1Kyber1024-round2",
    0x023E: "Kyber512-90s",
    0x023F: "Kyber768-90s",
    0x0240: "Kyber1024-90s",
}
_ML_KEM_PRIVATE = {
    0x2F4B: "SecP256r1MLKEM512",
    0x2FB6: "X25519MLKEM512",
    0x2F4C: "SecP384r1MLKEM768",
    0x2FB7: "X448MLKEM768",
    0x2F4D: "SecP521r1MLKEM1024",
    0xFE20: "brainpoolP256r1MLKEM512",
    0xFE21: "brainpoolP384r1MLKEM768",
    0xFE22: "brainpoolP512r1MLKEM1024",
}
_OTHER_KEMS = {
    0x022C: "HQC-128-round3",
    0x022D: "HQC-192-round3",
    0x022E: "HQC-256-round3",
    0x2F2C: "SecP256r1HQC128-round3",
    0x2FAC: "X25519HQC128-round3",
    0xFE18: "HQC-1",
    0xFE19: "SecP256r1HQC1",
    0xFE1A: "X25519HQC1",
    0xFE1B: "HQC-3",
    0xFE1E: "HQC-5",
    0xFE10: "BIKE-L1",
    0xFE11: "SecP256r1BIKEL1",
    0xFE12: "X25519BIKEL1",
    0xFE13: "BIKE-L3",
    0xFE23: "FrodoKEM-640-AES",
    0xFE24: "SecP256r1FrodoKEM640AES",
    0xFE25: "X25519FrodoKEM640AES",
    0xFE29: "FrodoKEM-976-AES",
    0xFE2F: "FrodoKEM-1344-AES",
}

WITHDRAWN_GROUPS = _CLOUDFLARE | _GOOGLE | _KYBER | _ML_KEM_PRIVATE | _OTHER_KEMS

WITHDRAWN_SCHEMES = {
    0xFEA0: "Dilithium2",
    0xFEA1: "Dilithium2-P-256",
    0xFEA2: "Dilithium2-RSA-3072",
    0xFEA3: "Dilithium3",
    0xFEA4: "Dilithium3-P-384",
    0xFEA5: "Dilithium5",
    0xFEA6: "Dilithium5-P-521",
    0xFE0B: "Falcon512-round3",
    0xFE0E: "Falcon1024-round3",
    0xFEAE: "Falcon512-2021",
    0xFEB1: "Falcon1024-2021",
    0xFED7: "Falcon512",
    0xFED8: "Falcon512-P-256",
    0xFED9: "Falcon512-RSA-3072",
    0xFEDA: "Falcon1024",
    0xFEDB: "Falcon1024-P-521",
    0xFF06: "MLDSA44-P-256",
    0xFF07: "MLDSA44-RSA-3072",
    0xFF08: "MLDSA65-P-384",
    0xFF09: "MLDSA87-P-521",
}
