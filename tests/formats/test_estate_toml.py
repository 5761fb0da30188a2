"""Reading an estate: every problem at once, each with file, line, field and hint."""
# ruff: noqa: E501 - a table of bad inputs is read row by row

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.estate_toml import judge_estate, question_estate, read_estate
from keystrand.formats.toml_lines import line_index
from keystrand.model.errors import InvalidInput, Problem, UnsupportedFormat
from keystrand.model.estate import Estate

HERE = "# HERE"
POLICIES = ("dora", "nis2-measures")
SOUND = """\
format_version = "1"

[organisation]
name = "Bank"
sector = "banking"

[[region]]
id = "eu"
name = "Union"
jurisdiction = "EU"

[[trust_zone]]
id = "core"
name = "Core"

[[owner]]
id = "network"
name = "Network"

[[site]]
id = "north"
name = "North"
kind = "data-centre"
latitude = 48.40
longitude = 9.99
region = "eu"
trust_zone = "core"

[[site]]
id = "south"
name = "South"
kind = "data-centre"
latitude = 47.98
longitude = 10.18
region = "eu"
trust_zone = "core"

[[site]]
id = "middle"
name = "Middle"
kind = "hub"
latitude = 48.20
longitude = 10.08
region = "eu"
trust_zone = "core"
controlled = "yes"

[[data_class]]
id = "records"
name = "Records"
retention_years = 10
sensitivity = "high"

[[system]]
id = "ledger"
name = "Ledger"
place = "application"
site = "north"
functions = ["signature"]
data_classes = ["records"]
segments = ["metro"]
exposure = "internal"
owners = { link = "network" }
migration_years = [1, 2]
depends_on = []
refresh = 2028-01-31

[[system]]
id = "store"
name = "Store"
place = "storage"
site = "south"
functions = ["key-establishment"]
exposure = "internal"
depends_on = ["ledger"]

[[segment]]
id = "metro"
name = "Metro"
a = "north"
b = "south"
reach = "metro"
length_km = 58.0
loss_db_per_km = 0.21
loss_basis = "measured"
carrier = "utility"
via = ["middle"]
quantum = { trusted_nodes = "yes", accepted_by = "network" }

[[target]]
id = "ledger-tls"
probe = "tls"
system = "ledger"
host = "ledger.bank.example"
port = 443

[[target]]
id = "ledger-file"
probe = "x509"
system = "ledger"
path = "certs/ledger.pem"

[[pilot]]
id = "corridor"
name = "Corridor"
segment = "metro"
criteria = { secret_key_rate_min_bits_per_s = 1, handshake_median_max_ms = 1, key_delivery_median_max_ms = 1, recovery_max_s = 1 }
"""


def _changed(old: str, new: str) -> str:
    assert SOUND.count(old) >= 1, f"the base text has no {old!r}"
    return SOUND.replace(old, new, 1)


def _problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        read_estate(text, "estate.toml", POLICIES)
    return caught.value.problems


def _line_of_marker(text: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if HERE in line)


