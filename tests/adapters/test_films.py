"""Films: what they say of themselves is read, and blanked without moving anything."""

from hypothesis import given
from hypothesis import strategies as st

from app.adapters.films import blanked, read_film
from app.errors import ExtractionFailed
from tests.media import SECRET, make_film


def reading(content: bytes):
    async def read(start: int, end: int) -> bytes:
        return content[start:end]

    return read


async def test_a_film_says_when_and_where_and_shows_neither():
    film = make_film()
    said = await read_film(reading(film), len(film))
    assert (said.taken_at, said.latitude, said.longitude) == ("2023-07-04T21:30:00+00:00", 59.91, 10.75)
    shown = blanked(film, 0, said.blanks)
    assert (len(shown), SECRET in shown, b"+59.91" in shown) == (len(film), False, False)
    assert shown.index(b"THE PICTURES") == film.index(b"THE PICTURES")
    again = await read_film(reading(shown), len(shown))
    assert (again.blanks, again.latitude, again.taken_at) == ([], None, said.taken_at)
    in_pieces = b"".join(blanked(film[at : at + 7], at, said.blanks) for at in range(0, len(film), 7))
    assert in_pieces == shown


async def test_a_camera_that_knows_its_zone_is_believed():
    film = make_film(place=b"2023-07-04T23:30:00+0200")
    assert (await read_film(reading(film), len(film))).taken_at == "2023-07-04T23:30:00+02:00"


@given(st.binary(max_size=300), st.integers(0, 700), st.integers(0, 60))
async def test_whatever_a_film_holds_it_is_read_or_refused(garbage: bytes, at: int, cut: int):
    film = make_film()
    broken = film[:at] + garbage + film[at + cut :]
    try:
        said = await read_film(reading(broken), len(broken))
    except ExtractionFailed:
        return
    assert len(blanked(broken, 0, said.blanks)) == len(broken)
