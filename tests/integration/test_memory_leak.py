"""A long run must not accumulate memory, open files or compiled programs."""

import pytest
from support.leak_probe import MIB, assert_steady, record_run


def test_no_leak_in_short_run(tmp_path):
    counts = {"num_lines": 100, "num_evaluations": 20, "num_checkpoints": 20}
    assert_steady(record_run(tmp_path, 2000, **counts), mib=8)


@pytest.mark.slow
def test_no_leak_in_long_run(tmp_path, capsys):
    # orbax itself keeps about 40 KiB per checkpoint.
    counts = {"num_lines": 1000, "num_evaluations": 200, "num_checkpoints": 40}
    records = record_run(tmp_path, 100_000, **counts)
    growth = assert_steady(records, mib=8)
    with capsys.disabled():
        print(f"\n{growth:+.1f} MiB in {records[-1]['step']} training steps: {records[-1]}")


@pytest.mark.parametrize("name", ["memory", "files", "compilations"])
def test_leak_is_detected(name):
    steady = [dict(step=step, memory=400 * MIB, files=11, compilations=9) for step in range(100)]
    assert_steady(steady, mib=1)
    # Growth in the first fifth does not count.
    assert_steady([record if record["step"] else {**record, name: 0} for record in steady], mib=1)
    increment = MIB // 10 if name == "memory" else 1
    leaking = [
        {**record, name: record[name] + increment * (record["step"] // 20)} for record in steady
    ]
    with pytest.raises(AssertionError):
        assert_steady(leaking, mib=0.2)
