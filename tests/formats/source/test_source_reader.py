"""Source files to facts: what is used is found, with what is known of it; what only looks like it is not."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.edge.source_rules import source_reader
from keystrand.formats.source.grammar import DIALECTS
from keystrand.formats.source.reader import KEY_IN_SOURCE, MAX_LINE, MAX_OCTETS
from keystrand.model.observation import AlgorithmUse, Keystore, Library, Outcome, ProtocolSettings, Strength

READER = source_reader()
SAMPLES: dict[str, tuple[str, set[str]]] = {
    "a.py": (
        """
import hashlib as h
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from Crypto.Cipher import AES as A
import jwt, oqs
KEY = b"0123456789abcdef"
def f(name="sha1"):
    return h.new(name)
f("sha512")
Cipher(algorithms.AES(KEY), modes.CBC(iv))
rsa.generate_private_key(public_exponent=65537, key_size=1024 * 3)
curve = ec.SECP384R1() if strong else ec.SECP256R1()
ec.generate_private_key(curve)
A.new(key, A.MODE_ECB)
jwt.encode(claims, key)
oqs.KeyEncapsulation("ML-KEM-768")
""",
        {"SHA-512", "AES-128-CBC", "RSA-3072", "ECDSA-P-384", "ECDSA-P-256", "AES-ECB", "HMAC-SHA-256", "ML-KEM-768"},
    ),
    "A.java": (
        """
import java.security.*;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import org.bouncycastle.crypto.engines.AESEngine;
import org.bouncycastle.crypto.modes.GCMBlockCipher;
class A {
  private static final String MODE = "CBC";
  private final String algorithm;
  A() { this.algorithm = "SHA-512"; }
  void f() throws Exception {
    Cipher c = Cipher.getInstance("AES/" + MODE + "/PKCS5Padding");
    KeyGenerator g = KeyGenerator.getInstance("AES"); g.init(256);
    MessageDigest d = MessageDigest.getInstance(algorithm);
    KeyPairGenerator k = KeyPairGenerator.getInstance("RSA"); k.initialize(2048);
    GCMBlockCipher b = new GCMBlockCipher(new AESEngine());
    Signature s = signer("SHA256withECDSA");
  }
  Signature signer(String name) throws Exception { return Signature.getInstance(name); }
}
""",
        {"AES-CBC-PKCS5", "AES-256", "SHA-512", "RSA-2048", "AES-GCM", "AES", "ECDSA", "SHA-256"},
    ),
    "a.go": (
        """
package a
import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rsa"
	sum "crypto/sha256"
)
const bits = 4096
func f() {
	key := make([]byte, 32)
	block, err := aes.NewCipher(key)
	gcm, err := cipher.NewGCM(block)
	mac := hmac.New(sum.New, other)
	k, _ := rsa.GenerateKey(r, bits)
	d, _ := mlkem.GenerateKey768()
}
""",
        {"AES-256", "AES-256-GCM", "HMAC-SHA-256", "RSA-4096", "ML-KEM-768"},
    ),
    "a.c": (
        """
#include <openssl/evp.h>
#include <oqs/oqs.h>
#define BITS 2048
static const EVP_MD *pick(const char *name) { return EVP_get_digestbyname(name); }
int f(void) {
  EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv);
  RSA_generate_key_ex(rsa, BITS, e, NULL);
  pick("sha384");
  mbedtls_aes_setkey_enc(&aes, key, 128);
  OQS_KEM *kem = OQS_KEM_new(OQS_KEM_alg_ml_kem_1024);
  return 0;
}
""",
        {"AES-256-GCM", "RSA-2048", "SHA-384", "AES-128", "ML-KEM-1024"},
    ),
    "a.cpp": (
        """
#include <openssl/sha.h>
namespace n { class A { void f() { auto d = std::make_unique<int>(1); SHA256(a, b, c); } }; }
""",
        {"SHA-256"},
    ),
    "a.js": (
        """
