"""Further places for the metrics and pictures of a run, such as TensorBoard.

`metrics.jsonl` and `images/` of a workdir have all of them. A logger is an
extra: its library is imported only when it is named, and a failure after the
start of a run costs the logger alone.
"""

import contextlib
import importlib.util
import json
import pathlib
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gen_jax.errors import InputError, first_line, nearest
from gen_jax.runtime import timeout
from gen_jax.storage import events, mlflow_run, trackio_run, wandb_run
from gen_jax.storage.logger import Logger, Run

DEFAULT = ('tensorboard',)
_NONE = 'none'

# A library is imported, a server answers, a database is made.
_OPENING_SECONDS = 120
_CALL_SECONDS = 60  # until a logger that is at work counts as lost
_POLL_SECONDS = 0.2
_IDENTIFIER = re.compile(r'[\w=-]{1,300}')


class Kind(NamedTuple):
  """A kind of logger.

  Attributes:
    title: its name in messages.
    start: returns a logger and the identifier of the run, or None if it has
      no use for one.
    library: that it imports.
    what: it writes, in words, in the plural.
    waits: whether it may have to wait for a server or a database, so that it
      gets a thread of its own.
    local: whether it writes to the workdir, so that this is on a disk.
  """

  title: str
  start: Callable[[Run], tuple[Logger, str | None]]
  library: str
  what: str
  waits: bool = True
  local: bool = False


KINDS = {
  'tensorboard': Kind(
    'TensorBoard',
    events.start,
    'tensorboardX',
    'TensorBoard files in {workdir}/tensorboard',
    waits=False,
    local=True,
  ),
  'wandb': Kind(
    'Weights & Biases', wandb_run.start, 'wandb', 'metrics for Weights & Biases'
  ),
  'mlflow': Kind('MLflow', mlflow_run.start, 'mlflow', 'metrics for MLflow'),
  'trackio': Kind(
    'trackio', trackio_run.start, 'trackio', 'metrics for trackio'
  ),
}


# Of the flag --log of commands that train.
HELP = (
  'where metrics and pictures go besides metrics.jsonl and images/: a list '
  f'with commas of {", ".join(KINDS)}; {_NONE} for nothing else'
)


def parse(text: str) -> tuple[str, ...]:
  """Returns the names in a list with commas; () of '' and 'none'.

  Raises:
    InputError: as for `check`.
  """
  names = [name.strip() for name in text.split(',')]
  names = tuple(dict.fromkeys(filter(None, names)))
  if names == (_NONE,):
    return ()
  check(names)
  return names


def check(names: Sequence[str]) -> None:
  """Checks that there are such loggers, and that they are installed.

  Raises:
    InputError: when a name is unknown, or a library is missing.
  """
  for name in names:
    if name == _NONE:
      raise InputError(f'--log: give {_NONE!r} alone, or leave it out.')
    if name not in KINDS:
      hint = nearest(name, [*KINDS, _NONE])
      raise InputError(f'--log={name}: there is no such logger.{hint}')
    if importlib.util.find_spec(KINDS[name].library) is None:
      raise InputError(
        f'--log={name}: {KINDS[name].title} is not installed: '
        f"pip install 'gen_jax[{name}]'"
      )


def start(
  names: Sequence[str],
  workdir: Any,
  config: Mapping[str, Any],
  resumes: bool,
) -> tuple[Logger, ...]:
  """Starts loggers, which from then on never fail and never wait.

  Args:
    names: of `KINDS`.
    workdir: of the run; `loggers.json` in it has the identifiers of the run.
    config: of the run, as JSON holds it.
    resumes: whether they go on with the run that is noted in the workdir.

  Raises:
    InputError: when one cannot be started, such as without its server.
  """
  from gen_jax.storage import workdir as workdir_lib  # JAX: slow to import

  check(names)
  file = workdir / 'loggers.json'
  noted = _identifiers(file) if resumes and names else {}
  loggers, found = [], dict(noted)
  try:
    for name in names:
      if KINDS[name].local and not isinstance(workdir, pathlib.Path):
        print(f'{KINDS[name].title} has no files in {workdir}', flush=True)
        continue
      run = Run(workdir, config, noted.get(name))
      logger, identifier = _start(name, run)
      loggers.append(logger)
      if identifier is not None:
        found[name] = identifier
    stale = not resumes and file.exists()  # of another run
    if found != noted or stale:
      text = json.dumps(found, indent=2) + '\n'
      workdir_lib.write_record(workdir, 'loggers', text)
  except BaseException:
    for logger in loggers:
      logger.close()
    raise
  return tuple(loggers)


