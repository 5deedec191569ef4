"""Configs: how their fields are overridden, kept and compared."""

import pathlib

import pytest
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.registry import builder

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
  'old,text,new',
  [
    (3, '7', 7),
    (0.5, '2', 2.0),
    (0.5, '1e-3', 1e-3),
    ('a', '12', '12'),
    (True, 'false', False),
    ((1, 2), '3,4,5', (3, 4, 5)),
    ((1, 2), '(3,)', (3,)),
    ((), 'a,b', ('a', 'b')),
    ((1, 2), '3', (3,)),
    (('a',), '', ()),
    (('a',), '()', ()),
  ],
)
def test_an_override_keeps_its_type(old, text, new):
  config = ConfigDict({'a': {'b': old}})
  config_lib.override(config, 'a.b', text)
  assert config.a.b == new
  assert type(config.a.b) is type(new)


def test_json_gives_the_config_back():
  config = config_lib.load(f'{ROOT}/configs/vae.py')
  again = config_lib.from_json(config_lib.to_json(config))
  assert not config_lib.difference(config, again)
  objective = builder.build(builder.OBJECTIVES, again.objective, 'o')
  assert objective == builder.build(builder.OBJECTIVES, config.objective, 'o')


def test_only_fields_that_leave_the_parameters_alone_may_differ():
  config = config_lib.load(f'{ROOT}/configs/vae.py')
  other = config.copy_and_resolve_references()
  other.log_every = 7
  other.checkpoint.every = 9
  other.evals = {}
  assert not config_lib.difference(config, other)
  other.optim.model.learning_rate = 0.5
  assert config_lib.difference(config, other) == [
    '- optim.model.learning_rate=0.002',
    '+ optim.model.learning_rate=0.5',
  ]


def test_stages_override_by_dotted_names():
  config = config_lib.default()
  config.stages = (
    {'steps': 10, 'batch_size': 4},
    {'steps': 5, 'data.binarize': 'static'},
  )
  first, second = stages.plan(config)
  assert (first.start, first.end, first.start_images) == (0, 10, 0)
  assert (second.start, second.end, second.start_images) == (10, 15, 40)
  assert second.config.data.binarize == 'static'
  assert second.config.batch_size == config.batch_size
  plan = (first, second)
  # At a boundary the checkpoint is of the stage that ends there.
  at = [stages.at(plan, step).index for step in (0, 9, 10, 11, 15)]
  assert at == [0, 0, 0, 1, 1]
  with pytest.raises(InputError, match='beyond the last'):
    stages.at(plan, 16)
  config.stages = ({'steps': 1, 'data.binarise': ''},)
  with pytest.raises(InputError, match=r'stages\[0\].*"binarize"'):
    stages.plan(config)


def test_the_place_of_data_is_found_at_any_depth():
  def config(place):
    data = dict(name='domains', common=dict(path=place), a=dict(data_dir=place))
    stages = ({'data.path': place, 'steps': 2},)
    made = config_lib.default()
    made.data.update(data)
    made.stages = stages
    return made

  old, new = config('here'), config('there')
  assert len(config_lib.difference(old, new)) == 6
  assert not config_lib.difference(old, new, places=False)
  new.data.common.shape = (4, 4, 1)
  assert config_lib.difference(old, new, places=False)
