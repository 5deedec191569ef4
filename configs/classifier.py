"""The reference classifier of MNIST, which measures generated digits.

  python -m gen_jax.main --config=configs/classifier.py

Takes about 8 minutes on one CPU core and classifies 99.5% of the test images
correctly. Its averaged parameters are part of the package; evaluators load
them, so that nobody has to train it again:

  python -m gen_jax export --workdir=runs/classifier --out=NAME.safetensors \
    --metric=classification/accuracy --dtype=float16

For your own labeled images train `folder` and name its workdir in the
evaluators: --config.evals.fidelity.classifier=runs/classifier

Variants:
  fashion_mnist: Fashion-MNIST; 92.1% of the test images, 10 minutes.
  folder: your own images, in a folder for each class; set config.data.path.
  samples: half as many steps, for `gen_jax classification_score`.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the classifier of MNIST, or the variant that `arg` names."""
  config = default()
  config.steps = 6000
  config.log_every = 500
  config.checkpoint.update(every=0, keep=1)
  config.objective = dict(
    name='classifier.Classifier',
    network=dict(
      name='classifier.ConvClassifier',
      classes=None,
      channels=(32, 64, 128),
      kernel=5,
      features=128,
      dropout=0.4,
    ),
    corruption='deformation',
    level=1.0,
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.ema.model = 1 - 10 / config.steps  # over a tenth of the steps
  config.evals = dict(classification=dict(name='classification.Error', every=0))
  return presets.choose(config, arg, fashion_mnist, folder, samples, test)


def fashion_mnist(config: ConfigDict) -> None:
  """Trains on clothes, whose deformation could change their class."""
  presets.fashion_mnist(config)
  config.objective.level = 0.0


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  presets.folder(config)


def samples(config: ConfigDict) -> None:
  """Trains for half as many steps."""
  config.steps = 3000
  config.ema.model = 1 - 10 / config.steps


def test(config: ConfigDict) -> None:
  """Trains a tiny network for a few steps."""
  presets.test(config)
  config.objective.network.update(channels=(4, 8), features=16)
