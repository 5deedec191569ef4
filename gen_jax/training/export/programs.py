"""A capability of a trained model as one function of plain arrays.

The function holds the parameters. All of its inputs and outputs are arrays
whose first axis is the example, except for single numbers such as the
truncation. Images are float32 in [0, 1], whatever the range of the networks.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Objective, Players, required_arguments
from gen_jax.data.sources import Described
from gen_jax.errors import InputError, nearest

# Capabilities whose result for an example depends on that example alone.
NAMES = (
  'sample', 'sample_classes', 'sample_codes', 'encode', 'decode',
  'reconstruct', 'corrupt', 'classify', 'features', 'anomaly_scores',
  'map_latents', 'synthesize', 'translate_ab', 'translate_ba', 'encode_text',
  'encode_image', 'draw',
)  # fmt: skip
# Those that return images.
_IMAGES = {
  'sample', 'sample_classes', 'sample_codes', 'decode', 'reconstruct',
  'corrupt', 'synthesize', 'translate_ab', 'translate_ba', 'draw',
}  # fmt: skip


class Input(NamedTuple):
  """An input of a program.

  Attributes:
    name: its name.
    shape: of one example, or of the whole input if it is `shared`.
    dtype: of its values.
    about: what the values are, with their range.
    shared: whether all examples have the same value.
    example: `numpy generator -> value` of this shape.
  """

  name: str
  shape: tuple[int, ...]
  dtype: Any
  about: str
  example: Callable[[np.random.Generator], Any]
  shared: bool = False


class Program(NamedTuple):
  """A capability as a function of arrays.

  Attributes:
    name: of the capability.
    call: takes an array for each input and returns an array or a dictionary of
      arrays, [B, ...].
    inputs: in their order.
  """

  name: str
  call: Callable[..., Any]
  inputs: tuple[Input, ...]

  def arguments(self, size: Any) -> list[jax.ShapeDtypeStruct]:
    """Returns the shapes of all inputs, for `size` examples.

    Args:
      size: a number, or what a format has for a number that is not known.
    """
    return [
      jax.ShapeDtypeStruct(i.shape if i.shared else (size, *i.shape), i.dtype)
      for i in self.inputs
    ]

  def outputs(self) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the names of the outputs with the shapes for one example."""
    found = jax.eval_shape(self.call, *self.arguments(1))
    return {
      jax.tree_util.keystr(path, simple=True) or self.name: x
      for path, x in jax.tree_util.tree_leaves_with_path(found)
    }

  def examples(self, size: int, seed: int = 0) -> list[np.ndarray]:
    """Returns random values of all inputs, for `size` examples."""
    rng = np.random.default_rng(seed)
    return [
      np.asarray(i.example(rng), i.dtype)
      if i.shared
      else np.stack([i.example(rng) for _ in range(size)]).astype(i.dtype)
      for i in self.inputs
    ]


def available(objective: Objective) -> tuple[str, ...]:
  """Returns the names of the capabilities that can be made a program.

  A model of classes has `sample_classes` for `sample`, which takes the classes
  in turn.
  """
  has = set(_functions(objective))
  if 'sample_classes' in has:
    has.discard('sample')
  return tuple(name for name in NAMES if name in has)


def make(
  objective: Objective,
  players: Players,
  described: Described,
  name: str,
  *,
  draws: bool = False,
) -> Program:
  """Makes a program of a capability.

  Args:
    objective: of the trained model.
    players: its variables.
    described: the classes and fields of its data.
    name: of the capability, one of `NAMES`.
    draws: whether the random numbers are inputs. Otherwise a capability that
      draws them has the input `seed`, an integer for each example.

  Raises:
    InputError: when the model does not have the capability, or its random
      numbers cannot be inputs.
  """
  known = available(objective)
  if name not in known:
    raise InputError(
      f'--capability={name}: {type(objective).__name__} does not have it.'
      + nearest(name, known)
    )
  maker = _Maker(objective, players, described, name)
  return maker.with_draws() if draws else maker.with_seed()


def describe(program: Program) -> dict[str, Any]:
  """Returns the inputs and outputs of a program, as JSON holds them."""

  def entry(name, shape, dtype, **more):
    return {
      'name': name, 'shape': list(shape), 'dtype': np.dtype(dtype).name, **more
    }  # fmt: skip

  inputs = [
    entry(i.name, i.shape if i.shared else ('B', *i.shape), i.dtype,
          about=i.about)
    for i in program.inputs
  ]  # fmt: skip
  outputs = [
    entry(name, ('B', *x.shape[1:]), x.dtype)
    for name, x in program.outputs().items()
  ]
  if program.name in _IMAGES:
    outputs[0]['about'] = 'images, from 0 to 1'
  return {'capability': program.name, 'inputs': inputs, 'outputs': outputs}


def _functions(objective: Any) -> dict[str, Any]:
  """Returns the capabilities, and `draw` for those that draw captions."""
  found: dict[str, Any] = dict(objective.predict_fns())
  if {'encode_text', 'generate'} <= set(found):
    encode_text, generate = found['encode_text'], found['generate']
    found['draw'] = lambda players, batch, *, key: generate(
      players, encode_text(players, batch), key=key
    )
  return found