# old text, new text (its faulty line ends in the marker), field, part of the message, part of the hint
BAD = [
    # shape: names, units, types, ranges
    ("length_km = 58.0", f"length_m = 58000.0 {HERE}", "segment[0].length_m", "unknown key", "use length_km"),
    ("length_km = 58.0", f"lenght_km = 58.0 {HERE}", "segment[0].lenght_km", "unknown key", "did you mean 'length_km'?"),
    ("loss_db_per_km = 0.21", f"loss = 0.21 {HERE}", "segment[0].loss", "unknown key", "use loss_db or loss_db_per_km"),
    ("retention_years = 10", f"retention_months = 120 {HERE}", "data_class[0].retention_months", "unknown", "retention_years"),
    ('carrier = "utility"', f'carrier = "utility"\nzebra = 1 {HERE}', "segment[0].zebra", "unknown key", "known here: id, name"),
    ("[organisation]", f"[organization] {HERE}", "organization", "unknown key", "did you mean 'organisation'?"),
    ("link = \"network\" }", f"link = \"network\", boss = \"x\" }} {HERE}", "system[0].owners.boss", "unknown key", "known here"),
    ("latitude = 48.40\n", f"latitude = 98.40 {HERE}\n", "site[0].latitude", "98.4 is too large", "a number from -90 to 90 (degrees north, WGS 84)"),
    ("latitude = 48.40\n", f'latitude = "48.40" {HERE}\n', "site[0].latitude", "expected a number, found the text '48.40'", "(degrees north, WGS 84), without quotes"),
    ("length_km = 58.0", f"length_km = 58000.0 {HERE}", "segment[0].length_km", "58000.0 is too large", "from 0.01 to 20000 (kilometres)"),
    ("length_km = 58.0", f"length_km = nan {HERE}", "segment[0].length_km", "nan is not a number that can be used", "kilometres"),
    ('via = ["middle"]', f'via = ["middle"]\nkey_demand_bits_per_s = inf {HERE}', "segment[0].key_demand_bits_per_s", "inf is not", "write a number of at least 0"),
    ("loss_db_per_km = 0.21", f"loss_db_per_km = 21 {HERE}", "segment[0].loss_db_per_km", "21 is too large", "per kilometre"),
    ('sensitivity = "high"', f'sensitivity = "hight" {HERE}', "data_class[0].sensitivity", "'hight' is not one of the choices", "did you mean 'high'? write one of: low, medium, high"),
    ('functions = ["signature"]', f'functions = [] {HERE}', "system[0].functions", "the list is empty", "write a list of at least 1, each one of: key-est"),
    ('functions = ["signature"]', f'functions = [\n  "signature",\n  "signing", {HERE}\n]', "system[0].functions[1]", "signing", "one of: key-est"),
    ("refresh = 2028-01-31", f'refresh = "31.01.2028" {HERE}', "system[0].refresh", "'31.01.2028' is not a date", "write a date as YYYY-MM-DD"),
    ("refresh = 2028-01-31", f"refresh = 2028-01-31T00:00:00 {HERE}", "system[0].refresh", "found a date with a time, 2028-01-31 00:00:00", "YYYY-MM-DD"),
    ("migration_years = [1, 2]", f"migration_years = [1, 2, 3] {HERE}", "system[0].migration_years", "the list holds 3, not 2", "write a list of 2, each a number from 0 to 200 (years)"),
    ("migration_years = [1, 2]", f"migration_years = [\n -1, {HERE}\n 2]", "system[0].migration_years[0]", "-1 is too small", "years"),
    ('jurisdiction = "EU"', f'jurisdiction = "Europe" {HERE}', "region[0].jurisdiction", "'Europe' is not in the form expected here", "two capital letters"),
    ('name = "Bank"', f'name = "" {HERE}', "organisation.name", "the text is empty", "write a text of 1 to 400 characters"),
    ('name = "Bank"', f'name = "{"x" * 401}" {HERE}', "organisation.name", "has 401 characters, too many", "of 1 to 400"),
    ('name = "Bank"', f"name = 7 {HERE}", "organisation.name", "expected a text, found 7", ", in quotes"),
    ('name = "Bank"', f"name = true {HERE}", "organisation.name", "expected a text, found true", ", in quotes"),
    ("port = 443", f'port = "443" {HERE}', "target[0].port", "expected a whole number, found the text '443'", "1 to 65535, without quotes"),
    ("port = 443", f"port = 44.3 {HERE}", "target[0].port", "expected a whole number, found 44.3", "1 to 65535"),
    ("port = 443", f"port = 0x{'f' * 9000} {HERE}", "target[0].port", "a number of 36000 bits is too large", "1 to 65535"),
    ('via = ["middle"]', f'via = ["middle"]\nkey_demand_bits_per_s = 0x{"f" * 9000} {HERE}', "segment[0].key_demand_bits_per_s", "has too many digits", "of at least 0"),
    ('segment = "metro"', f'segment = "metro"\nhandshakes = 5 {HERE}', "pilot[0].handshakes", "5 is too small", "write a whole number from 20 to 100000"),
    ('format_version = "1"', f"format_version = 1 {HERE}", "format_version", "expected a text, found 1", ", in quotes"),
    ("[[trust_zone]]", f"[trust_zone] {HERE}", "trust_zone", "expected a list, found a table", "two brackets"),
    ("port = 443", f"port = 70000 {HERE}", "target[0].port", "70000 is too large", "write a whole number from 1 to 65535"),
    # references
    ('region = "eu"', f'region = "eur" {HERE}', "site[0].region", "no region is called 'eur'", "did you mean 'eu'?"),
    ('trust_zone = "core"', f'trust_zone = "xyz" {HERE}', "site[0].trust_zone", "no trust_zone", "known: core; or add a [[trust_zone]]"),
    ('site = "north"', f'site = "nort" {HERE}', "system[0].site", "no site is called 'nort'", "did you mean 'north'?"),
    ('data_classes = ["records"]', f'data_classes = ["record"] {HERE}', "system[0].data_classes[0]", "no data_class", "'records'"),
    ('segments = ["metro"]', f'segments = ["metro", "mtro"] {HERE}', "system[0].segments[1]", "no segment", "'metro'"),
    ('depends_on = ["ledger"]', f'depends_on = [\n"ledgr", {HERE}\n]', "system[1].depends_on[0]", "no system", "'ledger'"),
    ('link = "network" }', f'link = "netwrk" }} {HERE}', "system[0].owners.link", "no owner", "'network'"),
    ('a = "north"', f'a = "nrth" {HERE}', "segment[0].a", "no site", "'north'"),
    ('b = "south"', f'b = "soth" {HERE}', "segment[0].b", "no site", "'south'"),
    ('via = ["middle"]', f'via = ["midle"] {HERE}', "segment[0].via[0]", "no site", "'middle'"),
    ('quantum = { trusted_nodes = "yes", accepted_by = "network" }', f'owners = {{ keys = "custody" }} {HERE}', "segment[0].owners.keys", "no owner is called 'custody'", "known: network"),
    ('system = "ledger"', f'system = "leger" {HERE}', "target[0].system", "no system", "'ledger'"),
    ('segment = "metro"', f'segment = "metr" {HERE}', "pilot[0].segment", "no segment", "'metro'"),
    ('accepted_by = "network" }', f'accepted_by = "risk" }} {HERE}', "segment[0].quantum.accepted_by", "no owner", "known: network"),
    ('sector = "banking"', f'sector = "banking"\nobligations = [\n"dora", "nis2-measure" {HERE}\n]', "organisation.obligations[1]", "no policy is called 'nis2-measure'", "did you mean 'nis2-measures'?"),
    ('sector = "banking"', f'sector = "banking"\nobligations = ["zzz"] {HERE}', "organisation.obligations[0]", "no policy is called 'zzz'", "known policies: dora, nis2-measures"),
    # a faulty id or noun is told once, not again by all who refer to it
    ('[[trust_zone]]\nid = "core"', f'[[trust_zone]]\nid = "Core Zone" {HERE}', "trust_zone[0].id", "'Core Zone' is not in the form", "lower case"),
    ('[[trust_zone]]\nid = "core"', f"[[trust_zone]]\nid = 7 {HERE}", "trust_zone[0].id", "expected a text, found 7", "in quotes"),
    ('[[trust_zone]]\nid = "core"', f'[[trust_zone]]\nidd = "core" {HERE}', "trust_zone[0].idd", "unknown key", "did you mean 'id'?"),
    ("[[segment]]", f"[[segments]] {HERE}", "segments", "unknown key", "did you mean 'segment'?"),
    # meaning
    ('id = "ledger-file"', f'id = "ledger-tls" {HERE}', "target[1].id", "already a target called 'ledger-tls'", "own id"),
    ('id = "ledger-tls"', f'id = "Ledger 1" {HERE}', "target[0].id", "'Ledger 1' is not in the form expected here", "lower case"),
    ('via = ["middle"]', f'via = [\n"middle",\n"middle" {HERE}\n]', "segment[0].via[1]", "'middle' is already on the segment", "once, in order"),
    ("depends_on = []", f'depends_on = ["store"] {HERE}', "system[0].depends_on", "ledger -> store -> ledger", "cut the circle"),
    ("depends_on = []", f'depends_on = ["ledger"] {HERE}', "system[0].depends_on", "ledger -> ledger", "cut"),
    ('b = "south"', f'b = "north" {HERE}', "segment[0].b", "both ends are 'north'", "two different sites"),
    ("loss_db_per_km = 0.21", f"loss_db = 12.2\nloss_db_per_km = 0.21 {HERE}", "segment[0].loss_db_per_km", "given twice", "keep loss_db"),
    ("loss_db_per_km = 0.21", f"loss_db = 0.21 {HERE}", "segment[0].loss_db", "less than any fibre", "loss_db_per_km"),
    ("length_km = 58.0", f"length_km = 36.0 {HERE}", "segment[0].length_km", "shorter than the straight line of 48.8 km", "miles"),
    ("length_km = 58.0", f"length_km = 5800.0 {HERE}", "segment[0].length_km", "far more than the straight line", "metres"),
    ('functions = ["signature"]', f'functions = ["digest"] {HERE}', "system[0].functions", "no public-key function", "signature"),
    ("migration_years = [1, 2]", f"migration_years = [3, 2] {HERE}", "system[0].migration_years", "above the longest", "[2, 3]"),
    ('path = "certs/ledger.pem"', f'path = "../ledger.pem" {HERE}', "target[1].path", "out of the estate's folder", "relative"),
    ('path = "certs/ledger.pem"', f'path = "/etc/../ledger.pem" {HERE}', "target[1].path", "out of the estate's folder", "'..'"),
    ('path = "certs/ledger.pem"', f'path = "certs/../../x.pem" {HERE}', "target[1].path", "out of the estate's folder", "'..'"),
    ('path = "certs/ledger.pem"', f'path = "certs/ledger.pem"\nport = 1 {HERE}', "target[1].port", "a x509 target has no port", "path only"),
    ('host = "ledger.bank.example"', f'host = "https://ledger.bank.example" {HERE}', "target[0].host", "neither a host name", "port goes in"),
    ('host = "ledger.bank.example"', f'host = "ledger.bank.example:443" {HERE}', "target[0].host", "neither a host name", "port goes in"),
    ('host = "ledger.bank.example"', f'host = "10.1.0.0/33" {HERE}', "target[0].host", "neither a host name nor an IP address or range", "port goes in"),
    ('host = "ledger.bank.example"', f'host = "ledger.bank.example"\nzone = "bank.example" {HERE}', "target[0].zone", "a tls target has no zone", "remove zone"),
    ('host = "ledger.bank.example"', f'host = "ledger.bank.example"\nstarttls = "smpt" {HERE}', "target[0].starttls", "smpt", "smtp"),
    ('path = "certs/ledger.pem"', f'path = "certs/ledger.pem"\nmode = "full" {HERE}', "target[1].mode", "a x509 target has no mode", "remove mode"),
    ('host = "ledger.bank.example"', f'host = "bü..cher.example" {HERE}', "target[0].host", "neither a host name", "port goes in"),
    ("[[pilot]]", f'[scan]\nallow = ["10.0.0/8"] {HERE}\n[[pilot]]', "scan.allow", "'10.0.0/8' is neither a host name", "192.0.2.0/24"),
    ("[[pilot]]", f'[scan]\nwindow = "22:00-25:00" {HERE}\n[[pilot]]', "scan.window", "not in the form", ""),
    ("[[pilot]]", f'[[rule]] {HERE}\nid = "r"\nsystem = "ledger"\n[[pilot]]', "rule[0].place", "a rule needs a condition", "add place"),
    ("[[pilot]]", f'[[rule]]\nid = "r"\nsystem = "leger" {HERE}\nplace = "*"\n[[pilot]]', "rule[0].system", "leger", "ledger"),
    ("[[pilot]]", f'[[rule]]\nid = "r"\nsystem = "ledger"\naddress = "10.0.0" {HERE}\n[[pilot]]', "rule[0].address", "no IP address or range", "range such as"),
    # what an estate says for its plan
    ('retention_years = 10', f'retention_years = 10\nretention_range_years = [12, 15] {HERE}', "data_class[0].retention_range_years", "10 years do not lie between 12 and 15", "around retention_years"),
    ('retention_years = 10', f'retention_years = -1 {HERE}', "data_class[0].retention_years", "-1 is too small", "from 0 to 200 (years)"),
    ('retention_years = 10', f'retention_years = "forever" {HERE}', "data_class[0].retention_years", "expected a number, found the text 'forever'", "from 0 to 200 (years)"),
    ("[[pilot]]", f'[[freeze]]\nid = "f"\nwhy = "year end"\nfirst = "15-12" {HERE}\nlast = "01-10"\n[[pilot]]', "freeze[0].first", "'15-12' is not in the form", "month-day"),
    ("[[pilot]]", f'[[freeze]]\nid = "f"\nwhy = "year end"\nfirst = "12-15"\nlast = "01-10"\nowners = ["netwrk"] {HERE}\n[[pilot]]', "freeze[0].owners[0]", "no owner is called 'netwrk'", "'network'"),
    ("[[pilot]]", f'[[waiver]]\nid = "w"\npolicy = "dore" {HERE}\nowner = "network"\nreason = "x"\ngranted = 2026-01-01\nexpires = 2027-01-01\n[[pilot]]', "waiver[0].policy", "no policy is called 'dore'", "'dora'"),
    ("[[pilot]]", f'[[waiver]]\nid = "w"\npolicy = "dora"\nowner = "network"\nreason = "x"\ngranted = 2027-01-01\nexpires = 2027-01-01 {HERE}\n[[pilot]]', "waiver[0].expires", "not after it was granted", "the day on which it ends"),
    ("[[pilot]]", f'[[waiver]]\nid = "w"\npolicy = "dora"\nsystems = ["leger"] {HERE}\nowner = "network"\nreason = "x"\ngranted = 2026-01-01\nexpires = 2027-01-01\n[[pilot]]', "waiver[0].systems[0]", "no system is called 'leger'", "'ledger'"),
    ("[[pilot]]", f'[[demand]]\nid = "d"\na = "north"\nb = "north" {HERE}\nbits_per_s = 256\n[[pilot]]', "demand[0].b", "both ends are 'north'", "two different sites"),
    ("[[pilot]]", f'[[demand]]\nid = "d"\na = "north"\nb = "south"\nbits_per_s = 256\npeak_bits_per_s = 100 {HERE}\n[[pilot]]', "demand[0].peak_bits_per_s", "the peak 100 is below the mean 256", "leave the peak out"),
    ("[[pilot]]", f'[[demand]]\nid = "d"\na = "north"\nb = "soth" {HERE}\nbits_per_s = 256\n[[pilot]]', "demand[0].b", "no site is called 'soth'", "'south'"),
    ("[[pilot]]", f'[[price]]\nitem = "qkd-pair"\nlow = 5\nlikely = 3 {HERE}\nhigh = 9\ncurrency = "EUR"\nsource = "offer"\nas_of = 2026-01-01\n[[pilot]]', "price[0].likely", "3 does not lie between 5 and 9", "in this order"),
    ("[[pilot]]", f'[planning]\ncurrency = "Euro" {HERE}\n[[pilot]]', "planning.currency", "'Euro' is not in the form", "ISO 4217"),
    ("[[pilot]]", f'[planning]\nbudget = 0 {HERE}\n[[pilot]]', "planning.budget", "0 is too small", "a number above 0"),
    *(
        ('host = "ledger.bank.example"', f'host = "{host}" {HERE}', "target[0].host", f"{host!r} is neither a host name", "all four decimal numbers")
        for host in ("10.0.0.300", "0x7f.1", "1.2.3", "127.1", "127.0.0.1.", "010.0.0.1", "2130706433", "0X7F000001", "a.example.0x")
    ),
]  # fmt: skip


