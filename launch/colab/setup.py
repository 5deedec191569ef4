# %%
# Installs the project, unless it is there.
import importlib.util
import os
import pathlib
import subprocess
import sys

repository = 'REPOSITORY'  # @param {type: "string"}
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
