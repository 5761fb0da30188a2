"""Configuration files: what each program is told to speak, at its line."""

import base64
import hashlib
import json
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.test_key_files import RSA, certificate, private

from keystrand.formats.config_reader import CONFIG
from keystrand.formats.ike_names import proposal_uses
from keystrand.formats.suite_names import suite_uses
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.observation import AlgorithmUse, Library, Outcome, ProtocolSettings, PublicKey, Strength
from keystrand.model.reading import Reading

WG_PRIVATE = base64.b64encode(bytes(range(32))).decode()
WG_PEER = X25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key()
WG_PUBLIC = base64.b64encode(WG_PEER.public_bytes_raw()).decode()


def read(path: str, text: str) -> Reading:
    """Return what the reader says of a file with this text."""
    assert CONFIG.wants(path, text.encode()[:4096])
    return CONFIG.read(path, text.encode())


def said(path: str, text: str) -> list[str]:
    """Return `line what` for each fact: an algorithm by its name, settings by versions or addresses."""
    found = read(path, text).found
    assert all(one.strength is Strength.CONFIGURED for one in found)
    return [f"{one.where[1:]} {_word(one.fact)}" for one in found]


def _word(fact: object) -> str:
    match fact:
        case AlgorithmUse():
            return fact.algorithm
        case ProtocolSettings():
            return " ".join((fact.protocol, *fact.versions, *(f"on {one}" for one in fact.listens)))
        case Library():
            return f"library {fact.name}"
        case PublicKey():
            return f"key {fact.algorithm}{' with its private part' if fact.private_part_present else ''}"
    return type(fact).__name__


