"""Calls that have to return within some seconds."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any


def call(fn: Callable[[], Any], seconds: float) -> Any:
  """Returns what `fn` returns, and raises what it raises.

  Libraries that resolve names or retry may block for minutes and take no
  deadline. `fn` runs in a thread of its own, which is left behind when it takes
  too long.

  Raises:
    TimeoutError: it took longer.
  """
  future: concurrent.futures.Future = concurrent.futures.Future()

  def run():
    try:
      future.set_result(fn())
    except Exception as error:
      future.set_exception(error)

  threading.Thread(target=run, daemon=True).start()
  if not concurrent.futures.wait([future], seconds).done:
    raise TimeoutError(f'no answer in {seconds:g} s')
  return future.result()