def _start(name: str, run: Run) -> tuple[Logger, str | None]:
  kind = KINDS[name]
  try:
    if kind.waits:
      logger, identifier = timeout.call(
        lambda: kind.start(run), _OPENING_SECONDS
      )
    else:
      logger, identifier = kind.start(run)
  except Exception as error:  # each library has its own
    reason = first_line(error)
    if not isinstance(error, InputError | TimeoutError):
      reason = f'{type(error).__name__}: {reason}'
    raise InputError(
      f'--log={name}: {kind.title} cannot be used: {reason.rstrip(".")}.'
    ) from error
  what = kind.what.format(workdir=run.workdir)
  surviving = Surviving(logger, what)
  return (Background(surviving) if kind.waits else surviving), identifier


def _identifiers(file: Any) -> dict[str, str]:
  """Returns what `loggers.json` says, which somebody else may have written."""
  try:
    found = json.loads(file.read_text()) if file.exists() else {}
    if not isinstance(found, dict):
      raise ValueError('it is no JSON object')
    for value in found.values():
      if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise ValueError(f'{value!r} is no identifier of a run')
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(
      f'{file} cannot be read: {first_line(error)}. Remove it to log to new '
      'runs.'
    ) from error
  return found


class Surviving:
  """Passes all on to a logger until that fails, which ends it alone."""

  def __init__(self, logger: Logger, what: str) -> None:
    """Wraps a logger.

    Args:
      logger: may raise errors.
      what: it writes, in words, in the plural.
    """
    self._logger, self._what = logger, what
    self._ended = False

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""
    self._try(lambda: self._logger.scalars(step, values))

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation."""
    self._try(lambda: self._logger.image(step, name, shape, content))

  def close(self) -> None:
    """Closes the logger; what comes later is dropped."""
    self._try(self._logger.close)
    self._ended = True

  def end(self, reason: str) -> None:
    """Says, once, why the logger ends here; what comes later is dropped."""
    if self._ended:
      return
    self._ended = True
    print(
      f'{self._what} cannot be written: {reason}. The run continues without '
      'them; metrics.jsonl and images/ have the same.',
      file=sys.stderr,
      flush=True,
    )

  def _try(self, call: Callable[[], None]) -> None:
    if self._ended:
      return
    try:
      call()
    except Exception as error:  # each library has its own
      self.end(_reason(error))
      with contextlib.suppress(Exception):  # of what is left in its buffer
        self._logger.close()


def _reason(error: Exception) -> str:
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return f'{type(error).__name__}: {first_line(error)}'.rstrip('.: ')


class Background:
  """Hands all on to a thread, so that a run does not wait for a network."""

  def __init__(self, logger: Surviving) -> None:
    self._logger = logger
    self._calls: queue.SimpleQueue = queue.SimpleQueue()
    self._since: float | None = None  # when the call at work began
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""
    self._put(lambda: self._logger.scalars(step, values))

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation."""
    self._put(lambda: self._logger.image(step, name, shape, content))

  def close(self) -> None:
    """Waits until all is written, as long as the logger answers."""
    self._put(self._logger.close)
    self._calls.put(None)
    while self._thread.is_alive() and not self._is_lost():
      self._thread.join(_POLL_SECONDS)

  def _put(self, call: Callable[[], None]) -> None:
    if not self._is_lost():
      self._calls.put(call)

  def _is_lost(self) -> bool:
    """Whether the call at work takes too long; then it says so, once."""
    since = self._since
    lost = since is not None and time.monotonic() - since > _CALL_SECONDS
    if lost:
      self._logger.end(f'no answer in {_CALL_SECONDS:g} s')
    return lost

  def _work(self) -> None:
    while (call := self._calls.get()) is not None:
      self._since = time.monotonic()
      call()
      self._since = None
