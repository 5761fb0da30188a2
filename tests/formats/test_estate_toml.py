"""Reading an estate: every problem at once, each with file, line, field and hint."""
# ruff: noqa: E501 - a table of bad inputs is read row by row

import tomllib

import msgspec
import pytest

from keystrand.formats.estate_toml import judge_estate, question_estate, read_estate
from keystrand.formats.toml_lines import line_index
from keystrand.model.errors import InvalidInput, Problem, UnsupportedFormat
from keystrand.model.estate import Estate

HERE = "# HERE"
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
        read_estate(text, "estate.toml")
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
    ("latitude = 48.40\n", f"latitude = 98.40 {HERE}\n", "site[0].latitude", "<= 90.0, got 98.4", "degrees north"),
    ("latitude = 48.40\n", f'latitude = "48.40" {HERE}\n', "site[0].latitude", "got `str`", "degrees north"),
    ("length_km = 58.0", f"length_km = 58000.0 {HERE}", "segment[0].length_km", "<= 20000", "kilometres"),
    ("length_km = 58.0", f"length_km = nan {HERE}", "segment[0].length_km", "nan is not a number that can be used", "kilometres"),
    ('via = ["middle"]', f'via = ["middle"]\nkey_demand_bits_per_s = inf {HERE}', "segment[0].key_demand_bits_per_s", "inf is not", ""),
    ("loss_db_per_km = 0.21", f"loss_db_per_km = 21 {HERE}", "segment[0].loss_db_per_km", "<= 3.0, got 21", "per kilometre"),
    ('sensitivity = "high"', f'sensitivity = "hight" {HERE}', "data_class[0].sensitivity", "hight", "one of: low, medium, high"),
    ('functions = ["signature"]', f'functions = [] {HERE}', "system[0].functions", "length >= 1", ""),
    ('functions = ["signature"]', f'functions = [\n  "signature",\n  "signing", {HERE}\n]', "system[0].functions[1]", "signing", "one of: key-est"),
    ("refresh = 2028-01-31", f'refresh = "31.01.2028" {HERE}', "system[0].refresh", "date", "YYYY-MM-DD"),
    ("refresh = 2028-01-31", f"refresh = 2028-01-31T00:00:00 {HERE}", "system[0].refresh", "got `datetime`", "YYYY-MM-DD"),
    ("migration_years = [1, 2]", f"migration_years = [1, 2, 3] {HERE}", "system[0].migration_years", "length 2", ""),
    ("migration_years = [1, 2]", f"migration_years = [\n -1, {HERE}\n 2]", "system[0].migration_years[0]", ">= 0.0, got -1", "years"),
    ('jurisdiction = "EU"', f'jurisdiction = "Europe" {HERE}', "region[0].jurisdiction", "matching regex", ""),
    ("[[trust_zone]]", f"[trust_zone] {HERE}", "trust_zone", "array", "two brackets"),
    ("port = 443", f"port = 70000 {HERE}", "target[0].port", "<= 65535, got 70000", ""),
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
    # meaning
    ('id = "ledger-file"', f'id = "ledger-tls" {HERE}', "target[1].id", "already a target called 'ledger-tls'", "own id"),
    ('id = "ledger-tls"', f'id = "Ledger 1" {HERE}', "target[0].id", "matching regex", "lower case"),
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
    ('path = "certs/ledger.pem"', f'path = "/etc/ssl/ledger.pem" {HERE}', "target[1].path", "out of the estate's folder", "relative"),
    ('path = "certs/ledger.pem"', f'path = "certs/../../x.pem" {HERE}', "target[1].path", "out of the estate's folder", "'..'"),
    ('path = "certs/ledger.pem"', f'path = "certs/ledger.pem"\nport = 1 {HERE}', "target[1].port", "a x509 target has no port", "path only"),
    ('host = "ledger.bank.example"', f'host = "https://ledger.bank.example" {HERE}', "target[0].host", "neither a host name", "port goes in"),
    ('host = "ledger.bank.example"', f'host = "ledger.bank.example:443" {HERE}', "target[0].host", "neither a host name", "port goes in"),
    ('host = "ledger.bank.example"', f'host = "10.0.0.300" {HERE}', "target[0].host", "neither a host name", ""),
]  # fmt: skip


def test_a_sound_estate_is_read() -> None:
    """The base of the table below has no problem itself, and its values arrive."""
    estate = read_estate(SOUND, "estate.toml")
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


@pytest.mark.parametrize("version", ["2", "2.1", "0.9", "10"])
def test_another_major_version_is_refused_before_all_else(version: str) -> None:
    """An estate of another major version is not judged by this one's rules."""
    with pytest.raises(UnsupportedFormat, match=version) as caught:
        read_estate(SOUND.replace('"1"', f'"{version}"', 1) + "\nnew_field = 1\n", "estate.toml")
    assert caught.value.hint


def test_a_minor_version_is_read() -> None:
    """Version 1.3 is of our major version."""
    assert read_estate(SOUND.replace('"1"', '"1.3"', 1), "estate.toml").format_version == "1.3"


def test_fibre_on_reels_in_a_laboratory_may_be_long() -> None:
    """A laboratory's reels have a length that no map explains."""
    text = SOUND.replace("length_km = 58.0", "length_km = 580.0").replace('reach = "metro"', 'reach = "long-haul"')
    assert len(_problems(text)) == 1
    assert read_estate(text.replace('kind = "data-centre"', 'kind = "laboratory"', 1), "estate.toml")


@pytest.mark.parametrize("host", ["a", "a.example", "a.example.", "10.0.0.3", "fe80::1", "_srv.a-b.example"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    """Host names, IPv4 and IPv6 addresses are accepted as they are."""
    assert read_estate(_changed("ledger.bank.example", host), "estate.toml").target[0].host == host


def test_an_estate_made_in_code_is_judged_alike() -> None:
    """Builtins of a typed estate pass the same judge."""
    raw = msgspec.to_builtins(read_estate(SOUND, ""))
    assert judge_estate(raw, {(): 1}, "") == ()
    raw["site"][0]["region"] = "nowhere"
    assert [p.field for p in judge_estate(raw, {(): 1}, "")] == ["site[0].region"]


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
    (doubt,) = question_estate(read_estate(text, "e"), line_index(text), "e")
    assert doubt.field == field
    assert message in doubt.message
    assert doubt.hint
    assert doubt.line > 1


def test_a_sound_estate_raises_no_doubt() -> None:
    """The base text is not questioned."""
    assert question_estate(read_estate(SOUND, "e"), line_index(SOUND), "e") == ()


def test_the_lines_of_an_estate_agree_with_its_values() -> None:
    """Every value that `tomllib` reads has a line."""
    index = line_index(SOUND)
    raw = tomllib.loads(SOUND)
    for noun in Estate.__struct_fields__:
        for n, row in enumerate(raw.get(noun, [])):
            if isinstance(row, dict):
                assert all((noun, n, key) in index for key in row)
