"""What does not fit, into memory or together, is refused before work."""

import dense_vae
import pytest

from gen_jax.errors import InputError
from gen_jax.objectives.parts.variational import LatentModel
from gen_jax.objectives.vae import VAE
from gen_jax.runtime import memory
from gen_jax.training.loop import train
from gen_jax.training.stage_run import prepare


@pytest.mark.parametrize(
  'field,value,message',
  [
    ('batch_size', 10**8, 'batch_size=100000000: a batch takes at least 292'),
    ('objective.encoder.features', 2 * 10**9, 'the state of training takes at'),
  ],
)
def test_what_is_larger_than_the_memory_is_refused_at_once(
  field, value, message
):
  config = dense_vae.get_config()
  group, _, last = field.rpartition('.')
  target = config
  for part in group.split('.') if group else ():
    target = target[part]
  target[last] = value
  with pytest.raises(InputError, match=message):
    prepare(config)


def test_a_compiled_step_that_needs_more_than_there_is_does_not_run(
  tmp_path, monkeypatch
):
  free = []

  def free_bytes():  # enough for the state and for a batch
    free.append(1)
    return 2**30 if len(free) <= 2 else 1000

  monkeypatch.setattr(memory, 'free_bytes', free_bytes)
  with pytest.raises(InputError) as caught:
    train(dense_vae.get_config(), tmp_path)
  assert str(caught.value).startswith('config.batch_size=8: the compiled step')
  assert '0.0 MiB of memory are free' in str(caught.value)
  assert not list((tmp_path / 'checkpoints').iterdir())


def test_networks_that_do_not_fit_together_are_one_line():
  config = dense_vae.get_config()
  config.objective.encoder.features = 5  # mean and log-variance need two
  with pytest.raises(InputError, match='the networks cannot be built') as error:
    prepare(config)
  assert '\n' not in str(error.value)


def test_every_stage_is_built_before_the_first_step(tmp_path, monkeypatch):
  loss = VAE.loss

  def broken(self, players, batch, *, key, step):
    if self.beta == 2:
      raise TypeError('shapes (8, 3) and (8, 4) do not fit\nsecond line')
    return loss(self, players, batch, key=key, step=step)

  monkeypatch.setattr(VAE, 'loss', broken)
  config = dense_vae.get_config()
  config.stages = ({'steps': 2}, {'steps': 2, 'objective.beta': 2.0})
  message = 'a step of stage 2 cannot be built of .*: TypeError: shapes .* fit$'
  with pytest.raises(InputError, match=message):
    train(config, tmp_path / 'w')
  assert not (tmp_path / 'w').exists()


def test_what_evaluators_need_is_traced_before_the_first_step(monkeypatch):
  def broken(self, players, batch, *, key):
    raise TypeError('of other shapes')

  monkeypatch.setattr(LatentModel, 'elbo', broken)
  config = dense_vae.get_config()
  config.evals = {'elbo': {'name': 'likelihood.ELBO'}}
  with pytest.raises(InputError, match="'elbo' of the trained model cannot be"):
    prepare(config)