def _arguments(name: str) -> tuple[str, ...]:
  return ('batch', 'key') if name == 'draw' else required_arguments(name)


@dataclasses.dataclass(frozen=True)
class _Maker:
  """Makes one program."""

  objective: Any
  players: Players
  described: Described
  name: str

  @functools.cached_property
  def functions(self) -> Mapping[str, Any]:
    """The capabilities of the model."""
    return _functions(self.objective)

  def with_seed(self) -> Program:
    """Returns a program with the input `seed`, if it draws random numbers."""
    inputs = self._inputs()

    def seeded(*values, seed=0):
      return self._one(inputs, values, jax.random.key(seed))

    if not _draws(seeded, inputs):
      return self._program(seeded, inputs)
    seed = Input(
      'seed', (), np.uint32, 'seed of the random numbers, from 0',
      lambda rng: rng.integers(0, 2**31),
    )  # fmt: skip
    return self._program(
      lambda *values: seeded(*values[:-1], seed=values[-1]), [*inputs, seed]
    )

  def with_draws(self) -> Program:
    """Returns a program whose random numbers are inputs.

    Raises:
      InputError: a random number is drawn where it cannot be replaced.
    """
    inputs, key = self._inputs(), jax.random.key(0)
    draws: list[Input] = []

    def recorded(drawn):
      number = sum(x.name.startswith(drawn.name) for x in draws)
      draws.append(drawn._replace(name=f'{drawn.name}_{number}'))
      return jnp.asarray(drawn.example(np.random.default_rng(0)), drawn.dtype)

    def trial(*values):
      with _drawing(key, recorded):
        return self._one(inputs, values, key)

    if _draws(trial, inputs):
      raise InputError(
        f'--capability={self.name}: {type(self.objective).__name__} draws '
        'random numbers that cannot be inputs. Write a .stablehlo file instead.'
      )

    def one(*values):
      given, numbers = values[: len(inputs)], iter(values[len(inputs) :])
      with _drawing(key, lambda drawn: next(numbers).astype(drawn.dtype)):
        return self._one(inputs, given, key)

    return self._program(one, [*inputs, *draws])

  def _program(self, one, inputs):
    axes = tuple(None if i.shared else 0 for i in inputs)

    def call(*values):
      with jax.default_matmul_precision('highest'):
        return jax.vmap(one, in_axes=axes)(*values)

    return Program(self.name, call, tuple(inputs))

  def _one(self, inputs, values, key):
    """Computes one example; values have no batch axis."""
    objective, functions = self.objective, self.functions
    given = {i.name: v for i, v in zip(inputs, values, strict=True)}
    if 'truncation' in given:
      objective = dataclasses.replace(
        objective, truncation_psi=given.pop('truncation')
      )
      functions = _functions(objective)
    arguments = _arguments(self.name)
    options = {}
    if 'key' in arguments:
      options['key'] = key
    if 'num' in arguments:
      options['num'] = 1
    values: dict[str, Any] = {k: jnp.asarray(v)[None] for k, v in given.items()}
    if 'batch' in arguments:
      for field in self._fields:
        if self._is_image(field):
          values[field] = self._pixels(values[field])
      batch = {k: values.pop(k) for k in self._fields}
      values['batch'] = batch
    positional = [values[k] for k in arguments if k in values]
    out = functions[self.name](self.players, *positional, **options)
    if self.name in _IMAGES:
      out = self._unit(out)
    return jax.tree.map(lambda x: x[0], out)

  def _pixels(self, x):
    return x * 2 - 1 if self.objective.pixels == 'symmetric' else x

  def _unit(self, x):
    if self.objective.pixels == 'symmetric':
      x = (x + 1) / 2
    return jnp.clip(x, 0, 1)

  # What the inputs are.

  def _inputs(self) -> list[Input]:
    inputs = []
    for argument in _arguments(self.name):
      if argument == 'batch':
        inputs += [self._field(field) for field in self._fields]
      elif argument not in ('key', 'num'):
        inputs.append(self._argument(argument))
    declared = {field.name for field in dataclasses.fields(self.objective)}
    if self.name in ('sample', 'sample_classes') and (
      'truncation_psi' in declared
    ):
      about = 'truncation psi, from 0 (the average image) to 1 (none)'
      inputs.append(
        Input('truncation', (), np.float32, about, lambda rng: 0.7, True)
      )
    return inputs

  @functools.cached_property
  def _fields(self) -> tuple[str, ...]:
    """The fields of a batch that the capability reads, in their order."""
    read: dict[str, None] = {}

    class Recorder(dict):
      def __getitem__(self, field: str) -> Any:
        read[field] = None
        return super().__getitem__(field)

    def trial():
      batch = Recorder(self._empty_batch())
      needs_key = 'key' in _arguments(self.name)
      options = {'key': jax.random.key(0)} if needs_key else {}
      return self.functions[self.name](self.players, batch, **options)

    jax.eval_shape(trial)
    return tuple(read)

  def _empty_batch(self):
    """Returns one example of each field that has numbers, all of them 0."""
    return {
      name: jnp.zeros(
        (1, *shape), np.float32 if self._is_image(name) else dtype
      )
      for name, (shape, dtype) in self.described.fields.items()
      if np.dtype(dtype).kind in 'iuf'
    }

  def _is_image(self, field):
    shape, dtype = self.described.fields[field]
    return len(shape) == 3 and np.dtype(dtype) == np.uint8

  def _field(self, field) -> Input:
    shape, dtype = self.described.fields[field]
    if self._is_image(field):
      about = 'images, from 0 to 1'
      return Input(
        field, shape, np.float32, about, lambda rng: rng.random(shape)
      )
    if np.dtype(dtype).kind == 'f':
      return Input(
        field, shape, np.float32, f'the field {field!r} of the data',
        lambda rng: rng.normal(size=shape),
      )  # fmt: skip
    if field == 'label' and not shape:
      return self._label('label')
    return Input(
      field, shape, np.int32, f'the field {field!r} of the data',
      lambda rng: rng.integers(0, 1000, shape),
    )  # fmt: skip

  def _label(self, name) -> Input:
    count = len(self.described.classes) or self.objective.classes
    about = f'numbers of classes, from 0 to {count - 1}'
    return Input(name, (), np.int32, about, lambda rng: rng.integers(0, count))

  def _argument(self, argument) -> Input:
    """Returns the input of an argument that is no batch."""
    if argument == 'labels':
      return self._label('labels')
    if argument == 'categories':
      count = self.objective.categories
      return Input(
        'categories', (), np.int32, f'categorical codes, 0 to {count - 1}',
        lambda rng: rng.integers(0, count),
      )  # fmt: skip
    shape = self._latent_shape(argument)
    about = {
      'values': 'continuous codes, usually from -1 to 1',
      'latents': 'latents',
      'w_plus': 'w of every layer',
    }[argument]
    return Input(
      argument, shape, np.float32, about, lambda rng: rng.normal(size=shape)
    )

  def _latent_shape(self, argument):
    functions, players, key = self.functions, self.players, jax.random.key(0)
    if argument == 'values':
      return (self.objective.continuous,)
    if argument == 'w_plus':

      def mapped():
        latents = functions['sample_latents'](players, key=key, num=1)
        return functions['map_latents'](players, latents)

      return jax.eval_shape(mapped).shape[1:]
    if 'sample_latents' in functions:
      draw = functions['sample_latents']
      found = jax.eval_shape(lambda: draw(players, key=key, num=1))
      return found.shape[1:]
    return jax.eval_shape(
      lambda: functions['encode'](players, self._empty_batch())
    ).shape[1:]


