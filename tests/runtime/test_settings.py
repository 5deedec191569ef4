"""Settings of the process that many CPU devices need."""

import os
import subprocess
import sys

import cluster
import environment
import pytest

from gen_jax.runtime import settings

ORDER = 'xla_cpu_enable_concurrency_optimized_scheduler'
FORCED = '--xla_force_host_platform_device_count'


@pytest.mark.parametrize(
  ('flags', 'ordered'),
  [
    ('', False),
    (f'{FORCED}=1', False),
    (f'{FORCED}=2', True),
    (f'--xla_dump_to=x {FORCED}=16', True),
  ],
)
def test_forced_devices_start_collectives_in_one_order(
  monkeypatch, flags, ordered
):
  monkeypatch.setenv('XLA_FLAGS', flags)
  settings.configure()
  assert os.environ['XLA_FLAGS'].startswith(flags)
  assert (f'--{ORDER}=false' in os.environ['XLA_FLAGS']) == ordered


def test_the_order_that_a_user_chose_remains(monkeypatch):
  flags = f'--{ORDER}=true {FORCED}=2'
  monkeypatch.setenv('XLA_FLAGS', flags)
  settings.configure()
  assert f'--{ORDER}=false' not in os.environ['XLA_FLAGS']


@pytest.mark.long
def test_two_devices_do_not_wait_for_each_other(tmp_path):
  # Stage I of StackGAN has two collectives that do not depend on each other.
  # Without the order, about one run in three ends after a minute if it finds
  # its programs in the cache.
  for name in ('compiles', *'12345'):
    code = subprocess.run(
      [
        *(sys.executable, '-m', 'gen_jax.main', f'--workdir={tmp_path / name}'),
        '--config=configs/stackgan.py:test',
      ],
      cwd=cluster.ROOT,
      env={
        **os.environ,
        'XLA_FLAGS': environment.xla_flags(2),
        'XDG_CACHE_HOME': str(tmp_path),
      },
      timeout=environment.HANG,
    ).returncode
    assert code == 0