CASES: dict[str, tuple[str, list[str]]] = {
    "etc/nginx/sites-enabled/shop": (
        "server {\n  listen 443 ssl;\n  listen 443 quic;\n  ssl_protocols TLSv1.2 TLSv1.3; # both\n"
        "  ssl_ecdh_curve X25519MLKEM768:X25519;\n  ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:!aNULL;\n"
        "  ssl_conf_command SignatureAlgorithms mldsa65:RSA-PSS+SHA256;\n  # ssl_ecdh_curve P-256;\n}\n",
        ["2 tls on 443", "3 quic on 443", "4 tls TLSv1.2 TLSv1.3", "5 X25519MLKEM768", "5 X25519", "6 ECDH", "6 RSA",
         "6 AES-128-GCM", "7 ML-DSA-65", "7 RSA-PSS"],
    ),
    "etc/apache2/sites-enabled/intranet.conf": (
        "<VirtualHost *:443>\nSSLEngine on\nSSLProtocol all -SSLv3 -TLSv1 -TLSv1.1\n"
        "SSLOpenSSLConfCmd Groups X25519MLKEM768:P-256\n</VirtualHost>\n",
        ["3 tls TLSv1.2 TLSv1.3", "4 X25519MLKEM768", "4 ECDH-P-256"],
    ),
    "etc/haproxy/haproxy.cfg": (
        "global\n  ssl-default-bind-ciphersuites TLS_AES_256_GCM_SHA384\nfrontend f\n"
        "  bind :8443 ssl crt /x.pem curves X25519MLKEM768 ssl-min-ver TLSv1.3\n",
        ["2 AES-256-GCM", "4 X25519MLKEM768", "4 tls TLSv1.3", "4 tls on :8443"],
    ),
    "etc/ssh/sshd_config": (
        "Port 22\nKexAlgorithms mlkem768x25519-sha256,curve25519-sha256\nHostKeyAlgorithms ssh-ed25519,rsa-sha2-512\n"
        "Ciphers aes256-gcm@openssh.com\nMACs hmac-sha2-256-etm@openssh.com\n"
        "#KexAlgorithms diffie-hellman-group1-sha1\n",
        ["2 mlkem768x25519-sha256", "2 X25519", "3 Ed25519", "3 RSA", "4 AES-256-GCM", "5 HMAC-SHA-256"],
    ),
    "etc/ssl/openssl.cnf": (
        "openssl_conf = init\n[req]\ndefault_bits = 3072\ndefault_md = sha256\n[tls]\nMinProtocol = TLSv1.2\n"
        "Groups = X25519MLKEM768:X25519\nSignatureAlgorithms = ed25519:ECDSA+SHA256\n",
        ["3 RSA-3072", "4 SHA-256", "6 tls TLSv1.2 TLSv1.3", "7 X25519MLKEM768", "7 X25519", "8 Ed25519", "8 ECDSA"],
    ),
    "etc/swanctl/conf.d/hub.conf": (
        "connections {\n hub {\n  version = 2\n  proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem768\n"
        "  ppk_id = hub\n  ppk_required = yes\n"
        "  children {\n   net { \n    esp_proposals = aes256-sha256-x25519\n } } } }\n",
        ["3 ike IKEv2", "4 AES-256-GCM", "4 HMAC-SHA-384", "4 ECDH-P-384+ML-KEM-768", "5 PPK (RFC 8784)",
         "6 PPK (RFC 8784)", "9 AES-256-CBC", "9 HMAC-SHA-256", "9 X25519"],
    ),
    "etc/ipsec.conf": (
        "conn hub\n  keyexchange=ikev1\n  ike=aes128-sha1-modp1024!\n  esp=3des-md5\n",
        ["2 ike IKEv1", "3 AES-128-CBC", "3 HMAC-SHA-1", "3 FFDH-1024", "4 3DES-168-CBC", "4 HMAC-MD5"],
    ),
    "etc/wireguard/wg0.conf": (
        f"[Interface]\nPrivateKey = {WG_PRIVATE}\n[Peer]\nPublicKey = {WG_PUBLIC}\nPresharedKey = {WG_PRIVATE}\n",
        ["2 X25519", "2 ChaCha20-Poly1305", "2 key X25519 with its private part", "4 key X25519", "5 PSK"],
    ),
    "etc/systemd/network/25-core.netdev": (
        "[NetDev]\nKind=macsec\n[MACsec]\nEncrypt=yes\n",
        ["4 macsec"],
    ),
    "etc/systemd/resolved.conf": ("[Resolve]\nDNSSEC=yes\nDNSOverTLS=opportunistic\n", ["2 dnssec", "3 dns-over-tls"]),
    "etc/postfix/main.cf": (
        "smtpd_tls_mandatory_protocols = >=TLSv1.2\nsmtp_tls_protocols = !SSLv2, !SSLv3\n"
        "tls_eecdh_auto_curves = X25519MLKEM768 X25519 \\\n   prime256v1\n",
        ["1 tls TLSv1.2 TLSv1.3", "2 tls TLSv1.0 TLSv1.1 TLSv1.2 TLSv1.3", "3 X25519MLKEM768", "3 X25519",
         "3 ECDH-P-256"],
    ),
    "etc/postgresql/17/main/postgresql.conf": (
        "ssl = on\nssl_min_protocol_version = 'TLSv1.3'\nssl_groups = 'X25519MLKEM768:X25519' # wide\n"
        "password_encryption = scram-sha-256\n",
        ["1 tls", "2 tls TLSv1.3", "3 X25519MLKEM768", "3 X25519", "4 PBKDF2-HMAC-SHA-256"],
    ),
    "etc/postgresql/17/main/pg_hba.conf": ("local all all peer\nhostssl all all 0.0.0.0/0 md5\n", ["2 MD5"]),
    "conf/security/java.security": (
        "security.provider.1=SunPKCS11 /etc/p11.cfg\njdk.tls.disabledAlgorithms=SSLv3, TLSv1, \\\n  TLSv1.1, RC4\n"
        "jdk.tls.namedGroups=x25519, secp256r1\n",
        ["1 library SunPKCS11", "2 tls TLSv1.2 TLSv1.3", "4 X25519", "4 ECDH-P-256"],
    ),
    "etc/openvpn/site.conf": (
        "remote-cert-tls server\ndata-ciphers AES-256-GCM:CHACHA20-POLY1305\nauth SHA256\ntls-version-min 1.2\n"
        "tls-crypt /etc/openvpn/ta.key\n",
        ["2 AES-256-GCM", "2 ChaCha20-Poly1305", "3 HMAC-SHA-256", "4 tls TLSv1.2 TLSv1.3", "5 PSK"],
    ),
    "etc/dovecot/conf.d/10-ssl.conf": (
        "ssl = required\nssl_min_protocol = TLSv1.2\n",
        ["1 tls", "2 tls TLSv1.2 TLSv1.3"],
    ),
    "etc/mysql/my.cnf": ("[mysqld]\ntls_version=TLSv1.2,TLSv1.3\n", ["2 tls TLSv1.2 TLSv1.3"]),
    "etc/crypttab": ("data /dev/sdb none luks,cipher=aes-xts-plain64,hash=sha256\n", ["1 AES-XTS", "1 SHA-256"]),
    "envoy.yaml": (
        "static_resources:\n  listeners:\n  - common_tls_context:\n      tls_params:\n"
        "        tls_minimum_protocol_version: TLSv1_3\n        ecdh_curves: [X25519MLKEM768, X25519]\n"
        '        cipher_suites: ["[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]"]\n',
        ["5 tls TLSv1.3", "6 X25519MLKEM768", "6 X25519", "7 ECDH", "7 RSA", "7 AES-128-GCM", "7 ChaCha20-Poly1305"],
    ),
    "k8s/ingress.yaml": (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec:\n  tls:\n  - hosts: [shop.bank.example]\n"
        "    secretName: shop\n---\napiVersion: cert-manager.io/v1\nkind: Certificate\nspec:\n  privateKey:\n"
        "    algorithm: ECDSA\n    size: 384\n---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command:\n"
        "    - kube-apiserver\n    - --tls-min-version=VersionTLS13\n",
        ["5 tls on shop.bank.example", "12 ECDSA-P-384", "21 tls TLSv1.3"],
    ),
    "k8s/encryption.json": (
        json.dumps({"apiVersion": "v1", "kind": "EncryptionConfiguration", "resources": [
            {"resources": ["secrets"], "providers": [{"aescbc": {"keys": []}}, {"identity": {}}]}]}),
        ["1 AES-CBC"],
    ),
    "main.tf": (
        'resource "aws_kms_key" "backup" {\n  customer_master_key_spec = "RSA_4096"\n}\n'
        'resource "tls_private_key" "ca" {\n  algorithm = "ECDSA"\n  ecdsa_curve = "P384"\n}\n'
        'resource "aws_lb_listener" "web" {\n  ssl_policy = "ELBSecurityPolicy-TLS13-1-2-PQ-2025-09"\n}\n'
        'resource "aws_kms_key" "plain" {\n}\n# resource "tls_private_key" "no" {\n',
        ["1 RSA-4096", "4 ECDSA-P-384", "8 tls TLSv1.2 TLSv1.3", "8 X25519MLKEM768", "11 AES-256-GCM"],
    ),
    "odd.tf": (
        'resource "aws_kms_key" "one" { customer_master_key_spec = "RSA_3072" }\n'
        'resource "aws_kms_key" "var" {\n  key_spec = var.spec\n}\n'
        'resource "tls_private_key" "var" {\n  algorithm = "RSA"\n  rsa_bits = var.bits\n}\n'
        'resource "aws_lb_listener" "old" {\n  ssl_policy = "ELBSecurityPolicy-TLS-1-2-Ext-2018-06"\n}\n'
        'resource "aws_cloudfront_distribution" "d" {\n  minimum_protocol_version = "TLSv1.2_2021"\n}\n',
        ["1 RSA-3072", "5 RSA", "9 tls TLSv1.2", "12 tls TLSv1.2 TLSv1.3"],
    ),
    "etc/swanctl/conf.d/one-line.conf": (
        "connections { b { proposals = aes256-sha256-x25519-ke1_mlkem768\n"
        "children { c { esp_proposals = aes256gcm16-x25519 } } } }\n",
        ["1 AES-256-CBC", "1 HMAC-SHA-256", "1 X25519+ML-KEM-768", "2 AES-256-GCM", "2 X25519"],
    ),
    "terraform.tfstate": (
        json.dumps({"version": 4, "resources": [{"type": "google_kms_crypto_key", "instances": [
            {"attributes": {"algorithm": "PQ_SIGN_ML_DSA_65", "id": "x"}}]}]}),
        ["google_kms_crypto_key ML-DSA-65"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", CASES)
def test_what_each_program_is_told(path: str) -> None:
    """Every setting that speaks of cryptography is a fact at its line, and what is commented out is none."""
    text, expected = CASES[path]
    assert said(path, text) == expected


CLOUD_KEYS = {
    "RSA_DECRYPT_OAEP_3072_SHA256": ("RSA-OAEP-3072", "encryption"),
    "RSA_SIGN_PSS_2048_SHA256": ("RSA-PSS-2048", "signature"),
    "EC_SIGN_ED25519": ("Ed25519", "signature"),
    "EC_prime256v1": ("ECDSA-P-256", "signature"),
    "PQ_SIGN_SLH_DSA_SHA2_128S": ("SLH-DSA-SHA2-128s", "signature"),
    "HMAC_256": ("HMAC-SHA-256", "mac"),
}


@pytest.mark.parametrize("name", CLOUD_KEYS)
def test_kinds_of_keys_have_the_names_that_clouds_give_them(name: str) -> None:
    """AWS, Google and ACM: what a key is for is part of its name."""
    text = f'resource "google_kms_crypto_key" "k" {{\n  algorithm = "{name}"\n}}\n'
    (one,) = read("main.tf", text).found
    assert isinstance(one.fact, AlgorithmUse)
    assert (one.fact.algorithm, one.fact.function.value) == CLOUD_KEYS[name]


def test_a_secret_of_kubernetes_gives_its_certificate_and_never_its_key() -> None:
    """The certificate and the private key's public half are facts; the key's octets are nowhere in the result."""
    key_pem = private(RSA, PrivateFormat.PKCS8)
    held = {"tls.crt": certificate(RSA).public_bytes(Encoding.PEM), "tls.key": key_pem}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(content).decode() for name, content in held.items()},
    }
    reading = read("secret.json", json.dumps(secret))
    assert {type(one.fact).__name__ for one in reading.found} == {"Certificate", "PublicKey"}
    assert base64.b64encode(key_pem).decode()[100:140] not in repr(reading)


def test_a_wireguard_key_is_known_by_the_hash_of_its_public_half() -> None:
    """Identity is SHA-256 of the SubjectPublicKeyInfo, so that the peer's file names the same key."""
    own = X25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    spki = own.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    reading = read("wg0.conf", f"[Interface]\nPrivateKey = {WG_PRIVATE}\n")
    keys = [one.fact for one in reading.found if isinstance(one.fact, PublicKey)]
    assert [key.sha256 for key in keys] == [hashlib.sha256(spki).hexdigest()]
    assert WG_PRIVATE not in repr(reading)


REMARKS = {
    ("nginx.conf", "ssl_ciphers HIGH;\n"): "line 1: 'HIGH' stands for suites that depend on the library",
    ("nginx.conf", "ssl_ecdh_curve X25519MLKEM9;\n"): "line 1: 'X25519MLKEM9' is no group that is known",
    ("nginx.conf", "ssl_protocols TLSv9;\n"): "line 1: 'TLSv9' is no version that is known",
    ("sshd_config", "Ciphers rot13\n"): "line 1: 'rot13' is no algorithm that is known",
    ("swanctl.conf", "proposals = aes128-quantum9\n"): "line 1: 'quantum9' is no transform that is known",
    ("wg0.conf", "[Interface]\nPrivateKey = short\n"): "line 2: a private key that is not 32 octets in base64",
    ("enc.yaml", "apiVersion: v1\nkind: EncryptionConfiguration\nresources:\n- providers:\n  - identity: {}\n"):
        "line 5: `identity` stores without encryption",
}  # fmt: skip


@pytest.mark.parametrize(("path", "text"), REMARKS)
def test_what_is_not_understood_is_told(path: str, text: str) -> None:
    """An unknown word is a remark with its line, never left out and never guessed."""
    assert (
        REMARKS[path, text].replace("cipher", "algorithm" if path == "sshd_config" else "cipher")
        in read(path, text).reason
    )


def test_many_remarks_are_counted() -> None:
    """The first three are shown, and how many more there are."""
    reason = read("nginx.conf", "".join(f"ssl_ecdh_curve G{n};\n" for n in range(9))).reason
    assert reason.endswith("and 6 remarks more")


def test_broken_yaml_says_where() -> None:
    """The line of the fault, and none of the content."""
    reading = read("a.yaml", "apiVersion: v1\nkind: [Secret\nmore: secret-value\n")
    assert reading.outcome is Outcome.UNPARSABLE
    assert "line 3" in reading.reason
    assert "secret-value" not in reading.reason


def test_a_bomb_of_aliases_ends() -> None:
    """Ten levels of ten aliases are 10^10 nodes; the walk stops and says so."""
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    reading = read("b.yaml", "apiVersion: v1\na0: &a0 x\n" + levels)
    assert reading.outcome is Outcome.UNPARSABLE


@given(st.sampled_from([*CASES]), st.binary(max_size=400))
def test_no_content_makes_the_reader_fail(path: str, content: bytes) -> None:
    """Whatever the octets, there is a reading."""
    assert isinstance(CONFIG.read(path, content), Reading)
    text = CASES[path][0].encode()
    assert isinstance(CONFIG.read(path, text[: len(content) % len(text)] + content), Reading)


@given(st.text(alphabet="aes128gcm-sha256,modp2048_ke1mlkem+ ", max_size=40))
def test_no_proposal_makes_a_safe_thing_out_of_an_unknown_word(proposal: str) -> None:
    """Only ML-KEM by its own name is quantum-safe key establishment."""
    for use in proposal_uses(proposal):
        if isinstance(use, AlgorithmUse) and use.function == "key-establishment":
            assert classify(use.algorithm).verdict is not Verdict.QUANTUM_SAFE or "mlkem" in proposal


def test_alternatives_of_an_additional_key_exchange_are_told_apart() -> None:
    """`ke1_none` beside `ke1_mlkem768` leaves the classical exchange alone as a choice."""
    found = [use.algorithm for use in proposal_uses("aes128-x25519-ke1_mlkem768-ke1_none") if not isinstance(use, str)]
    assert found == ["AES-128-CBC", "X25519+ML-KEM-768", "X25519"]


@pytest.mark.parametrize(
    ("word", "name", "function"),
    [
        ("null", "NULL", Function.ENCRYPTION),
        ("aes128ccm8", "AES-128-CCM8", Function.ENCRYPTION),
        ("aes256ccm64", "AES-256-CCM8", Function.ENCRYPTION),
        ("aes256ccm16", "AES-256-CCM", Function.ENCRYPTION),
        ("aesxcbc", "CMAC-AES-128-XCBC", Function.MAC),
        ("prfaescmac", "CMAC-AES-128", Function.KEY_DERIVATION),
    ],
)
def test_a_transform_has_the_name_that_it_has_on_the_wire(word: str, name: str, function: Function) -> None:
    """What a configuration and a probe say of one gateway is one thing; no encryption at all is told too."""
    (use,) = proposal_uses(word)
    assert isinstance(use, AlgorithmUse)
    assert (use.algorithm, use.function) == (name, function)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="compares with openssl's own list of suites")
