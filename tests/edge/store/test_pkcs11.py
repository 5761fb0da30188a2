"""A keyring behind a token (SoftHSM2): what wraps the data keys stays in it and goes with its epoch."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from msgspec.structs import replace
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.exceptions import AttributeSensitive

from keystrand.crypto.secret import Secret
from keystrand.edge.pilot.softhsm import SoftToken, initialise, library, new_token
from keystrand.edge.store.keyring import FileKeyring, Keyring, Sealer
from keystrand.edge.store.master_key import MasterKeySource, SecretSource, TokenSource, open_keyring
from keystrand.edge.store.pkcs11 import Pkcs11Keyring
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure

pytestmark = pytest.mark.system

MODULE = library()
PIN, TOKEN = "73194682", "kme-token"
Open = Callable[..., Pkcs11Keyring]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    """Return a token of a library; that reads where its tokens are when it is loaded."""
    token = new_token(tmp_path_factory.mktemp("softhsm") / "own", TOKEN, pin=PIN)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in token.env.items():
            patch.setenv(name, value)
        yield token
        pkcs11.unload(str(MODULE))


@pytest.fixture
def opened(tokens: SoftToken, tmp_path: Path) -> Open:
    """Return what opens the keyring of a store with the token."""
    assert tokens.pin_file.exists()

    def open_it(
        *,
        token: str = TOKEN,
        pin: str = PIN,
        store: str = "",
        file: str = "ring",
        module: Path = MODULE,
        new: bool = False,
    ) -> Pkcs11Keyring:
        where = tmp_path / file
        return Pkcs11Keyring(module, token, Secret(pin.encode()), store or tmp_path.name, file=where, new=new)

    return open_it


def keys_in_token(name: str) -> list[str]:
    """Return the labels of the token's keys that contain `name`, asked for without our code."""
    with pkcs11.lib(str(MODULE)).get_token(token_label=TOKEN).open(user_pin=PIN) as session:
        found: list[Any] = list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}))
        return sorted(key.label for key in found if name in key.label)


def test_a_data_key_is_there_again_after_a_restart(opened: Open, tmp_path: Path) -> None:
    """`create` returns what a new process opens; the file holds it only in wrapped form."""
    keyring: Keyring = opened(new=True)
    keys = {epoch: keyring.create(epoch) for epoch in (1, 2, 10)}
    assert len({key.reveal() for key in keys.values()}) == 3
    again = opened()
    assert again.epochs() == (1, 2, 10)
    assert all(again.open(epoch) == key for epoch, key in keys.items())
    assert all(key.reveal() not in (tmp_path / "ring").read_bytes() for key in keys.values())
    assert again.store_id == tmp_path.name
    with pytest.raises(StoreFailure, match="never replaced"):
        again.create(1)
    keyring.close()
    again.close()


def test_the_wrapping_key_cannot_leave_the_token(opened: Open, tmp_path: Path) -> None:
    """It is sensitive and not extractable, and was so from the beginning; its value is refused."""
    opened(new=True).create(1)
    with pkcs11.lib(str(MODULE)).get_token(token_label=TOKEN).open(user_pin=PIN) as session:
        key: Any = session.get_key(label=f"keystrand {tmp_path.name} 1")
        told = (Attribute.SENSITIVE, Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.TOKEN)
        assert all(key[attribute] for attribute in told)
        assert not key[Attribute.EXTRACTABLE]
        assert (key.key_type, key.key_length) == (KeyType.AES, 256)
        with pytest.raises(AttributeSensitive):
            key[Attribute.VALUE]


def test_a_destroyed_key_is_gone_even_for_who_copied_the_file(opened: Open, tmp_path: Path) -> None:
    """The token's key is destroyed: an older copy of the keyring's file opens nothing, with token and PIN at hand."""
    keyring = opened(new=True)
    keyring.create(1)
    other = keyring.create(2)
    sealed = Sealer(keyring).seal(1, b"key material", b"place")
    shutil.copy(tmp_path / "ring", tmp_path / "copy")
    keyring.destroy(1)
    keyring.destroy(1)
    assert keys_in_token(tmp_path.name) == [f"keystrand {tmp_path.name} 2"]
    for one in (keyring, opened(), opened(file="copy")):
        assert one.epochs() == (2,)
        assert one.open(2) == other
        with pytest.raises(StoreFailure, match="destroyed"):
            Sealer(one).open(1, sealed, b"place")


@pytest.mark.parametrize("place", [0, 11, 12, 40, 59])
def test_a_wrapped_key_that_was_altered_does_not_open(opened: Open, tmp_path: Path, place: int) -> None:
    """The token refuses it, and so do we: there is no key instead."""
    keyring = opened(new=True)
    keyring.create(1)
    wrapped = bytearray(keyring._read()[1])
    wrapped[place] ^= 1
    keyring._write({1: bytes(wrapped)})
    with pytest.raises(StoreFailure, match="does not open") as caught:
        keyring.open(1)
    assert str(tmp_path / "ring") in caught.value.hint


def test_a_wrapped_key_under_another_epoch_does_not_open(opened: Open) -> None:
    """The epoch and the store are part of what the token authenticates."""
    keyring = opened(new=True)
    keyring.create(1)
    keyring.create(2)
    held = keyring._read()
    keyring._write({1: held[2], 2: held[1]})
    with pytest.raises(StoreFailure, match="does not open"):
        keyring.open(1)


