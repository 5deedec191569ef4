"""The numbers of the benchmark: alternation, ratios, the peak and the table."""

import statistics

import numpy as np
import pytest

from bench import harness


class Sleeper:
  """A side that only writes down when it ran."""

  def __init__(self, name, log):
    self.name, self.log = name, log

  def run(self, steps):
    self.log.append((self.name, steps))


def test_sides_alternate_and_neither_always_begins(monkeypatch):
  log = []
  monkeypatch.setattr(harness.OtherLoad, 'fraction', lambda self: 0.0)
  sides = [Sleeper('a', log), Sleeper('b', log)]
  times, _ = harness.alternate(sides, 3, 2)
  assert [name for name, _ in log] == ['a', 'b', 'b', 'a']
  assert {steps for _, steps in log} == {3}
  assert np.shape(times) == (2, 2)


def test_ratio_is_of_medians():
  ours, theirs = [1.0, 2.0, 9.0], [2.0, 3.0, 4.0]
  out = harness.ratio(ours, theirs)
  assert out['ratio'] == statistics.median(theirs) / statistics.median(ours)
  assert (out['ratio_min'], out['ratio_max']) == (4 / 9, 2.0)


def test_table_has_a_line_a_row_with_or_without_pytorch():
  row = dict(row='x', batch_size=8, target=1.0, flops=2e9, peak_bytes=3 << 20)
  row['gen_jax'] = harness.summary([0.004, 0.004], 8)
  row['peak_fraction'] = 0.25
  both = {**row, 'pytorch': row['gen_jax'], **harness.ratio([1], [1])}
  head, without, with_it = harness.table([row, both]).splitlines()
  assert head.split()[0] == 'row'
  assert without.split()[2:7] == ['2.0', '3', '4.00', '2,000', '25%']
  assert without.split()[7:] == ['-', '-', '-', '-', '1.00']
  assert with_it.split()[-3:] == ['1.00', '1.00-1.00', '1.00']
  third = {'pytorch_compiled': row['gen_jax'], 'compiled_ratio': 0.5}
  without, with_it = harness.table([both, {**both, **third}]).splitlines()[1:]
  assert without.split()[-4:] == ['1.00', '-', '-', '-']
  assert with_it.split()[-4:] == ['1.00', '4.00', '2,000', '0.50']


def test_the_peak_is_the_largest_of_all_measurements(monkeypatch):
  speeds = iter([1e9, 4e9, 2e9])
  monkeypatch.setattr(harness, 'matrix_peak', lambda size: next(speeds))
  peak = harness.Peak(8)
  row = dict(flops=2e6, gen_jax=harness.summary([0.001], 8))
  shares = []
  for _ in range(3):
    peak.measure()
    shares.append(peak.fraction(row))
  assert shares == pytest.approx([2.0, 0.5, 0.5])
  assert peak.measured == [1e9, 4e9, 2e9]


def test_a_share_above_the_peak_is_marked():
  row = dict(row='x', batch_size=8, target=1.0, flops=2e9, peak_bytes=None)
  row |= dict(gen_jax=harness.summary([0.004], 8), other_load=0.0)
  above, below = ({**row, 'peak_fraction': share} for share in (1.02, 1.0))
  _, *lines = harness.table([above, below]).splitlines()
  assert [line.split()[6] for line in lines] == ['102%!', '100%']
  (remark,) = harness.remarks([above, below])
  assert remark.startswith('x: 102% of peak is impossible')
  (remark,) = harness.remarks([{**below, 'other_load': 0.5}])
  assert 'other processes took 50%' in remark


def test_disturbed_rounds_are_made_up_for(monkeypatch):
  shares = iter([0.5, 0.01, 0.2, 0.02, 0.4])
  monkeypatch.setattr(harness.OtherLoad, 'fraction', lambda self: next(shares))
  log = []
  times, busy = harness.alternate([Sleeper('a', log)], 1, 2)
  assert (len(log), len(times[0]), busy) == (4, 2, 0.02)


def test_what_runs_elsewhere_is_a_share():
  assert 0 <= harness.OtherLoad().fraction() <= 1