const crypto = require('node:crypto');
const { subtle } = globalThis.crypto;
class V { constructor() { this.alg = 'aes-128-cbc'; } seal(k) { return crypto.createCipheriv(this.alg, k, iv); } }
crypto.generateKeyPairSync('rsa', { modulusLength: 3072 });
subtle.encrypt({ name: 'AES-GCM', iv }, key, data);
""",
        {"AES-128-CBC", "RSA-3072", "AES-GCM"},
    ),
    "a.ts": (
        """
import { createHash, pbkdf2Sync as derive } from "crypto";
export class A { private readonly algorithm: string = "sha256"; f(x: string): string {
  derive(x, s, 1000, 32, "sha512"); return createHash(this.algorithm).update(x).digest("hex"); } }
""",
        {"SHA-256", "PBKDF2-HMAC-SHA-512"},
    ),
    "a.cs": (
        """
using System.Security.Cryptography;
class A { void F(byte[] k) {
  using (var aes = Aes.Create()) { aes.KeySize = 256; aes.Mode = CipherMode.CBC; }
  using var r = new RSACryptoServiceProvider(2048);
  var h = SHA256.HashData(k);
  var e = ECDsa.Create(ECCurve.NamedCurves.nistP256);
  var d = new Rfc2898DeriveBytes(p, s, 1000, HashAlgorithmName.SHA256);
} }
""",
        {"AES-256-CBC", "RSA-2048", "SHA-256", "ECDSA-P-256", "PBKDF2-HMAC-SHA-256"},
    ),
    "a.rs": (
        """