def test_a_sound_estate_is_read() -> None:
    """The base of the table below has no problem itself, and its values arrive."""
    estate = read_estate(SOUND, "estate.toml", POLICIES)
    assert estate.organisation.name == "Bank"
    assert estate.segment[0].total_loss_db == pytest.approx(12.18)


@pytest.mark.parametrize(("old", "new", "field", "message", "hint"), BAD, ids=[f"{row[2]}: {row[3]}" for row in BAD])
def test_one_mistake_gives_one_problem_with_its_place(old: str, new: str, field: str, message: str, hint: str) -> None:
    """Each mistake gives exactly one problem: the file, the line of the mistake, the field, what is wrong, what to do."""
    text = _changed(old, new)
    (problem,) = _problems(text)
    assert (problem.file, problem.field, problem.line) == ("estate.toml", field, _line_of_marker(text))
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("line", "header", "field", "message"),
    [
        ('name = "Records"\n', "[[data_class]]", "data_class[0].name", "missing key"),
        ('system = "ledger"\nhost', "[[target]]", "target[0].system", "missing key"),
        ('host = "ledger.bank.example"\n', "[[target]]", "target[0].host", "a tls target needs it"),
        ("loss_db_per_km = 0.21\n", "[[segment]]", "segment[0].loss_db", "no loss is given"),
    ],
)
def test_what_is_missing_points_at_the_header(line: str, header: str, field: str, message: str) -> None:
    """A key that is not there has no line: the problem stands at the header of the table that lacks it."""
    kept = line.partition("\n")[2]
    text = _changed(line, kept).replace(header, f"{header} {HERE}", 1)
    (problem,) = _problems(text)
    assert (problem.field, problem.line) == (field, _line_of_marker(text))
    assert message in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = 1\nb = \n", 2, "Invalid value"),
        ("a = 1\n[b\n", 2, ""),
        ("a = 1\na = 2\nb = 3\n", 2, "overwrite"),
        ('a = "open\n', 1, ""),
        ('a = """open\n\n', 1, "Unterminated"),
        ("a = " + "9" * 5000, 0, "digits"),
        ("a = " + "[" * 5000, 0, "nested too deeply"),
    ],
)
def test_a_syntax_error_names_its_line(text: str, line: int, message: str) -> None:
    """What is not TOML is told once, with the line where the parser knows it, and a hint."""
    (problem,) = _problems(text)
    assert (problem.file, problem.line) == ("estate.toml", line)
    assert message in problem.message
    assert "(at " not in problem.message
    assert problem.hint


