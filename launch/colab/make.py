"""Makes the notebooks of this folder from the scripts beside them.

python launch/colab/make.py

A script is cut at `# %%` into cells, and at `# %% [markdown]` into text; its
notebook has no outputs. `setup.py` stands for the first cells of each, and
`CLOSING` is the last of those that train.
"""

import json
import pathlib
import re

# Where the project is published. OWNER is replaced before the first release.
REPOSITORY = 'OWNER/gen_jax'

FOLDER = pathlib.Path(__file__).parent
SETUP = FOLDER / 'setup.py'
SCRIPTS = (
  'trained_models.py',
  'autoencoders.py',
  'gans.py',
  'cyclegan.py',
  'stylegan.py',
  'stackgan.py',
)

BADGE = """\
# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](\
https://colab.research.google.com/github/{repository}/blob/main/launch/colab/\
{name}.ipynb)
"""

CLOSING = """\
# %% [markdown]
# The run is in `workdir`: its checkpoints, metrics and pictures, on Drive if
# that was mounted. Another day the same cells go on from there.
"""


def cells(text: str) -> list[dict]:
  """Returns the cells of a script."""
  out = []
  for part in re.split(r'^# %%', text, flags=re.MULTILINE)[1:]:
    kind, _, body = part.partition('\n')
    body = body.strip('\n')
    cell = {'metadata': {}, 'id': f'cell-{len(out)}'}
    if kind.strip() == '[markdown]':
      body = re.sub(r'^# ?', '', body, flags=re.MULTILINE)
      cell |= {'cell_type': 'markdown'}
    else:
      cell |= {'cell_type': 'code', 'execution_count': None, 'outputs': []}
    out.append({**cell, 'source': body.splitlines(keepends=True)})
  return out


def notebook(script: pathlib.Path) -> str:
  """Returns the notebook of a script as text."""
  title, _, rest = script.read_text().partition('# %% setup\n')
  badge = BADGE.format(repository=REPOSITORY, name=script.stem)
  setup = SETUP.read_text().replace('REPOSITORY', REPOSITORY)
  closing = CLOSING if 'workdir' in rest else ''
  content = {
    'cells': cells(badge + title + setup + rest + closing),
    'metadata': {
      'accelerator': 'GPU',
      'kernelspec': {
        'display_name': 'Python 3',
        'language': 'python',
        'name': 'python3',
      },
    },
    'nbformat': 4,
    'nbformat_minor': 5,
  }
  return json.dumps(content, indent=1) + '\n'


def main() -> None:
  for name in SCRIPTS:
    script = FOLDER / name
    script.with_suffix('.ipynb').write_text(notebook(script))


if __name__ == '__main__':
  main()