def test_what_a_crash_left_half_done_is_finished(opened: Open, tmp_path: Path) -> None:
    """A key the token made before the file knew is replaced; one destroyed there before the file knew is gone."""
    keyring = opened(new=True)
    with keyring._session() as session:
        keyring._generate(session, 1)
    assert keyring.epochs() == ()
    key = keyring.create(1)
    assert (keys_in_token(tmp_path.name), opened().open(1)) == ([f"keystrand {tmp_path.name} 1"], key)
    with keyring._session() as session:
        keyring._destroy(session, 1)
    assert keyring.epochs() == ()
    with pytest.raises(StoreFailure, match="destroyed"):
        keyring.open(1)
    keyring.create(1)
    assert keyring.epochs() == (1,)


def test_a_wrong_pin_is_not_tried_twice(opened: Open) -> None:
    """A token locks after a few tries: the first refusal is the last attempt of this process."""
    opened(new=True)
    with pytest.raises(InvalidInput, match="refuses the PIN") as caught:
        opened(pin="00000000")
    assert "00000000" not in caught.value.message + caught.value.hint
    keyring = opened()
    keyring._slot._pin = Secret(b"11111111")
    with pytest.raises(InvalidInput, match="refuses the PIN"):
        keyring.create(1)
    with pytest.raises(StoreFailure, match="not asked again"):
        keyring.create(1)
    assert opened().epochs() == ()


def test_what_is_missing_is_named(opened: Open, tmp_path: Path) -> None:
    """No module, something that is none, no such token, no keyring, another store's, or one of a master key."""
    with pytest.raises(MissingInput, match="does not exist"):
        opened(module=tmp_path / "absent.so", new=True)
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(InvalidInput, match="cannot be used"):
        opened(module=tmp_path / "text.so", new=True)
    with pytest.raises(MissingInput, match="called other-token"):
        opened(token="other-token", new=True)  # noqa: S106  # a label
    with pytest.raises(MissingInput, match="does not exist"):
        opened()
    opened(new=True)
    with pytest.raises(StoreFailure, match="is the keyring of store"):
        opened(store="other")
    FileKeyring(tmp_path / "of-a-key", Secret(bytes(32)), tmp_path.name, new=True)
    with pytest.raises(StoreFailure, match="wrapped by master-key"):
        opened(file="of-a-key")


def test_the_configuration_names_token_and_pin(tokens: SoftToken, tmp_path: Path) -> None:
    """`pkcs11` in the place of a master key; the PIN comes from a file of its own, whose line may end."""
    assert tokens.pin_file.exists()
    (tmp_path / "pin").write_text(f"{PIN}\n")
    (tmp_path / "pin").chmod(0o600)
    token = TokenSource(module=str(MODULE), token=TOKEN, pin=SecretSource(file="pin"))
    source = MasterKeySource(pkcs11=token)
    keyring = open_keyring(source, tmp_path / "ring", tmp_path.name, home=tmp_path, new=True)
    key = keyring.create(1)
    assert open_keyring(source, tmp_path / "ring", tmp_path.name, home=tmp_path, new=False).open(1) == key


_WITHOUT_THE_EXTRA = """
import sys
sys.modules["pkcs11"] = None
from pathlib import Path
from keystrand.edge.store.master_key import MasterKeySource, SecretSource, TokenSource, open_keyring
from keystrand.model.errors import MissingInput
source = MasterKeySource(pkcs11=TokenSource(module="m", token="t", pin=SecretSource(command=("echo", "1"))))
try:
    open_keyring(source, Path("ring"), "s", home=Path(), new=True)
except MissingInput as error:
    print(error.message, error.hint)
"""


def test_without_the_extra_the_next_step_is_said() -> None:
    """python-pkcs11 is optional; who configures a token without it learns how to install it."""
    command = [sys.executable, "-c", _WITHOUT_THE_EXTRA]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "PKCS#11 tokens need python-pkcs11 install keystrand with the extra hsm\n"


def test_a_token_that_goes_away_is_said(opened: Open, tokens: SoftToken, tmp_path: Path) -> None:
    """While it is away every call fails with its name; once it is back the same keyring goes on. Nothing is lost."""
    initialise(replace(tokens, label="fleeting"), PIN)
    pkcs11.unload(str(MODULE))  # a library sees only the tokens that were there when it was loaded
    keyring = opened(token="fleeting", new=True)  # noqa: S106  # a label
    key = keyring.create(1)
    away = {folder: folder.with_suffix(".away") for folder in (tokens.folder / "tokens").iterdir()}
    for folder, other in away.items():
        folder.rename(tmp_path / other.name)
    calls: tuple[Callable[[], object], ...] = (
        lambda: keyring.open(1), lambda: keyring.create(2), keyring.epochs, lambda: keyring.destroy(1),
    )  # fmt: skip
    for call in calls:
        with pytest.raises((StoreFailure, MissingInput), match="fleeting"):
            call()
    for folder, other in away.items():
        (tmp_path / other.name).rename(folder)
    for again in (keyring, opened(token="fleeting")):  # noqa: S106  # a label
        assert again.epochs() == (1,)
        assert again.open(1) == key


def test_a_token_whose_keys_can_leave_is_refused(opened: Open) -> None:
    """What the token says of the key it made is looked at; one that can be read out is destroyed and wraps nothing."""
    keyring = opened(new=True)
    for template in ({Attribute.EXTRACTABLE: True}, {Attribute.SENSITIVE: False}):
        with pytest.raises(StoreFailure, match="can leave it"), keyring._session() as session:
            keyring._kept_inside(session.generate_key(KeyType.AES, 256, label="leaky", store=True, template=template))
    assert not keys_in_token("leaky")