def test_all_kinds_of_problem_come_at_once_in_order_of_lines() -> None:
    """A misspelt key, a wrong unit, a dangling reference, a circle and a bad path are one report, sorted by line."""
    text = SOUND.replace("latitude = 47.98", "latitud = 47.98").replace("retention_years = 10", "retention_years = -1")
    text = text.replace('trust_zone = "core"', 'trust_zone = "cor"', 1).replace(
        "depends_on = []", 'depends_on = ["store"]'
    )
    text = text.replace("certs/ledger.pem", "../ledger.pem").replace(
        'accepted_by = "network"', 'accepted_by = "ntwork"'
    )
    problems = _problems(text)
    assert [p.field for p in problems] == [
        "site[0].trust_zone",
        "site[1].latitud",
        "data_class[0].retention_years",
        "system[0].depends_on",
        "segment[0].quantum.accepted_by",
        "target[1].path",
    ]
    assert [p.line for p in problems] == sorted(p.line for p in problems)


def test_a_missing_kind_of_table_is_told_once() -> None:
    """Without any region, the sites' references to one are not reported on top."""
    text = SOUND.replace("[[region]]", "[[regions]]")
    (problem,) = _problems(text)
    assert (problem.field, problem.hint) == ("regions", "did you mean 'region'?")


