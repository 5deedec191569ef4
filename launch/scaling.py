"""Writes launch/SCALING.md: what data parallelism costs, on paper.

python -m launch.scaling [config.py ...]

Each config's training step is compiled for one device with the batch of the
config, and the compiler's own cost analysis counts its operations, those of a
step in which every update runs. Nothing is trained; no accelerator is needed.
"""

import pathlib
import sys
from typing import NamedTuple

import numpy as np

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.runtime import settings
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment, state_bytes

CONFIGS = (
  'configs/vae.py:dense',
  'configs/vae.py',
  'configs/vae.py:residual',
  'configs/dcgan.py',
  'configs/dcgan.py:emoji',
  'configs/wgan_gp.py',
  'configs/cyclegan.py',
  'configs/stylegan.py',
  'configs/stackgan.py',
)
CHIPS = (8, 32, 128, 512)

# One TPU v5e chip, by its data sheet: 197 TFLOP/s in bfloat16, about a quarter
# of it for products in float32 (more passes), of which small networks reach a
# fifth; 16 GB at 819 GB/s; four links of 50 GB/s, of which a ring uses two.
FLOPS = 197e12 / 4 / 5
LINK = 100e9
HOP = 1e-6  # seconds from a chip to its neighbor


class Cost(NamedTuple):
  """What one step of a config takes."""

  name: str
  batch: int
  parameters: int
  exchanged: int  # bytes of gradients and statistics, of all updates
  exchanges: int  # one an update
  state: int  # bytes
  flops: float

  def compute(self, fraction: float = 1.0) -> float:
    """Seconds on a chip that has this fraction of the batch."""
    return self.flops * fraction / FLOPS

  def exchange(self, chips: int) -> float:
    """Seconds to average over so many chips in a torus."""
    rounds = 2 * (chips - 1) / chips
    return self.exchanged * rounds / LINK + self.exchanges * 2 * HOP * np.sqrt(
      chips
    )

  def end(self) -> int:
    """Chips from which on exchanging takes longer than computing.

    With the batch of the config in all: more chips, less for each.
    """
    chips = 1
    while chips < self.batch and self.compute(0.5 / chips) > self.exchange(
      2 * chips
    ):
      chips *= 2
    return chips


def measure(name: str) -> Cost:
  """Compiles the step of a config's last stage, and reads its cost."""
  experiment = Experiment(stages.plan(config_lib.load(name))[-1])
  step, _ = cost.step_cost(experiment)
  state, updates = experiment.abstract_state(), experiment.objective.updates()
  exchanged = sum(
    state_bytes(state.players[player])
    for update in updates
    for player in update.wrt
  )
  return Cost(
    name,
    experiment.config.batch_size,
    step.parameters,
    int(exchanged),
    len(updates),
    state_bytes(state),
    step.flops,
  )


def report(costs: list[Cost]) -> str:
  """Returns the tables as Markdown."""
  rows = [
    f'| `{c.name}` | {c.parameters:,} | {c.state / 1e6:.1f} MB | {c.batch} '
    f'| {c.flops / 1e9:,.1f} | {c.exchanged / 1e6:.1f} MB |'
    for c in costs
  ]
  fractions = []
  for c in costs:
    each = [c.compute() / (c.compute() + c.exchange(n)) for n in CHIPS]
    fractions.append(
      f'| `{c.name}` | {c.compute() * 1e3:.2f} ms | '
      + ' | '.join(f'{x:.0%}' for x in each)
      + f' | {c.end()} |'
    )
  return _TEXT.format(
    flops=f'{FLOPS / 1e12:.0f}',
    link=f'{LINK / 1e9:.0f}',
    rows='\n'.join(rows),
    head=' | '.join(f'{n} chips' for n in CHIPS),
    rule='---|' * (len(CHIPS) + 3),
    fractions='\n'.join(fractions),
    state=f'{max(c.state for c in costs) / 1e6:,.0f}',
  )


_TEXT = """\
# Scaling, on paper

Made by `python -m launch.scaling` from the cost analysis of the compiled step,
in which every update runs; nothing here was measured on a TPU. A chip is taken
to be a TPU v5e that reaches {flops} TFLOP/s in float32 on such networks, and
exchanges {link} GB/s with its neighbors in a ring.

| config | parameters | state | batch | GFLOP a step | exchanged a step |
|---|---|---|---|---|---|
{rows}

Exchanged is one float32 for each parameter and statistic of each update. Below
is the fraction of a step that computes if each chip has the batch of the config
(weak scaling: the batch of all chips grows, and asks for other learning rates),
and the number of chips over which the batch of the config itself may be split
before exchanging takes longer than computing (strong scaling).

| config | compute | {head} | splits up to |
|{rule}
{fractions}

- What trains in a fraction of a millisecond gains little from a second chip:
  train several seeds at once instead.
- The exchange is taken to come after the backward pass; where the compiler
  overlaps them, the fractions are higher.
- The largest state is {state} MB, of the 16 GB of a chip: none of these models
  needs its parameters or its optimizer sharded. Data parallelism, as `jit` over
  a mesh or as `pmap`, is all that they can use; activations of large pictures
  are split with the batch. So it is for StyleGAN at 1024x1024 pixels with the
  networks of the paper: 49 million parameters, 0.7 GB with Adam's two moments
  and the average of the generator.
- What ends it is the batch: these papers train with 1 to 128 images, and to
  fill 512 chips is a question of learning rates before it is one of links.
"""


def main(names: list[str]) -> None:
  """Prints the costs of configs; those of all are written to SCALING.md."""
  settings.configure()
  costs = []
  for name in names or CONFIGS:
    costs.append(measure(name))
    print(costs[-1], flush=True)
  if not names:
    path = pathlib.Path(__file__).parent / 'SCALING.md'
    path.write_text(report(costs))


if __name__ == '__main__':
  main(sys.argv[1:])
