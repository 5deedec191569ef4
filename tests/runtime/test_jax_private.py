"""The private interfaces of JAX are there, and used in one file alone."""

import inspect
import pathlib

import pytest

from gen_jax.runtime import jax_private

PACKAGE = pathlib.Path(jax_private.__file__).parents[1]


def test_private_interfaces_are_used_in_one_file():
  for file in PACKAGE.glob('**/*.py'):
    if file.name != 'jax_private.py':
      assert 'jax._src' not in file.read_text(), file


def test_the_state_of_many_processes_is_there():
  breaks = 'process_group and watchdog cannot reach the other processes'
  state = jax_private.coordination()
  for name in ('client', 'num_processes', 'process_id'):
    assert hasattr(state, name), f'global_state.{name} is gone: {breaks}'
  assert state.num_processes in (None, 1)


def test_the_detection_of_clusters_is_there():
  clusters = pytest.importorskip(
    'jax._src.clusters', reason='runs without --coordinator find no cluster'
  )
  breaks = 'runs on a TPU pod or under Slurm need --coordinator'
  assert clusters.ClusterEnv._cluster_types, breaks
  for kind in clusters.ClusterEnv._cluster_types:
    for name in ('opt_in_only_method', 'is_env_present', 'get_process_count'):
      assert hasattr(kind, name), f'{kind.__name__}.{name} is gone: {breaks}'
  detect = clusters.ClusterEnv.auto_detect_unset_distributed_params
  assert len(inspect.signature(detect).parameters) == 6, breaks


def test_an_environment_without_a_cluster_announces_none(monkeypatch):
  monkeypatch.delenv('SLURM_JOB_ID', raising=False)
  assert jax_private.cluster_size() is None