use aes_gcm::{aead::KeyInit, Aes256Gcm};
use hmac::Hmac;
use sha2::{Digest, Sha256};
type Code = Hmac<Sha256>;
type Enc = cbc::Encryptor<aes::Aes128>;
fn f(k: &[u8]) {
    let c = Aes256Gcm::new(k.into());
    let m = Code::new_from_slice(k).unwrap();
    let e = Enc::new(k.into(), iv.into());
    let r = rsa::RsaPrivateKey::new(&mut rng, 2048).unwrap();
    println!("{:?}", sha1::Sha1::digest(b"y"));
}
""",
        {"AES-256-GCM", "HMAC-SHA-256", "AES-128-CBC", "RSA-2048", "SHA-1"},
    ),
}


def _uses(path: str, text: str) -> list[AlgorithmUse]:
    reading = READER.read(path, text.encode())
    return [one.fact for one in reading.found if isinstance(one.fact, AlgorithmUse)]


def _names(path: str, text: str) -> set[str]:
    return {use.algorithm for use in _uses(path, text)}


@pytest.mark.parametrize("path", SAMPLES)
def test_what_a_file_uses_is_found_with_its_parameters(path: str) -> None:
    """Exactly the algorithms that a file of each language uses, each with what the file says of it."""
    text, names = SAMPLES[path]
    assert _names(path, text) == names


FLOWS = {
    "a table of functions": (
        "a.py",
        "import hashlib\nALGS = {'a': hashlib.md5, 'b': hashlib.sha1}\ndef f(n):\n    ALGS[n](b'x').hexdigest()\n",
        {"MD5", "SHA-1"},
    ),
    "a function by its name": ("a.py", "import hashlib\ngetattr(hashlib, 'sha' + '512')(b'y')\n", {"SHA-512"}),
    "one of two functions": (
        "a.py",
        "import hashlib\ndef f(n):\n    h = hashlib.sha256 if n else hashlib.sha384\n    h(b'z')\n",
        {"SHA-256", "SHA-384"},
    ),
    "a module that is handed on": (
        "a.py",
        "from Crypto.Hash import MD5\ndef f(m):\n    m.new()\ndef g():\n    f(MD5)\n",
        {"MD5"},
    ),
    "a name that is of the file": (
        "a.py",
        "import hashlib\nA = 'md5'\ndef s():\n    global A\n    A = 'sha1'\ndef f():\n    hashlib.new(A)\n",
        {"MD5", "SHA-1"},
    ),
    "a constant of an enumeration": (
        "A.java",
        'import javax.crypto.Cipher; enum E { ONE("AES/GCM/NoPadding"); final String n; E(String n) { this.n = n; }'
        " String n() { return n; } } class A { void f() throws Exception { Cipher.getInstance(E.ONE.n()); } }",
        {"AES-GCM"},
    ),
    "a field that another method sets": (
        "A.java",
        "import java.security.*; class A { private static char[] a; void f() throws Exception {"
        ' MessageDigest.getInstance(String.valueOf(a)); } static void g() { a = "MD5".toCharArray(); } }',
        {"MD5"},
    ),
    "a format": (
        "A.java",
        'class A { void f() throws Exception { javax.crypto.Cipher.getInstance(String.format("%s/%s/NoPadding", "AES",'
        ' "CTR")); } }',
        {"AES-CTR"},
    ),
    "a text of which a part is unknown": (
        "A.java",
        'class A { void f(String m) throws Exception { javax.crypto.Cipher.getInstance("AES/" + m + "/NoPadding"); } }',
        {"AES"},
    ),
    "a function as a value": (
        "a.go",
        'package a\nimport ("crypto/hmac"; "crypto/sha1"; "hash")\nfunc f(h func() hash.Hash) { hmac.New(h, k) }\n'
        "func g() { f(sha1.New) }\n",
        {"HMAC-SHA-1"},
    ),
    "templates and declarations of C++": (
        "a.cpp",
        "#include <cryptopp/aes.h>\nusing namespace CryptoPP;\n"
        "void f() { CBC_Mode<AES>::Encryption e(k, 16, i); SHA256 h; }\n",
        {"AES-CBC", "SHA-256"},
    ),
    "a property of a variable": (
        "A.java",
        'class A { void f(Some o) throws Exception { o.name = "MD5"; o.other = "SHA-1";'
        " java.security.MessageDigest.getInstance(o.name); } }",
        {"MD5"},
    ),
    "parts that are joined": (
        "A.java",
        'class A { void f() throws Exception { String n = String.join("/", "AES", "GCM", "NoPadding");'
        " javax.crypto.Cipher.getInstance(n); } }",
        {"AES-GCM"},
    ),
    "a condition that is constant": (
        "A.java",
        'class A { void f() throws Exception { int choice = 2; String n = "MD5"; if (choice > 1) n = "SHA-256";'
        " java.security.MessageDigest.getInstance(n); } }",
        {"SHA-256"},
    ),
    "a default where a setting is absent": (
        "a.js",
        "const c = require('crypto');\nconst a = process.env.A || 'aes-256-cbc';\n"
        "function f() { c.createCipheriv(a, k, i); }\n",
        {"AES-256-CBC"},
    ),
}


@pytest.mark.parametrize("flow", FLOWS)
def test_a_value_is_followed_through_the_file(flow: str) -> None:
    """Tables, names, fields, formats and functions as values: what arrives at the call is told."""
    path, text, names = FLOWS[flow]
    assert _names(path, text) == names


TRAPS = {
    "a.py": 'import hashlib\n# hashlib.md5(b"")\ns = "hashlib.md5()"\n"""hashlib.new(1)"""\nclass x: md5 = 1\nx.md5\n',
    "A.java": 'import java.security.MessageDigest;\n// MessageDigest.getInstance("MD5")\nclass A { String s="MD5"; }\n',
    "a.go": 'package a\nimport _ "crypto/md5"\n/* md5.New() */\nvar s = "md5.New()"\n',
    "a.c": '#include <openssl/md5.h>\n/* MD5(a, b, c) */\nconst char *s = "EVP_md5()";\nvoid EVP_md5(void);\n',
    "a.js": "const c = require('crypto');\n// c.createHash('md5')\nconst s = `c.createHash('md5')`;\n",
    "a.ts": "import * as c from 'crypto';\n/* c.createHash('md5') */\nconst s: string = 'md5';\n",
    "a.cs": 'using System.Security.Cryptography;\n// MD5.Create()\nclass A { string s = "MD5.Create()"; }\n',
    "a.rs": 'use md5::Md5;\n// Md5::new()\nconst S: &str = "Md5::new()";\n',
    "b.py": "from mylib import hashlib2 as hashlib\nhashlib.md5(b'')\n",
    "c.py": "class hashlib:\n    @staticmethod\n    def md5(x): return x\nhashlib.md5(b'')\n",
    "B.java": 'import com.example.Cipher;\nclass B { void f() { Cipher.getInstance("DES"); } }\n',
}


@pytest.mark.parametrize("path", TRAPS)
def test_comments_texts_and_imports_are_no_use(path: str) -> None:
    """A name in a comment, a text or an import, or of something else with the same name, is no use of an algorithm."""
    assert _uses(path, TRAPS[path]) == []


def test_an_import_alone_is_a_reference_to_a_library() -> None:
    """The library is told, at the line of the import, as the weakest evidence."""
    (found,) = READER.read("a.py", b"import os\nfrom cryptography.fernet import Fernet\n").found
    assert isinstance(found.fact, Library)
    assert (found.where, found.strength, found.fact.purl) == (":2", Strength.REFERENCED, "pkg:pypi/cryptography")


def test_what_is_not_known_is_left_open() -> None:
    """A parameter that comes from outside the file is not guessed: the family stands alone, or nothing is known."""
    text = "import hashlib\nfrom Crypto.Cipher import AES\ndef f(k, m, n):\n  AES.new(k, m)\n  hashlib.new(n)\n"
    assert _names("a.py", text) == {"AES", "unknown"}


def test_only_assignments_that_reach_a_call_count() -> None:
    """The other arm of a condition, and what is assigned afterwards, do not reach a call; both arms before it do."""
    text = """
