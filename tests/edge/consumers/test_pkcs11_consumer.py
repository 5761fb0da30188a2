"""Keys in a real token (SoftHSM2): found by their key_ID, used there, never read out, gone when retired."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pkcs11 = pytest.importorskip("pkcs11", reason="needs the extra hsm")
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402 - after the extra was looked for
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass  # noqa: E402 - as above
from pkcs11.exceptions import AttributeSensitive, PKCS11Error  # noqa: E402 - as above

from keystrand.crypto.secret import Secret  # noqa: E402 - as above
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role  # noqa: E402 - as above
from keystrand.edge.consumers.pkcs11 import TokenKeys, make  # noqa: E402 - as above
from keystrand.edge.kme.client import Client014  # noqa: E402 - as above
from keystrand.edge.pilot.softhsm import library, new_token  # noqa: E402 - as above
from keystrand.model.errors import InvalidInput, MissingInput  # noqa: E402 - as above

pytestmark = pytest.mark.system

PIN, TOKEN = "73194682", "consumers"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A token, and the file with its PIN; the library reads where tokens are when it is loaded."""
    try:
        token = new_token(tmp_path_factory.mktemp("softhsm") / "own", TOKEN, pin=PIN)
    except MissingInput as error:
        pytest.skip(f"{error.message}: {error.hint}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in token.env.items():
            patch.setenv(name, value)
        yield token.folder
        pkcs11.unload(str(token.module))


@pytest.fixture
def consumer(home: Path) -> TokenKeys:
    """A prepared consumer with a label of its own."""
    made = make(wanted(home), Role.RESPONDER)
    made.prepare()
    return made


def wanted(home: Path, **further: str) -> dict[str, str | int | float | bool]:
    """Return the settings."""
    told = {"module": str(library()), "token": TOKEN, "pin_file": str(home / "pin"), "label": f"link {uuid.uuid4()}"}
    return {**told, **further}


def found(key_id: str) -> tuple[Any, Any]:
    """Return an open session of an application, and the key of this ID in the token or None."""
    session = pkcs11.lib(str(library())).get_token(token_label=TOKEN).open(rw=True, user_pin=PIN)
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.ID: uuid.UUID(key_id).bytes}
    return session, next(iter(list(session.get_objects(wanted))), None)


def test_an_application_seals_with_the_key_in_the_token(
    consumer: TokenKeys, sae_a: Client014, sae_b: Client014
) -> None:
    """It is found by the key_ID; what it seals there opens with the key of the other site; it cannot be read."""
    (key,) = sae_a.enc_keys("sae-b")
    (far,) = sae_b.dec_keys("sae-a", (key.key_id,))
    consumer.install(NewKey(key.key_id, "qkd", key.key))
    assert consumer.prove(key.key_id).in_use
    session, held = found(key.key_id)
    with session:
        nonce = os.urandom(12)
        sealed = held.encrypt(b"a message", mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, b"", 128))
        assert AESGCM(far.key.view()).decrypt(nonce, sealed, None) == b"a message"
        assert (held[Attribute.SENSITIVE], held[Attribute.EXTRACTABLE]) == (True, False)
        assert (held[Attribute.WRAP], held[Attribute.UNWRAP]) == (False, False)
        with pytest.raises(AttributeSensitive):
            _ = held[Attribute.VALUE]


def test_old_beside_new_until_retired(consumer: TokenKeys) -> None:
    """Each verb twice, as after a crash: one object a key, and none once it is retired."""
    one, two = (NewKey(str(uuid.uuid4()), "qkd", Secret(os.urandom(32))) for _ in range(2))
    for key in (one, one, two):
        consumer.install(key)
    assert consumer.prove(one.key_id).in_use
    assert consumer.prove(two.key_id).in_use
    for _ in range(2):
        consumer.retire(one.key_id)
    assert not consumer.prove(one.key_id).in_use
    assert consumer.prove(two.key_id).in_use
    consumer.retire(two.key_id)
    for key in (one, two):
        session, held = found(key.key_id)
        session.close()
        assert held is None


def test_another_key_under_the_same_id_is_no_proof(consumer: TokenKeys) -> None:
    """What is compared is the key and not its name."""
    key = NewKey(str(uuid.uuid4()), "qkd", Secret(os.urandom(32)))
    consumer.install(key)
    session, held = found(key.key_id)
    with session:
        label = held[Attribute.LABEL]
        held.destroy()
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.VALUE: bytes(32),
                Attribute.ID: uuid.UUID(key.key_id).bytes, Attribute.LABEL: label, Attribute.TOKEN: True,
                Attribute.ENCRYPT: True,
            }
        )  # fmt: skip
    proof = consumer.prove(key.key_id)
    assert not proof.in_use
    assert proof.shown_by == "the token does not hold this key"
    consumer.retire(key.key_id)


def test_keys_that_fit_no_token_are_refused(consumer: TokenKeys) -> None:
    """Of another size, or with a name that is no UUID: nothing is imported."""
    with pytest.raises(ConsumerFailure, match="not 640"):
        consumer.install(NewKey(str(uuid.uuid4()), "qkd", Secret(os.urandom(80))))
    with pytest.raises(ConsumerFailure, match="no UUID"):
        consumer.install(NewKey("key 7", "qkd", Secret(os.urandom(32))))


def test_a_token_that_fails_is_told_as_a_consumers_failure(consumer: TokenKeys, home: Path) -> None:
    """What the token cannot do is no traceback of its library."""

    with pytest.raises(ConsumerFailure, match="failed"), consumer._session():
        raise PKCS11Error
    with pytest.raises(MissingInput):
        make(wanted(home, module=str(home / "absent.so")), Role.RESPONDER)


def test_a_wrong_pin_is_told_and_not_shown(home: Path) -> None:
    """With the next step; the PIN is in no message."""
    (home / "wrong").write_text("00000000")
    (home / "wrong").chmod(0o600)
    with pytest.raises(InvalidInput, match="refuses the PIN") as caught:
        make(wanted(home, pin_file=str(home / "wrong")), Role.RESPONDER).prepare()
    assert "00000000" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("further", "field"),
    [({"pin_file": ""}, "pin_file"), ({"pin_credential": "x"}, "pin_file"), ({"pin": PIN}, "pin")],
)
def test_settings_that_are_wrong_are_told_by_their_field(home: Path, further: dict[str, str], field: str) -> None:
    """A PIN has no place in a configuration."""
    with pytest.raises(InvalidInput) as caught:
        make(wanted(home, **further), Role.INITIATOR)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_a_pin_that_others_can_read_is_refused(home: Path) -> None:
    """With the command that closes it."""
    (home / "open").write_text(PIN)
    (home / "open").chmod(0o644)
    with pytest.raises(InvalidInput, match="others than its owner") as caught:
        make(wanted(home, pin_file=str(home / "open")), Role.INITIATOR)
    assert "chmod 600" in caught.value.hint


def test_a_token_that_another_program_was_writing_is_used_again(consumer: TokenKeys, home: Path) -> None:
    """A library that saw half of the token's file keeps the token for broken: it is made to look anew."""
    key = NewKey(str(uuid.uuid4()), "qkd", Secret(os.urandom(32)))
    consumer.install(key)
    (file,) = (home / "tokens").glob("*/token.object")
    whole = file.read_bytes()
    file.write_bytes(b"")
    with pytest.raises(ConsumerFailure):
        consumer.prove(key.key_id)
    file.write_bytes(whole)
    assert consumer.prove(key.key_id).in_use
    consumer.retire(key.key_id)