def test_every_suite_of_openssl_is_understood_as_openssl_describes_it() -> None:
    """Key exchange, authentication and cipher of each suite agree with the description of `openssl ciphers -v`."""
    listed = subprocess.run(["openssl", "ciphers", "-v", "ALL:@SECLEVEL=0"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert len(rows) > 50
    for name, _, exchange, authentication, encryption, *_ in rows:
        uses = {use.function.value: use.algorithm for use in suite_uses(name)}
        kx, au, enc = (text.partition("=")[2] for text in (exchange, authentication, encryption))
        if kx not in ("any", "SRP", "GOST", "GOST18"):
            expected = {"ECDH": "ECDH", "DH": "FFDH", "RSA": "RSA-KEX", "PSK": "PSK", "DHEPSK": "FFDH",
                        "ECDHEPSK": "ECDH", "RSAPSK": "PSK"}[kx]  # fmt: skip
            assert uses["key-establishment"] == expected, name
        if au in ("RSA", "ECDSA", "DSS") and kx in ("ECDH", "DH"):
            assert uses["signature"] == {"DSS": "DSA"}.get(au, au), name
        if enc.startswith(("AES", "CHACHA", "CAMELLIA", "ARIA")):
            bits = enc.partition("(")[2].rstrip(")")
            assert bits in uses["encryption"] or "ChaCha20" in uses["encryption"], name