def test_two_circles_are_both_found() -> None:
    """Cutting the first circle does not hide the second."""
    third = '\n[[system]]\nid = "mail"\nname = "Mail"\nplace = "mail"\nsite = "north"\nfunctions = ["signature"]\nexposure = "internet"\n'
    text = _changed("depends_on = []", 'depends_on = ["store", "mail"]') + third + 'depends_on = ["ledger"]\n'
    assert sorted(p.message for p in _problems(text)) == [
        "depends on itself: ledger -> mail -> ledger",
        "depends on itself: ledger -> store -> ledger",
    ]


FAULTY_BESIDE = [
    # what makes one field of a row faulty, and a fault of meaning in the same row
    ('carrier = "utility"', 'carrier = "utility"\nzebra = 1', 'b = "south"', 'b = "north"', "segment[0].b"),
    ('carrier = "utility"', "carrier = 1", 'via = ["middle"]', 'via = ["north"]', "segment[0].via[0]"),
    ('carrier = "utility"', "carrier = 1", "length_km = 58.0", "length_km = 36.0", "segment[0].length_km"),
    ('name = "North"', "name = 1", "length_km = 58.0", "length_km = 36.0", "segment[0].length_km"),
    ('carrier = "utility"', "carrier = 1", "loss_db_per_km = 0.21", "loss_db = 0.21", "segment[0].loss_db"),
    ('a = "north"\n', "a = 5\n", "loss_db_per_km = 0.21\n", "", "segment[0].loss_db"),
    ("refresh = 2028-01-31", "refresh = 1", "migration_years = [1, 2]", "migration_years = [3, 2]", "system[0].migration_years"),
    ('name = "Ledger"', 'name = ""', 'functions = ["signature"]', 'functions = ["digest"]', "system[0].functions"),
    ("port = 443", "port = 0", "ledger.bank.example", "127.1", "target[0].host"),
    ('probe = "tls"', 'probe = "tsl"', "ledger.bank.example", "127.1", "target[0].host"),
    ('id = "ledger-file"', 'id = "Ledger"', "certs/ledger.pem", "../ledger.pem", "target[1].path"),
    ('name = "Bank"', "name = 1", 'sector = "banking"', 'sector = "banking"\nobligations = ["x"]', "organisation.obligations[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "faulty", "sound", "meant", "field"), FAULTY_BESIDE)
def test_a_faulty_field_does_not_hide_the_rest_of_its_row(
    old: str, faulty: str, sound: str, meant: str, field: str
) -> None:
    """What the sound fields of a row mean is judged though another field is unknown or wrong: both are told."""
    problems = _problems(_changed(sound, meant).replace(old, faulty, 1))
    assert field in [p.field for p in problems]
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss_db_per_km = 0.21", "loss_db_per_km = -1"),
        ("length_km = 58.0", "lenght_km = 1.0"),
        ("latitude = 48.40", "latitude = 98"),
        ('kind = "data-centre"', 'kind = "laboratry"'),
        ("port = 443", "prt = 443"),
    ],
)
def test_a_faulty_field_is_not_guessed(old: str, new: str) -> None:
    """What needs the faulty field itself is not judged: one mistake stays one problem."""
    text = _changed(old, new)
    if "laboratry" in new:
        text = text.replace("length_km = 58.0", "length_km = 5800.0")  # right only on a laboratory's reels
    assert len(_problems(text)) == 1


