"""What the groups of the configuration tell of an installation."""

from bench.config.groups import installing


def test_extras_are_installed_as_the_suite_was():
    assert installing("ants", in_wheel=False) == 'pip install -c constraints.txt -e ".[ants]"'
    assert installing("ants", in_wheel=True) == 'pip install "registration-bench[ants]"'