import hashlib
def f(old):
    name = "sha1"
    if old:
        name = "md5"
        hashlib.new(name)
    else:
        name = "sha384"
    hashlib.new(name)
    name = "sha512"
"""
    reading = READER.read("a.py", text.encode())
    seen = [(one.where, one.fact.algorithm) for one in reading.found if isinstance(one.fact, AlgorithmUse)]
    assert seen == [(":7", "MD5"), (":10", "SHA-384"), (":10", "MD5"), (":10", "SHA-1")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tests/test_a.py", "import hashlib\nhashlib.md5()\n"),
        ("src/test/java/ATest.java", 'class A { void f() { java.security.MessageDigest.getInstance("MD5"); } }'),
        ("pkg/a_test.go", 'package a\nimport "crypto/md5"\nfunc f() { md5.New() }\n'),
        ("web/a.spec.ts", "import { createHash } from 'crypto';\ncreateHash('md5');\n"),
        ("src/lib.rs", "#[cfg(test)] mod t { use md5::{Md5, Digest}; #[test] fn f() { Md5::new(); } }"),
        ("src/A.java", 'class A { @Test void f() { java.security.MessageDigest.getInstance("MD5"); } }'),
        ("A.cs", "using System.Security.Cryptography; class A { [Fact] void F() { MD5.Create(); } }"),
    ],
)
def test_test_code_is_marked(path: str, text: str) -> None:
    """Test code is told by its path, its name, or what stands before it."""
    assert [(use.algorithm, use.in_tests) for use in _uses(path, text)] == [("MD5", True)]


def test_code_beside_tests_is_not_marked() -> None:
    """A folder called latest or contest holds no tests."""
    assert [use.in_tests for use in _uses("latest/contest.py", "import hashlib\nhashlib.md5()\n")] == [False]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "from Crypto.Cipher import AES\nAES.new(b'sixteen byte key', AES.MODE_GCM)\n"),
        ("a.py", "import jwt\nSECRET = 'sixteen byte key'\njwt.encode(c, SECRET, algorithm='HS256')\n"),
        ("a.go", 'package a\nimport "crypto/aes"\nfunc f() { aes.NewCipher([]byte("sixteen byte key")) }\n'),
        ("a.js", "require('crypto').createHmac('sha256', 'sixteen byte key')\n"),
    ],
)
def test_a_key_in_the_source_is_told_without_its_content(path: str, text: str) -> None:
    """The place and kind of the key are facts; nothing of it is in any of them."""
    reading = READER.read(path, text.encode())
    assert [one.fact.format for one in reading.found if isinstance(one.fact, Keystore)] == [KEY_IN_SOURCE]
    assert "sixteen" not in repr(reading)


def test_settings_of_a_protocol_are_told_as_such() -> None:
    """A least version is a setting, no algorithm."""
    text = "import ssl\nc = ssl.create_default_context()\nc.minimum_version = ssl.TLSVersion.TLSv1_2\n"
    (settings_,) = [o.fact for o in READER.read("a.py", text.encode()).found if isinstance(o.fact, ProtocolSettings)]
    assert (settings_.protocol, settings_.versions) == ("TLS", ("TLSv1.2",))


def test_a_file_of_another_kind_is_not_wanted() -> None:
    """A name that ends otherwise, octets that are no text, and a name that is an ending alone."""
    assert READER.wants("a.py", b"import hashlib")
    assert READER.wants("bin/tool", b"#!/usr/bin/env python3\n")
    assert not READER.wants("a.txt", b"import hashlib")
    assert not READER.wants("a.py", b"\0\0\0")
    assert not READER.wants(".py", b"")


def test_what_a_program_wrote_is_skipped_and_told() -> None:
    """A file too large, or with lines too long, is not parsed, and its reason says so without its content."""
    big = READER.read("a.py", b"import hashlib\n" + b"x = 1\n" * (MAX_OCTETS // 6))
    minified = READER.read("a.js", b"require('crypto');" + b"x;" * MAX_LINE)
    assert (big.outcome, minified.outcome) == (Outcome.SKIPPED, Outcome.SKIPPED)
    assert "octets" in big.reason
    assert "long" in minified.reason


def test_broken_source_gives_what_can_be_read() -> None:
    """Where the grammar loses its way the rest is read, and the reason says so."""
    reading = READER.read("a.py", b"import hashlib\nhashlib.md5()\ndef f(:\n  ((((\n")
    assert reading.outcome is Outcome.SEEN
    assert reading.reason


@pytest.mark.parametrize("nested", ["(" * 5000, "[" * 5000, "f(" * 3000, "if x:\n" * 300, "a+" * 20000, "a." * 5000])
def test_nesting_without_end_is_no_failure(nested: str) -> None:
    """A file nested thousands deep ends in a reading."""
    for path in ("a.py", "a.js", "a.go"):
        READER.read(path, f"import hashlib\nrequire('crypto')\nimport \"crypto/md5\"\nx = {nested}".encode())


def test_a_value_that_leads_back_to_itself_ends() -> None:
    """Assignments and functions in a circle are followed once."""
    text = "import hashlib\ndef f(x): return g(x)\ndef g(x): return f(x)\na = b\nb = a\na += b\nhashlib.new(f(a))\n"
    assert _names("a.py", text) == {"unknown"}


def test_a_call_that_is_its_own_argument_ends() -> None:
    """A key made by a function that is given the key it makes: followed from outside and from within."""
    text = """
from cryptography.hazmat.primitives.asymmetric import ec
def f(c):
    return ec.generate_private_key(f(ec.generate_private_key(c)))
f(f(ec.SECP256R1()))
"""
    assert "ECDSA-P-256" in _names("a.py", text)


_WORDS = [w for text, _ in SAMPLES.values() for w in text.split()] + list(string.punctuation)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(DIALECTS)), st.lists(st.sampled_from(_WORDS), max_size=60), st.binary(max_size=60))
def test_no_content_makes_the_reading_fail(ending: str, words: list[str], octets: bytes) -> None:
    """Whatever a file holds, it ends in a reading whose places are lines of the file."""
    content = "\n".join(words).encode() + b"\n" + octets
    reading = READER.read(f"a.{ending}", content)
    lines = content.count(b"\n") + 1
    assert all(1 <= int(one.where[1:]) <= lines for one in reading.found)


def test_a_reading_does_not_depend_on_what_was_read_before() -> None:
    """The same file gives the same facts, in the same order, each time."""
    for path, (text, _) in SAMPLES.items():
        first = READER.read(path, text.encode())
        READER.read("b.py", b"import hashlib\nhashlib.md5()\n")
        assert READER.read(path, text.encode()) == first