@pytest.mark.parametrize("version", ['"2"', '"2.1"', '"0.9"', '"10"', "2", "2.1"])
def test_another_major_version_is_refused_before_all_else(version: str) -> None:
    """An estate of another major version is not judged by this one's rules; the line of its version is named."""
    with pytest.raises(UnsupportedFormat, match=version.strip('"')) as caught:
        read_estate("# ours\n" + SOUND.replace('"1"', version, 1) + "\nnew_field = 1\n", "estate.toml", POLICIES)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("estate.toml", 2, "format_version")
    assert 'format_version = "1"' in problem.hint
    assert caught.value.hint


def test_a_minor_version_is_read() -> None:
    """Version 1.3 is of our major version."""
    assert read_estate(SOUND.replace('"1"', '"1.3"', 1), "estate.toml", POLICIES).format_version == "1.3"


def test_fibre_on_reels_in_a_laboratory_may_be_long() -> None:
    """A laboratory's reels have a length that no map explains."""
    text = SOUND.replace("length_km = 58.0", "length_km = 580.0").replace('reach = "metro"', 'reach = "long-haul"')
    assert len(_problems(text)) == 1
    assert read_estate(text.replace('kind = "data-centre"', 'kind = "laboratory"', 1), "estate.toml", POLICIES)


