"""The address of process 0, where JAX's coordination service runs.

JAX aborts a process with a C++ stack trace when it cannot connect to the
service within its timeout, and as soon as it loses the connection. In JAX 0.10
and 0.12 no option changes that: `jax_enable_recoverability` only concerns the
loss of other processes, and the `missed_heartbeat_callback` of the client
cannot be a Python function. Therefore the address is checked before JAX gets
it, and the client of JAX connects to a `Relay` in its own process, which
notices the loss of process 0 before JAX does.
"""

import errno
import os
import re
import socket
import threading
import time
from collections.abc import Callable

from gen_jax.errors import InputError
from gen_jax.runtime import timeout

Address = tuple[str, int]  # host and port

_RESOLVE = 5.0  # seconds for the name service
_ATTEMPT = 5.0  # seconds for one attempt to connect
_PAUSE = 0.25  # seconds between attempts
_BYTES = 2**16  # that a relay passes on at once


def parse(text: str) -> Address:
  """Reads HOST:PORT; an IPv6 address stands in brackets.

  Raises:
    InputError: if it is something else.
  """
  host, _, port = text.rpartition(':')
  if host.startswith('[') and host.endswith(']'):
    host = host[1:-1]
  elif not re.fullmatch(r'[^\s:/\[\]]+', host):
    host = ''
  if not host or not re.fullmatch('[0-9]+', port):
    raise InputError(
      f'--coordinator={text}: expected HOST:PORT of process 0, such as '
      '10.0.0.1:1234 or [::1]:1234.'
    )
  if not 1 <= int(port) <= 65535:
    raise InputError(
      f'--coordinator={text}: the port has to be from 1 to 65535.'
    )
  return host, int(port)


def check_known(address: Address) -> None:
  """Raises InputError unless the host has an address; takes a few seconds."""

  def resolve():
    end = time.monotonic() + _RESOLVE
    while True:
      try:
        return socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
      except socket.gaierror as error:
        if error.errno != socket.EAI_AGAIN or time.monotonic() > end:
          raise
      time.sleep(_PAUSE)

  try:
    # The name service has timeouts of its own, which can be minutes.
    timeout.call(resolve, _RESOLVE)
  except (OSError, UnicodeError) as error:
    raise InputError(
      f'--coordinator: the host {address[0]!r} is unknown ({_reason(error)}): '
      'give the name or the address of the host of process 0.'
    ) from error


def _reason(error: OSError | UnicodeError) -> str:
  if isinstance(error, UnicodeError):
    return 'it is not a valid name'
  if isinstance(error, TimeoutError | socket.gaierror) or not error.errno:
    return error.strerror or str(error)
  return os.strerror(error.errno)


def check_own(address: Address) -> None:
  """Raises InputError unless this process can listen at the address.

  Process 0 calls it, because JAX aborts or waits for minutes where it cannot.
  """
  host, port = address
  if os.environ.get('JAX_COORDINATOR_BIND_ADDRESS'):
    return  # JAX listens there instead
  try:
    server = _listen(port)
  except OSError as error:
    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
      return  # JAX knows other ways to listen
    raise InputError(
      f'process 0 cannot listen on port {port} ({_reason(error)}): give '
      'another port in --coordinator, to all processes.'
    ) from error
  with server:
    try:
      socket.create_connection(address, _ATTEMPT).close()
    except OSError as error:
      raise InputError(
        f'process 0 cannot be reached at {host}:{port} '
        f'({_reason(error)}): --coordinator has to be an address of the host '
        'of process 0.'
      ) from error


def _listen(port):
  if socket.has_dualstack_ipv6():
    return socket.create_server(
      ('', port), family=socket.AF_INET6, dualstack_ipv6=True
    )
  return socket.create_server(('', port))


def wait_for(address: Address, deadline: float) -> None:
  """Returns when a process listens at the address.

  The hosts of a cluster start at different times.

  Raises:
    TimeoutError: no process listens at `deadline`, of time.monotonic().
  """
  while True:
    try:
      socket.create_connection(address, _ATTEMPT).close()
      return
    except (OSError, UnicodeError) as error:
      if time.monotonic() + _PAUSE > deadline:
        raise TimeoutError(_reason(error)) from error
    time.sleep(_PAUSE)


class Relay:
  """Connects the client of JAX in this process to process 0.

  After `guard()`, `lost` is called as soon as process 0 closes a connection,
  also because it was killed. The client does not notice the loss. Before
  `guard()` the client sees it and connects again.
  """

  def __init__(self, address: Address, lost: Callable[[], None]) -> None:
    self._address, self._lost = address, lost
    self._guarded = threading.Event()
    self._server = socket.create_server(('127.0.0.1', 0))
    _start(self._serve)

  @property
  def address(self) -> str:
    """Returns the address that the client of JAX connects to."""
    return '{}:{}'.format(*self._server.getsockname())

  def guard(self) -> None:
    """From now on, calls `lost` at the loss of process 0."""
    self._guarded.set()

  def _serve(self):
    while True:
      near, _ = self._server.accept()
      try:
        far = socket.create_connection(self._address, _ATTEMPT)
      except OSError:
        self._end(near)
        continue
      far.settimeout(None)
      for each in (near, far):  # short messages, for which a process waits
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      closed = threading.Event()  # by the client
      _start(self._send, near, far, closed)
      _start(self._receive, near, far, closed)

  def _send(self, near, far, closed):
    _pass_on(near, far)
    closed.set()
    _shut(far)

  def _receive(self, near, far, closed):
    _pass_on(far, near)
    if not closed.is_set():
      self._end(near)

  def _end(self, near):
    # The client may have connected a moment ago, before guard() was called.
    if self._guarded.wait(1):
      self._lost()
    else:
      _shut(near)


def _start(target, *args):
  threading.Thread(target=target, args=args, daemon=True).start()


def _pass_on(source, target):
  """Copies what a socket receives to another one, until either is closed."""
  try:
    while data := source.recv(_BYTES):
      target.sendall(data)
  except OSError:
    pass


def _shut(connection):
  try:
    connection.shutdown(socket.SHUT_RDWR)
  except OSError:
    pass  # it is closed already
