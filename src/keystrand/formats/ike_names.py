"""IKE and ESP proposals as strongSwan and libreswan write them: `aes256gcm16-prfsha384-ecp384-ke1_mlkem768`."""

import re
from collections.abc import Callable, Iterator
from itertools import islice, product

from keystrand.formats import ike_codepoints as codes
from keystrand.formats.symmetric_names import cipher_code, hash_name
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse

_ENC, _MAC, _KEX = Function.ENCRYPTION, Function.MAC, Function.KEY_ESTABLISHMENT
_Token = tuple[str, Callable[[re.Match[str]], tuple[str, Function]]]
_TOKENS: tuple[_Token, ...] = (
    (r"aes(128|192|256)?ccm(?:8|64)", lambda m: (_sized("AES", m[1] or "128", "CCM8"), _ENC)),
    (r"aes(128|192|256)?(gcm|ccm|ctr)(?:8|12|16|64|96|128)?",
     lambda m: (_sized("AES", m[1] or "128", m[2].upper()), _ENC)),
    (r"aes_(gcm|ccm|ctr|cbc)(?:_\w)?(?:_?(128|192|256))?", lambda m: (_sized("AES", m[2], m[1].upper()), _ENC)),
    (r"aes(128|192|256)?gmac", lambda m: (cipher_code("GMAC", _sized("AES", m[1], "")), _MAC)),
    (r"aes(128|192|256)?", lambda m: (_sized("AES", m[1] or "128", "CBC"), _ENC)),
    (r"camellia(128|192|256)?", lambda m: (_sized("Camellia", m[1] or "128", "CBC"), _ENC)),
    (r"chacha20_?poly1305", lambda _: ("ChaCha20-Poly1305", _ENC)),
    (r"3des", lambda _: ("3DES-168-CBC", _ENC)),
    (r"blowfish\d*", lambda _: ("Blowfish-CBC", _ENC)),
    (r"cast128", lambda _: ("CAST5-CBC", _ENC)),
    (r"des", lambda _: ("DES-CBC", _ENC)),
    (r"prf_?(?:hmac_?)?(sha\d*(?:_\d+)?|md5)", lambda m: (f"HMAC-{hash_name(m[1])}", Function.KEY_DERIVATION)),
    (r"(prf)?aescmac", lambda m: (codes.integrity_name(8), Function.KEY_DERIVATION if m[1] else _MAC)),
    (r"(prf)?aesxcbc", lambda m: (codes.integrity_name(5), Function.KEY_DERIVATION if m[1] else _MAC)),
    (r"null", lambda _: (codes.cipher_name(11, None), _ENC)),
    (r"(?:hmac_)?(sha\d*(?:_\d+)?|md5)(?:_\d+)?", lambda m: (f"HMAC-{_digest(m[1])}", _MAC)),
    (r"(?:modp|dh_?modp_?)(\d{3,4})(?:s\d+)?", lambda m: (f"FFDH-{m[1]}", _KEX)),
    (r"ecp(?:_)?(192|224|256|384|521)", lambda m: (f"ECDH-P-{m[1]}", _KEX)),
    (r"ecp(256|384|512)bp", lambda m: (f"ECDH-brainpoolP{m[1]}r1", _KEX)),
    (r"(?:curve|x)25519", lambda _: ("X25519", _KEX)),
    (r"(?:curve|x)448", lambda _: ("X448", _KEX)),
    (r"mlkem(512|768|1024)", lambda m: (f"ML-KEM-{m[1]}", _KEX)),
    (r"kyber([135])", lambda m: (f"Kyber-{ {'1': 512, '3': 768, '5': 1024}[m[1]]}", _KEX)),
    (r"(?:bike|hqc|frodo|sidh|ntru|newhope)\w*", lambda m: (_early(m[0]), _KEX)),
)  # fmt: skip
MAX_CHOICES = 64
"""Combinations of key exchanges told for one proposal at most."""
_SILENT = re.compile(r"(?:no)?esn|none|dh_none|modpnone")
_EARLY = {"bike": "BIKE", "hqc": "HQC", "frodo": "FrodoKEM", "sidh": "SIKE", "ntru": "NTRU", "newhope": "NewHope"}


def _sized(family: str, bits: str | None, mode: str) -> str:
    return "-".join(filter(None, (family, bits, mode)))


def _digest(word: str) -> str:
    """Return the hash of an integrity algorithm: `sha256_128` has a truncation after its name, `sha2_256` has none."""
    return hash_name(word) or hash_name(word.partition("_")[0]) or word


def _early(word: str) -> str:
    return next((name for stem, name in _EARLY.items() if word.startswith(stem)), word)


def proposal_uses(proposal: str) -> Iterator[AlgorithmUse | str]:
    """Yield what one proposal uses, and a remark for each word that is not known.

    Additional key exchanges (`ke1_...`, RFC 9370) are joined to the first one: both keys go into one, so that a
    proposal with them is one hybrid and no choice between its parts. `ke1_none` makes the additional one a choice.
    """
    rounds: dict[int, list[str]] = {}
    for token in re.split(r"[-;+]", proposal.strip().lower()):
        additional = re.match(r"ke([1-7])_", token)
        said = _token(token[4:] if additional else token)
        if isinstance(said, AlgorithmUse) and said.function is _KEX:
            rounds.setdefault(int(additional[1]) if additional else 0, []).append(said.algorithm)
        elif additional and token.endswith("_none"):
            rounds.setdefault(int(additional[1]), []).append("")
        elif said is not None:
            yield said
    choices = islice(product(*(rounds[n] for n in sorted(rounds))), MAX_CHOICES)
    joined = dict.fromkeys("+".join(filter(None, parts)) for parts in choices)
    yield from (AlgorithmUse(algorithm=name, function=_KEX) for name in joined if name)


def _token(token: str) -> AlgorithmUse | str | None:
    """Return the use that one word names, None where it says nothing, else a remark."""
    if not token or _SILENT.fullmatch(token):
        return None
    for pattern, make in _TOKENS:
        if match := re.fullmatch(pattern, token):
            name, function = make(match)
            return AlgorithmUse(algorithm=name, function=function)
    return f"{token!r} is no transform that is known"
