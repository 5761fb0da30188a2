"""Bech32 (BIP 173) without its limit of 90 characters, as age writes its recipients and identities."""

from collections.abc import Iterable

from keystrand.model.errors import InvalidInput

_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECK_DIGITS = 6


def encode(prefix: str, content: bytes) -> str:
    """Return `content` behind `prefix`, in lower case."""
    digits = _regrouped(content, 8, 5, padded=True)
    remainder = _checksum([*_expanded(prefix), *digits, *[0] * _CHECK_DIGITS]) ^ 1
    check = [remainder >> 5 * (_CHECK_DIGITS - 1 - at) & 31 for at in range(_CHECK_DIGITS)]
    return f"{prefix}1{''.join(_DIGITS[digit] for digit in (*digits, *check))}"


def decode(prefix: str, text: str) -> bytes:
    """Return what `text` holds behind `prefix`, in either case but not both.

    Raises `InvalidInput` for another prefix, a wrong check, and bits that do not make whole bytes.
    """
    lowered = text.lower()
    if text not in {lowered, text.upper()} or not lowered.startswith(f"{prefix}1"):
        raise InvalidInput(f"this does not begin with {prefix}1, or mixes capitals and small letters")
    digits = [_DIGITS.find(letter) for letter in lowered[len(prefix) + 1 :]]
    whole = len(digits) >= _CHECK_DIGITS and -1 not in digits
    if not whole or _checksum([*_expanded(prefix), *digits]) != 1:
        raise InvalidInput("this was mistyped: its check digits are not right")
    return bytes(_regrouped(digits[:-_CHECK_DIGITS], 5, 8, padded=False))


def _expanded(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _checksum(digits: Iterable[int]) -> int:
    check = 1
    for digit in digits:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ digit
        for bit, term in enumerate(_GENERATOR):
            check ^= term if top >> bit & 1 else 0
    return check


def _regrouped(groups: Iterable[int], size: int, wanted: int, *, padded: bool) -> list[int]:
    """Return bits in groups of `size` as groups of `wanted`. Raises `InvalidInput` where what is left over is not 0."""
    bits = held = 0
    made = []
    for group in groups:
        bits, held = bits << size | group, held + size
        while held >= wanted:
            held -= wanted
            made.append(bits >> held)
            bits &= (1 << held) - 1
    if padded and held:
        made.append(bits << wanted - held)
    elif held >= size or bits:
        raise InvalidInput("this was mistyped: it does not end where a byte does")
    return made
