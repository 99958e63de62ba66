"""A few of the damaged files that `tests/fuzz/fuzz_files.py` makes for as long as one likes."""

import fuzz_files
import pytest


@pytest.fixture(scope="module")
def checks(tmp_path_factory):
    return fuzz_files.Checks(str(tmp_path_factory.mktemp("fuzz")))


def test_whole_files_are_taken(checks):
    assert len(checks.whole) == 8
    for name, content in checks.whole.items():
        assert checks.check(name, content) is None


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_refused_or_taken(checks, seed):
    kinds = {}
    for number in range(250):
        name, content = checks.file(seed, number)
        wrong = checks.check(name, content)
        assert wrong is None, f"python tests/fuzz/fuzz_files.py --seed {seed} --first {number}: {name}: {wrong}"
        kinds[name] = kinds.get(name, 0) + 1
    assert set(kinds) == set(checks.whole)


def test_a_file_is_a_function_of_seed_and_number(checks):
    assert checks.file(3, 4) == checks.file(3, 4) != checks.file(3, 5)
