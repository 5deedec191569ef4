"""A limit on the time of each test, so that the suite stays fast.

A test that costs more than `LIMIT` seconds is listed at the end of the run. In
CI (the environment variable CI is set) one that costs `TOLERANCE` times as much
fails the run, since CI may have a slower machine, unless it has the marker
`slow` with a reason: `@pytest.mark.slow('trains to convergence')`.

The cost of a test is the smaller one of two measures, taken over its setup, its
call and its teardown:

* the elapsed time, which other work on the machine makes longer;
* the processor time of the test and of the processes that it has started and
  waited for, which other work hardly changes, and which is the larger one when
  a test uses several cores.

So a test does not fail because something else runs, and it counts as it would
on an idle machine. Time in which a test only sleeps is not counted;
`--durations` shows it. Fixtures of a module count for the test that is the
first to use them.
"""

import math
import os

import pytest

LIMIT = 6.0  # seconds
TOLERANCE = 3.0


class Budget:
  """A pytest plugin; with pytest-xdist, workers measure and one lists.

  Attributes:
    limit: seconds that a test may cost.
    most: seconds beyond which a test fails the run.
  """

  def __init__(self, limit: float, most: float = math.inf):
    self.limit, self.most = limit, most
    self._start = (0.0, 0.0)
    self._over = {}  # by name: the cost, and the reason of the marker or ''

  @pytest.hookimpl(tryfirst=True)
  def pytest_runtest_logstart(self):
    self._start = _clocks()

  @pytest.hookimpl(tryfirst=True)
  def pytest_runtest_makereport(self, item, call):
    """Adds the cost to the last report of a test, which goes to the lister."""
    if call.when == 'teardown':
      spent = [b - a for a, b in zip(self._start, _clocks(), strict=True)]
      slow = item.get_closest_marker('slow')
      reason = ' '.join(slow.args) if slow else ''
      item.user_properties.append(('cost', [min(spent), reason]))

  def pytest_runtest_logreport(self, report):
    for name, value in report.user_properties:
      if name == 'cost' and value[0] > self.limit:
        self._over[report.nodeid] = value

  @pytest.hookimpl(tryfirst=True)
  def pytest_sessionfinish(self, session):
    fails = any(
      cost > self.most and not reason for cost, reason in self._over.values()
    )
    if fails and session.exitstatus == 0:
      session.exitstatus = pytest.ExitCode.TESTS_FAILED

  def pytest_terminal_summary(self, terminalreporter):
    if not self._over:
      return
    terminalreporter.section(f'tests over the budget of {self.limit:g} s')
    for name, (cost, reason) in sorted(
      self._over.items(), key=lambda x: -x[1][0]
    ):
      note = f'slow: {reason}' if reason else 'make it faster, or mark it slow'
      terminalreporter.line(f'{cost:6.1f} s  {name}  ({note})')


def _clocks() -> tuple[float, float]:
  """Returns the elapsed time and the processor time, with ended children."""
  times = os.times()
  return times.elapsed, sum(times[:4])
