"""A hundred thousand updates: what a run holds on to does not grow with them."""

import pytest
from support.leak_probe import assert_steady, watch

pytestmark = pytest.mark.slow


def test_a_run_of_many_updates_holds_on_to_nothing(tmp_path, capsys):
    notes = watch(tmp_path, updates=100_000, lines=1000, due=200)
    grown = assert_steady(notes, mib=8)
    last = notes[-1]
    with capsys.disabled():
        print(
            f"\n{last['step']} updates: {last['resident'] >> 20} MiB, {grown:+.1f} after a fifth "
            f"of them; {last['files']} files, {last['compiled']} compilations"
        )
