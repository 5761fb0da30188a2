"""Several strands, one key: the two-step key derivation that a hybrid key comes out of.

`cat_kdf` is the concatenation KDF of ETSI TS 103 744 with HKDF (RFC 5869; extract, then expand, as in NIST SP 800-56C
Rev. 2, section 5): the secrets one after the other, a label as salt, the hash of what they belong to as context.

`combine` is that function with one thing added: each strand has its length in front. TS 103 744 joins secrets whose
lengths the algorithms fix; ours are as long as the caller cuts them, and without lengths `ab`, `c` and `a`, `bc` would
be one secret. The key stays unknown as long as one strand does, to whoever cannot tell HMAC-SHA-512 from chance.
"""

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.hashes import SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from keystrand.crypto.labels import COMBINED_KEY
from keystrand.crypto.secret import Secret
from keystrand.model.errors import InvalidInput
from keystrand.model.key import Strand

Octets = bytes | bytearray | memoryview

COMBINED_BITS_MOST = 255 * 512
"""Bits of one combined key: HKDF expands to 255 times the hash's length at most (RFC 5869, section 2.3)."""

_SALT = COMBINED_KEY.encode()
_SHA512 = SHA512()


class Binding(Struct, frozen=True, kw_only=True):
    """What the keys of one order are bound to: change any of it, or the order within it, and every key is another.

    `epoch` is a number that both KMEs agree on. `strands` in the order of the secrets.
    """

    profile: str
    link: str
    epoch: int
    master_sae: str
    slave_saes: tuple[str, ...]
    strands: tuple[Strand, ...]


def prefixed(*parts: Octets) -> bytearray:
    """Return `parts` one after the other, each with its length in bytes (32 bit, big-endian) in front."""
    joined = bytearray()
    for part in parts:
        joined += len(part).to_bytes(4, "big")
        joined += part
    return joined


def cat_kdf(
    secrets: Sequence[Octets],
    *,
    label: bytes,
    info: Octets,
    message_a: Octets,
    message_b: Octets,
    octets: int,
    algorithm: HashAlgorithm = _SHA512,
) -> Secret:
    """Return `octets` bytes of key: CatKDF of ETSI TS 103 744 with HKDF, for `secrets` = psk, k1, k2.

    kdf_context = Hash(BE32(len info) || info || BE32(len MA) || MA || BE32(len MB) || MB);
    key = HKDF(salt = label, ikm = psk || k1 || k2, info = kdf_context). Raises `ValueError` beyond 255 hashes.
    """
    context = hashlib.new(algorithm.name, prefixed(info, message_a, message_b)).digest()
    joined, made = bytearray().join(secrets), bytearray(octets)
    try:
        HKDF(algorithm, octets, label, context).derive_into(joined, made)
        return Secret(made)
    finally:
        joined[:] = bytes(len(joined))
        made[:] = bytes(octets)


def combine(strands: Sequence[Secret], binding: Binding, key_id: str, size_bits: int) -> Secret:
    """Return the key `key_id` of `size_bits`, made from `strands` in the order that `binding` names them.

    Raises `InvalidInput` where the size is no whole number of octets, none, or beyond `COMBINED_BITS_MOST`;
    `ValueError` where a strand is missing, empty, or one too many: no key is made from fewer than were declared.
    """
    if size_bits % 8 or not 0 < size_bits <= COMBINED_BITS_MOST:
        hint = (
            f"ask for a multiple of 8 up to {COMBINED_BITS_MOST} bits, or for a key of one strand, which has no limit"
        )
        raise InvalidInput(f"a combined key cannot have {size_bits} bits", hint=hint)
    if len(strands) != len(binding.strands) or not all(map(len, strands)):
        raise ValueError(f"{len(binding.strands)} strands were declared, none of them empty")
    whole = prefixed(*(strand.view() for strand in strands))
    try:
        return cat_kdf(
            (whole,),
            label=_SALT,
            info=_info(binding, key_id, size_bits),
            message_a=prefixed(binding.master_sae.encode()),
            message_b=prefixed(*(sae.encode() for sae in binding.slave_saes)),
            octets=size_bits // 8,
        )
    finally:
        whole[:] = bytes(len(whole))


def _info(binding: Binding, key_id: str, size_bits: int) -> bytearray:
    """Return everything but the two ends. The size is in it, so that no key is the beginning of a longer one."""
    told = (key_id, str(size_bits), binding.profile, binding.link, str(binding.epoch))
    strands = (word for strand in binding.strands for word in (strand.source, strand.strength))
    return prefixed(*(word.encode() for word in (*told, *strands)))