def _draws(one: Callable[..., Any], inputs: Sequence[Input]) -> bool:
  """Whether a function of one example draws from JAX's random bits."""
  shapes = [jax.ShapeDtypeStruct(i.shape, i.dtype) for i in inputs]
  return 'random_bits[' in str(jax.make_jaxpr(one)(*shapes))


@contextlib.contextmanager
def _drawing(own: jax.Array, draw: Callable[[Input], jax.Array]) -> Generator:
  """Within it the random numbers of a key come from `draw`.

  It replaces the functions of `jax.random` that models call, because a format
  such as ONNX has none of JAX's random bits. Other keys keep their meaning:
  Flax computes the shapes of initial parameters with a key of its own.
  """

  def replaced(name, drawn):
    original = getattr(jax.random, name)

    def call(key, *args, **kwargs):
      if key is not own:
        return original(key, *args, **kwargs)
      return drawn(*args, **kwargs)

    return call

  def normal(shape=(), dtype=jnp.float32):
    about = 'numbers from a standard normal'
    return draw(
      Input(
        'normal', tuple(shape), dtype, about, lambda r: r.normal(size=shape)
      )
    )

  def uniform(shape=(), dtype=jnp.float32, minval=0.0, maxval=1.0):
    about = 'numbers from 0 to 1, uniform'
    number = draw(
      Input('uniform', tuple(shape), dtype, about, lambda r: r.random(shape))
    )
    return minval + (maxval - minval) * number

  def randint(shape, minval, maxval, dtype=jnp.int32):
    about = f'integers from {minval} to {maxval - 1}, uniform'

    def example(rng):
      return rng.integers(minval, maxval, shape)

    return draw(Input('integer', tuple(shape), dtype, about, example))

  def bernoulli(p=0.5, shape=None):
    return uniform(jnp.shape(p) if shape is None else shape) < p

  drawn = dict(
    normal=normal,
    uniform=uniform,
    randint=randint,
    bernoulli=bernoulli,
    split=lambda num=2: [own] * num,
    fold_in=lambda data: own,
  )
  changed: dict[str, Any] = {k: replaced(k, fn) for k, fn in drawn.items()}
  with mock.patch.multiple(jax.random, **changed):
    yield
