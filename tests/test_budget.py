"""Tests beyond the budget are listed, and fail the run in CI if far beyond."""

import math

import budget
import pytest

pytest_plugins = ['pytester']

TESTS = """
import time
import pytest

def work():
  start = time.process_time()
  while time.process_time() - start < 0.1:
    pass

def test_dear():
  work()

@pytest.mark.slow('there is much to do')
def test_excused():
  work()

@pytest.mark.slow
def test_without_a_reason():
  work()

def test_that_waits_for_others():
  time.sleep(0.2)
"""


@pytest.fixture
def run(pytester):
  pytester.makepyfile(TESTS)
  pytester.makeini('[pytest]\nmarkers = slow(reason)')

  def run(most, *args):
    plugin = budget.Budget(limit=0.05, most=most)
    args = ('-p', 'no:cacheprovider', *args)
    return pytester.inline_run(*args, plugins=[plugin])

  return run


def test_they_are_listed_by_their_processor_time(run, capsys):
  result = run(math.inf)
  assert result.ret == 0
  listed = [x for x in capsys.readouterr().out.splitlines() if ' s  ' in x]
  assert sorted(x.split('::')[1] for x in listed) == [
    'test_dear  (make it faster, or mark it slow)',
    'test_excused  (slow: there is much to do)',
    'test_without_a_reason  (make it faster, or mark it slow)',
  ]


@pytest.mark.parametrize(
  'name,code',
  [
    ('test_dear', pytest.ExitCode.TESTS_FAILED),
    ('test_without_a_reason', pytest.ExitCode.TESTS_FAILED),
    ('test_excused', 0),
    ('test_that_waits', 0),
  ],
)
def test_in_ci_they_fail_the_run_unless_there_is_a_reason(run, name, code):
  result = run(0.08, '-k', name)
  assert result.ret == code


def test_in_ci_they_only_fail_the_run_if_they_are_far_beyond(run):
  result = run(10.0, '-k', 'test_dear')
  assert result.ret == 0
