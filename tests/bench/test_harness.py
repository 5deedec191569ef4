"""The numbers of the benchmark: alternation, ratios, the peak and the table."""

import statistics

import numpy as np
import pytest

from bench import harness

ROW = dict(
  row='x',
  precision='float32',
  batch_size=8,
  target=1.0,
  flops=2e9,
  peak_bytes=None,
)


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
  row = dict(ROW, peak_bytes=3 << 20)
  row['gen_jax'] = harness.summary([0.004, 0.004], 8)
  row['peak_fraction'] = 0.25
  both = {**row, 'pytorch': row['gen_jax'], **harness.ratio([1], [1])}
  head, without, with_it = harness.table([row, both]).splitlines()
  assert head.split()[0] == 'row'
  assert without.split()[1:4] == ['float32', '8', '2.0']
  assert without.split()[4:8] == ['3', '4.00', '2,000', '25%']
  assert without.split()[8:] == ['-', '-', '-', '-', '1.00']
  assert with_it.split()[-3:] == ['1.00', '1.00-1.00', '1.00']
  third = {'pytorch_compiled': row['gen_jax'], 'compiled_ratio': 0.5}
  without, with_it = harness.table([both, {**both, **third}]).splitlines()[1:]
  assert without.split()[-5:] == ['1.00', '-', '-', '-', '-']
  assert with_it.split()[-5:] == ['1.00', '4.00', '2,000', '0.50', '-']


def test_each_precision_is_compared_with_the_fastest_of_pytorch():
  low, full = dict(ROW, precision='bfloat16'), dict(ROW)
  for row, ours, theirs in ((full, 0.004, 0.006), (low, 0.002, 0.003)):
    row['gen_jax'] = harness.summary([ours], 8)
    row['pytorch'] = harness.summary([theirs], 8)
    row |= harness.ratio([ours], [theirs])
    row['peak_fraction'] = 0.5
  harness.add_best_ratios([full, low])
  assert full['best_ratio'] == pytest.approx(0.75)
  assert low['best_ratio'] == pytest.approx(1.5)
  head, *lines = harness.table([full, low]).splitlines()
  assert head.endswith('to the best')
  assert [line.split()[1] for line in lines] == ['float32', 'bfloat16']
  assert [line.split()[-1] for line in lines] == ['0.75', '1.50']
  failed = dict(low, pytorch_error='not implemented', other_load=0.0)
  (remark,) = harness.remarks([failed])
  assert remark == 'x in bfloat16: PyTorch fails: not implemented'


def test_the_peak_is_the_largest_of_all_measurements(monkeypatch):
  speeds = {'float32': iter([1e9, 4e9, 2e9]), 'bfloat16': iter([8e9] * 3)}
  monkeypatch.setattr(
    harness, 'matrix_peak', lambda _, name: next(speeds[name])
  )
  peak = harness.Peak(8, ('float32', 'bfloat16'))
  row = dict(ROW, flops=2e6, gen_jax=harness.summary([0.001], 8))
  shares = []
  for _ in range(3):
    peak.measure()
    shares.append(peak.fraction(row))
  assert shares == pytest.approx([2.0, 0.5, 0.5])
  assert peak.measured['float32'] == [1e9, 4e9, 2e9]
  assert peak.fraction(dict(row, precision='bfloat16')) == 0.25
  assert str(peak).startswith('4 GFLOP/s is the speed of large products of fl')


def test_a_share_above_the_peak_is_marked():
  row = dict(ROW, gen_jax=harness.summary([0.004], 8), other_load=0.0)
  above, below = ({**row, 'peak_fraction': share} for share in (1.02, 1.0))
  _, *lines = harness.table([above, below]).splitlines()
  assert [line.split()[7] for line in lines] == ['102%!', '100%']
  (remark,) = harness.remarks([above, below])
  assert remark.startswith('x in float32: 102% of peak is impossible')
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
