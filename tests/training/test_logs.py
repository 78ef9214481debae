"""What a run leaves to read stands in the order in which it came, however often it was begun anew."""

from regard.training.logs import EVENTS, number_events


def test_event_files_stand_in_the_order_of_their_starts(tmp_path):
    for start, process in enumerate((9_999, 10_000, 32_767, 301, 302)):  # all in one second; numbers begin anew
        number_events(tmp_path)
        (tmp_path / f"{EVENTS}1796079417.host.{process}.0").write_text(str(start))
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["0", "1", "2", "3", "4"]


def test_a_first_start_has_nothing_to_number(tmp_path):
    number_events(tmp_path / "absent")
    assert not list(tmp_path.iterdir())