@pytest.mark.parametrize("host", ["a", "a.example", "a.example.", "10.0.0.3", "fe80::1", "_srv.a-b.example"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    """Host names, IPv4 and IPv6 addresses are accepted as they are."""
    assert read_estate(_changed("ledger.bank.example", host), "estate.toml", POLICIES).target[0].host == host


def test_an_estate_made_in_code_is_judged_alike() -> None:
    """Builtins of a typed estate pass the same judge."""
    raw = msgspec.to_builtins(read_estate(SOUND, "", POLICIES))
    assert judge_estate(raw, {(): 1}, "", POLICIES) == ()
    raw["site"][0]["region"] = "nowhere"
    assert [p.field for p in judge_estate(raw, {(): 1}, "", POLICIES)] == ["site[0].region"]


DOUBTS = [
    ("loss_db_per_km = 0.21", "loss_db_per_km = 0.12", "segment[0].loss_db_per_km", "below any solid-core fibre"),
    ("loss_db_per_km = 0.21", "loss_db = 70.0", "segment[0].loss_db", "is much"),
    ("length_km = 58.0", "length_km = 160.0", "segment[0].reach", "far for a metro"),
    ('trust_zone = "core"\ncontrolled = "yes"', 'trust_zone = "core"', "segment[0].via[0]", "do not control"),
    (', accepted_by = "network"', "", "segment[0].quantum.accepted_by", "by nobody"),
    ('trusted_nodes = "yes", accepted_by = "network"', "", "segment[0].quantum.trusted_nodes", "unknown, though"),
    (
        "refresh = 2028-01-31",
        "refresh = 2028-01-31\nretires = 2027-01-31",
        "system[0].refresh",
        "after the system retires",
    ),
    ('carrier = "utility"', 'carrier = "utility"\npurpose = "research"', "segment[0].programme", "no programme"),
]


@pytest.mark.parametrize(("old", "new", "field", "message"), DOUBTS, ids=[row[2] for row in DOUBTS])
def test_what_is_unlikely_is_questioned_but_passes(old: str, new: str, field: str, message: str) -> None:
    """A possible but unlikely value does not stop the estate; it is questioned with line and hint."""
    text = _changed(old, new)
    (doubt,) = question_estate(read_estate(text, "e", POLICIES), line_index(text), "e")
    assert doubt.field == field
    assert message in doubt.message
    assert doubt.hint
    assert doubt.line > 1


def test_a_sound_estate_raises_no_doubt() -> None:
    """The base text is not questioned."""
    assert question_estate(read_estate(SOUND, "e", POLICIES), line_index(SOUND), "e") == ()


def test_the_lines_of_an_estate_agree_with_its_values() -> None:
    """Every value that `tomllib` reads has a line."""
    index = line_index(SOUND)
    raw = tomllib.loads(SOUND)
    for noun in Estate.__struct_fields__:
        for n, row in enumerate(raw.get(noun, [])):
            if isinstance(row, dict):
                assert all((noun, n, key) in index for key in row)


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))


