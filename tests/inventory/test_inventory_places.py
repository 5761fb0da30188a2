"""Every kind of place is covered or a named gap."""

from msgspec.structs import replace
from tests.inventory.test_inventory_coverage import ESTATE, attempt

from keystrand.inventory.places import place_lines
from keystrand.model.estate import Place
from keystrand.model.observation import Outcome
from keystrand.model.stages.seen import PlaceLine, PlaceState


def line(place: Place, *answered: str, has_none: tuple[Place, ...] = ()) -> PlaceLine:
    """Return the line of one place where the targets `answered`."""
    estate = replace(ESTATE, organisation=replace(ESTATE.organisation, has_none=has_none))
    lines = place_lines(estate, [attempt(name, Outcome.SEEN) for name in answered])
    assert [one.place for one in lines] == list(Place)
    return next(one for one in lines if one.place is place)


def test_a_place_with_systems_says_which_gave_no_answer() -> None:
    """Two systems of one kind, one without a target: partly, with both gaps named."""
    found = line(Place.API, "a")
    assert (found.state, found.systems, found.targets, found.answered) == (PlaceState.PARTLY, 2, 3, 1)
    assert found.missing == ("shop: no answer from 2 targets (b, c)", "archive: no target")


def test_a_place_where_nothing_answered_was_not_looked_at() -> None:
    """Targets that are declared do not make a place covered."""
    assert line(Place.API).state is PlaceState.NOT_LOOKED_AT


def test_a_place_is_covered_where_everything_answered() -> None:
    """Covered needs an answer from every target of every system there."""
    estate = replace(ESTATE, system=ESTATE.system[:1])
    records = [attempt(name, Outcome.SEEN) for name in ("a", "b", "c")]
    found = next(one for one in place_lines(estate, records) if one.place is Place.API)
    assert (found.state, found.missing) == (PlaceState.COVERED, ())


def test_one_answer_of_a_range_does_not_cover_the_place() -> None:
    """An address that stayed silent, or a file that could not be read, is named beside those that answered."""
    estate = replace(ESTATE, system=ESTATE.system[:1])
    silent = replace(attempt("b", Outcome.TIMED_OUT), place="tls://192.0.2.2:443")
    counts = ((Outcome.SEEN, 2), (Outcome.NONE, 4), (Outcome.UNREADABLE, 3))
    folder = replace(attempt("c", Outcome.SEEN), counts=counts)
    records = [attempt("a", Outcome.SEEN), attempt("b", Outcome.SEEN), silent, folder]
    found = next(one for one in place_lines(estate, iter(records)) if one.place is Place.API)
    assert (found.state, found.answered) == (PlaceState.PARTLY, 3)
    assert found.missing == (
        "shop: 1 of 2 endpoints and files of b are unknown",
        "shop: 3 of 9 endpoints and files of c are unknown",
    )


def test_a_forgotten_place_is_a_gap_unless_the_organisation_says_it_has_none() -> None:
    """Firmware that nobody declared is not silently absent."""
    forgotten = line(Place.FIRMWARE, "a")
    assert forgotten.state is PlaceState.NOT_DECLARED
    assert "firmware" in forgotten.missing[0]
    assert line(Place.FIRMWARE, "a", has_none=(Place.FIRMWARE,)).state is PlaceState.NONE_DECLARED


def test_a_system_that_is_declared_outweighs_the_statement_that_there_is_none() -> None:
    """The statement does not hide a system that is there."""
    assert line(Place.API, "a", has_none=(Place.API,)).state is PlaceState.PARTLY
