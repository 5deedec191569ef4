# %%
# Installs the project, unless it is there.
import importlib.util
import os
import pathlib
import subprocess
import sys

repository = 'https://github.com/REPOSITORY'  # @param {type: "string"}
if not importlib.util.find_spec('gen_jax'):
  subprocess.run(['git', 'clone', '-q', repository, 'gen_jax'], check=True)
  pip = [sys.executable, '-m', 'pip', 'install', '-q', '-e', 'gen_jax']
  subprocess.run(pip, check=True)
  os.chdir('gen_jax')
  sys.path.insert(0, '.')
# %%
# Runs are kept on Drive if it is mounted, and go on there another day.
mount_drive = False  # @param {type: "boolean"}
if mount_drive:
  from google.colab import drive

  drive.mount('/content/drive')
drive_folder = pathlib.Path('/content/drive/MyDrive')
runs = (
  drive_folder / 'gen_jax' if drive_folder.is_dir() else pathlib.Path('runs')
)
# %%
# What the cells below share.
from IPython.display import Image, display

from gen_jax.storage import plot
from gen_jax.storage.images import encode_png

DRAWS = ('figures', 'latent_figures', 'style_figures', 'captioned')


def leave_out_numbers(config):
  """Keeps what draws; what measures may take longer than a short training."""
  for part in (config, *config.stages):
    for name, spec in list(part.get('evals', {}).items()):
      module, _, kind = spec['name'].partition('.')
      if module not in DRAWS and kind != 'Grid':
        del part['evals'][name]


def show_newest(workdir):
  """Shows the newest of each kind of picture."""
  for folder in sorted((workdir / 'images').glob('**/')):
    files = [p for p in folder.glob('*.png') if p.stem.isdigit()]
    if files:
      newest = max(files, key=lambda p: int(p.stem))
      print(folder.name, 'after', newest.stem, 'steps')
      display(Image(newest.read_bytes(), width=500))


def show(images, objective, width):
  """Shows images beside each other."""
  picture = plot.draw(images, objective.pixels)
  display(Image(encode_png(picture), width=width))


def sliders(function, **ranges):
  """Puts what a function takes under sliders; without them, calls it once."""
  try:
    import ipywidgets
  except ImportError:
    function()
  else:
    ipywidgets.interact(function, **ranges)