PLACES = list(_places(tomllib.loads(SOUND)))
ANYTHING = st.sampled_from(
    [0, -1, 1 << 4000, 0.5, float("nan"), True, "", "north", "Not An Id", "127.1", [], ["x", 1], [[]], {}, {"id": "x"},
     [{}], [{"id": 1}], date(2027, 1, 1), datetime(2027, 1, 1, tzinfo=UTC), time(1)]
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=1, max_size=4))
def test_whatever_stands_anywhere_is_judged(changes: list[tuple[tuple[str | int, ...], object]]) -> None:
    """Any value in any place gives problems or a sound estate, never a failure: the judge and msgspec agree."""
    raw = tomllib.loads(SOUND)
    for (*outer, last), value in changes:
        holder: Any = raw
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took the place away
            for key in outer:
                holder = holder[key]
            if isinstance(holder, dict) == isinstance(last, str):  # TOML has no other keys
                holder[last] = deepcopy(value)
    problems = judge_estate(raw, {(): 1}, "e", POLICIES)
    if not problems:
        msgspec.convert(raw, Estate)
    assert all(problem.message and "`" not in problem.message for problem in problems)


def test_a_name_in_another_script_is_a_name() -> None:
    """IDNA makes it ASCII where it is looked up."""
    text = _changed('host = "ledger.bank.example"', 'host = "bücher.example"')
    assert read_estate(text, "estate.toml", POLICIES).target[0].host == "bücher.example"
