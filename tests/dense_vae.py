"""The config of a run that compiles little: a dense VAE without evaluators.

For tests of what happens around the training: `--config=tests/dense_vae.py`.
"""

import pathlib

from gen_jax import config as config_lib

ROOT = pathlib.Path(__file__).parents[1]


def get_config(arg=None):
  """Returns the config, of the sizes of `configs/vae.py:test`."""
  del arg
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.objective.encoder = dict(
    name='autoencoder.DenseEncoder', features=2 * 2, hidden=()
  )
  config.objective.decoder = dict(
    name='autoencoder.DenseDecoder', shape=None, hidden=()
  )
  config.evals = {}
  return config
