"""Stacked autoencoder on MNIST, then a classifier from 100 labels.

  python -m gen_jax.main --config=configs/stacked_autoencoder.py

A stage for each layer, one for all of them together, and one for the classifier
with ten labels a class, drawn by the seed. The autoencoder learns to undo a
deformation, and the classifier's input is masked. Takes 3 minutes on two busy
CPU cores. The median error of the seeds 0 to 4 is 10.7% of the test images, and
23.8% without pretraining.

Most of that gain comes from the deformations: when the classifier is trained
with them too (`deform` and `deform_scratch`), pretraining gains a point.

Variants:
  scratch: the classifier without pretraining, with its own learning rate.
  deform: deformed images for the classifier as well.
  deform_scratch: the same without pretraining.
  masking: masked images in all stages.
  folder: your own images, in a folder for each class; set config.data.path.
  test: a tiny version for the tests.
"""

from typing import Any

from ml_collections import ConfigDict

from gen_jax.config import default, presets

LAYERS = ('layer_0', 'layer_1', 'layer_2')
MASKING = dict(corruption='masking', level=0.5)
DEFORMATION = dict(corruption='deformation', level=2.5)


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the pretrained classifier, or the variant that `arg` names."""
  config = default()
  config.log_every = 250
  presets.cosine(config, dict.fromkeys(LAYERS, 2e-3))
  # When the corruption differs from that of pretraining, small steps keep the
  # pretrained latents; without pretraining the layers need their full rate.
  last = classifier(MASKING, rate=1e-5, steps=400)
  config.stages = (*pretraining(DEFORMATION), last)
  variants = (scratch, deform, deform_scratch, masking, folder, test)
  return presets.choose(config, arg, *variants)


def pretraining(corruption: dict[str, Any]) -> tuple[dict[str, Any], ...]:
  """Returns the stages before the classifier's.

  Args:
    corruption: fields of the objective for the stages that start from images.
  """

  def stage(steps, fields, **more):
    evals = dict(
      error=dict(name='reconstruction.Error', num=0),
      reconstructions=dict(name='figures.Reconstructions'),
      **more,
    )
    objective = networks(
      'StackedAutoencoder', reconstruction='cross_entropy', **fields
    )
    return dict(steps=steps, objective=objective, evals=evals)

  higher = dict(corruption='masking', level=0.3)
  return (
    stage(
      300,
      dict(first=0, depth=1, **corruption),
      dictionary=dict(name='figures.Dictionary'),
    ),
    stage(300, dict(first=1, depth=2, **higher)),
    stage(300, dict(first=2, depth=3, **higher)),
    stage(
      3000,
      dict(first=0, depth=3, **corruption),
      scatter=dict(name='latent_figures.Scatter'),
    ),
  )


def classifier(
  corruption: dict[str, Any], rate: float, steps: int
) -> dict[str, Any]:
  """Returns the last stage.

  Args:
    corruption: fields of the objective.
    rate: learning rate of the layers.
    steps: of this stage.
  """
  optim = default()
  presets.cosine(optim, {**dict.fromkeys(LAYERS, rate), 'classifier': 3e-3})
  return {
    'steps': steps,
    'batch_size': 100,
    'data.labels_per_class': (10,),
    'objective': networks('StackedClassifier', **corruption),
    'optim': optim.optim.to_dict(),
    'evals': dict(
      classification=dict(name='classification.Error', num=0),
      scatter=dict(name='latent_figures.Scatter'),
    ),
  }


def networks(name: str, **fields: Any) -> dict[str, Any]:
  """Returns an objective with the layers that all stages share."""
  return dict(
    name=f'stacked_autoencoder.{name}',
    shape=None,
    widths=(500, 250, 30),
    classes=None,
    hidden_activation='relu',
    latent_activation='linear',
    **fields,
  )


def scratch(config: ConfigDict) -> None:
  """Trains the classifier only."""
  config.stages = (classifier(MASKING, rate=1e-3, steps=400),)


def deform(config: ConfigDict) -> None:
  """Deforms the images of the classifier, too."""
  last = classifier(DEFORMATION, rate=1e-3, steps=1000)
  config.stages = (*pretraining(DEFORMATION), last)


def deform_scratch(config: ConfigDict) -> None:
  """Trains the classifier only, on deformed images."""
  config.stages = (classifier(DEFORMATION, rate=1e-3, steps=1000),)


def masking(config: ConfigDict) -> None:
  """Masks the images in all stages."""
  last = classifier(MASKING, rate=3e-4, steps=400)
  config.stages = (*pretraining(MASKING), last)


def folder(config: ConfigDict) -> None:
  """Trains on your own labeled images, --config.data.path=DIR."""
  presets.folder(config)


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  for stage in config.stages:
    stage['steps'] = 3
    stage['batch_size'] = 8
    stage['objective']['widths'] = (16, 12, 4)
