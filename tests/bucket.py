"""A server that acts as Google Cloud Storage, for workdirs such as gs://a/b.

It has the calls of the JSON API that gcsfs and TensorStore make. Objects are
kept in memory. As in a bucket, there are no folders, and nothing can be
appended.
"""

import base64
import contextlib
import email
import hashlib
import http.server
import itertools
import json
import re
import threading
import urllib.parse

_OBJECT = re.compile(r'/(?:download/)?storage/v1/b/([^/]+)/o/([^/]+)')
_REWRITE = re.compile(r'(.*)/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)')
_MOVE = re.compile(r'(.*)/moveTo/o/([^/]+)')


class Bucket:
  """The objects of all buckets, by 'bucket/name'.

  Attributes:
    objects: content and generation of each.
    fails: is asked for each request, (method, path), whether it fails.
  """

  def __init__(self):
    self.objects = {}
    self.requests = 0
    self.lock = threading.Lock()
    self.fails = lambda method, path: False
    self._generations = itertools.count(1)
    self._uploads = {}
    self._numbers = itertools.count()

  def names(self, prefix=''):
    return sorted(name for name in self.objects if name.startswith(prefix))

  def put(self, bucket, name, content):
    key = f'{bucket}/{name}'
    self.objects[key] = bytes(content), next(self._generations)
    return self.describe(bucket, name)

  def describe(self, bucket, name):
    content, generation = self.objects[f'{bucket}/{name}']
    digest = base64.b64encode(hashlib.md5(content).digest()).decode()
    return {
      'kind': 'storage#object',
      'bucket': bucket,
      'name': name,
      'id': f'{bucket}/{name}/{generation}',
      'generation': str(generation),
      'metageneration': '1',
      'size': str(len(content)),
      'md5Hash': digest,
      'contentType': 'application/octet-stream',
      'timeCreated': '2026-01-01T00:00:00Z',
      'updated': '2026-01-01T00:00:00Z',
    }

  def list(self, bucket, prefix='', delimiter='', startOffset='', endOffset=''):
    items, prefixes = [], set()
    for key in self.names(f'{bucket}/{prefix}'):
      name = key.partition('/')[2]
      if name < startOffset or (endOffset and name >= endOffset):
        continue
      rest = name[len(prefix) :]
      if delimiter and delimiter in rest:
        prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
      else:
        items.append(self.describe(bucket, name))
    found = {'kind': 'storage#objects'}
    if items:
      found['items'] = items
    if prefixes:
      found['prefixes'] = sorted(prefixes)
    return found

  def answer(self, method, target, headers, body):
    """Returns the status, the headers and the content of an answer."""
    parts = urllib.parse.urlsplit(target)
    query = dict(urllib.parse.parse_qsl(parts.query))
    path = parts.path
    self.requests += 1
    if self.fails(method, urllib.parse.unquote(path)):
      return 403, {}, b'{"error": {"code": 403, "message": "refused"}}'
    if path.startswith('/batch/'):
      return self._batch(headers, body)
    if method in ('POST', 'PUT') and path.startswith('/upload/'):
      return self._upload(method, path, query, headers, body)
    if found := _REWRITE.fullmatch(path):
      source = _OBJECT.fullmatch(found[1])
      bucket, name = _names(source)
      if f'{bucket}/{name}' not in self.objects:
        return _missing()
      content, _ = self.objects[f'{bucket}/{name}']
      made = self.put(found[2], urllib.parse.unquote(found[3]), content)
      return _json({'done': True, 'objectSize': made['size'], 'resource': made})
    if found := _MOVE.fullmatch(path):
      bucket, name = _names(_OBJECT.fullmatch(found[1]))
      if f'{bucket}/{name}' not in self.objects:
        return _missing()
      content, _ = self.objects.pop(f'{bucket}/{name}')
      return _json(self.put(bucket, urllib.parse.unquote(found[2]), content))
    if found := _OBJECT.fullmatch(path):
      return self._object(method, *_names(found), query, headers)
    if found := re.fullmatch(r'/storage/v1/b/([^/]+)/o/?', path):
      known = ('prefix', 'delimiter', 'startOffset', 'endOffset')
      return _json(
        self.list(found[1], **{k: v for k, v in query.items() if k in known})
      )
    if found := re.fullmatch(r'/storage/v1/b/([^/]+)/?', path):
      return _json({'name': found[1], 'id': found[1], 'kind': 'storage#bucket'})
    return _missing()

  def _object(self, method, bucket, name, query, headers):
    key = f'{bucket}/{name}'
    if key not in self.objects:
      return _missing()
    if method == 'DELETE':
      del self.objects[key]
      return 204, {}, b''
    content, generation = self.objects[key]
    if query.get('alt') != 'media':
      return _json(self.describe(bucket, name))
    common = {'x-goog-generation': str(generation)}
    if found := re.fullmatch(r'bytes=(\d+)-(\d*)', headers.get('Range', '')):
      start = int(found[1])
      end = min(int(found[2] or len(content) - 1), len(content) - 1)
      if start >= len(content):
        return 416, common, b''
      common['Content-Range'] = f'bytes {start}-{end}/{len(content)}'
      return 206, common, content[start : end + 1]
    return 200, common, content

  def _upload(self, method, path, query, headers, body):
    bucket = re.match(r'/upload/storage/v1/b/([^/]+)/o', path)[1]
    kind = query.get('uploadType')
    if kind == 'media':
      return _json(self.put(bucket, query['name'], body))
    if kind == 'multipart':
      described, content = _split(headers, body)
      name = query.get('name') or json.loads(described)['name']
      return _json(self.put(bucket, name, content))
    if 'upload_id' not in query:  # starts an upload in several parts
      name = query.get('name') or json.loads(body)['name']
      number = str(next(self._numbers))
      self._uploads[number] = (name, bytearray())
      host = headers['Host']
      place = f'http://{host}{path}?uploadType=resumable&upload_id={number}'
      return 200, {'Location': place}, b''
    name, content = self._uploads[query['upload_id']]
    content += body
    span = headers.get('Content-Range', '')
    if span.endswith('/*'):
      return 308, {'Range': f'bytes=0-{len(content) - 1}'}, b''
    return _json(self.put(bucket, name, content))

  def _batch(self, headers, body):
    answers = []
    for part in _parts(headers, body):
      head, _, _ = part.partition(b'\r\n\r\n')
      request = re.search(rb'(DELETE) (\S+) HTTP', part)
      number = re.search(rb'Content-ID: *<?([^>\r\n]+)>?', head, re.I)
      target = urllib.parse.urlsplit(request[2].decode())
      status, _, text = self.answer(
        'DELETE', f'{target.path}?{target.query}', {}, b''
      )
      name = number[1].decode() if number else ''
      answers.append(
        'Content-Type: application/http\r\n'
        f'Content-ID: <response-{name}>\r\n\r\n'
        f'HTTP/1.1 {status} OK\r\n\r\n{text.decode()}\r\n'
      )
    mark = 'batch_answer'
    text = ''.join(f'--{mark}\r\n{answer}' for answer in answers)
    kind = {'Content-Type': f'multipart/mixed; boundary={mark}'}
    return 200, kind, f'{text}--{mark}--'.encode()


def _names(found):
  return found[1], urllib.parse.unquote(found[2])


def _json(value):
  kind = {'Content-Type': 'application/json'}
  return 200, kind, json.dumps(value).encode()


def _missing():
  return 404, {}, b'{"error": {"code": 404, "message": "Not Found"}}'


def _parts(headers, body):
  message = email.message.Message()
  message['Content-Type'] = headers['Content-Type']
  mark = b'--' + message.get_param('boundary').encode()
  return [part.strip(b'\r\n') for part in body.split(mark)[1:-1]]


def _split(headers, body):
  """Returns the contents of the two parts of an upload."""
  mark = re.search(r'boundary="?([^";]+)', headers['Content-Type'])[1].encode()
  first, second = body.split(b'--' + mark)[1:3]
  return tuple(
    re.split(rb'\r?\n\r?\n', part.lstrip(b'\r\n'), maxsplit=1)[1]
    .removesuffix(b'\n')
    .removesuffix(b'\r')
    for part in (first, second)
  )


@contextlib.contextmanager
def serving():
  """Yields a bucket and the address of its server, on this machine."""
  bucket = Bucket()

  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1  # an answer is one packet, for which nobody waits
    disable_nagle_algorithm = True

    def handle_any(self):
      body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
      if self.headers.get('Transfer-Encoding') == 'chunked':
        while size := int(self.rfile.readline(), 16):
          body += self.rfile.read(size)
          self.rfile.readline()
        self.rfile.readline()
      with bucket.lock:
        status, headers, content = bucket.answer(
          self.command, self.path, self.headers, body
        )
      self.send_response(status)
      for name, value in headers.items():
        self.send_header(name, value)
      self.send_header('Content-Length', str(len(content)))
      self.end_headers()
      if self.command != 'HEAD':
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any

    def log_message(self, *args):
      pass

  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  server.daemon_threads = True
  server.handle_error = lambda *_: None  # a client that closed its connection
  threading.Thread(target=server.serve_forever, daemon=True).start()
  try:
    yield bucket, f'http://127.0.0.1:{server.server_port}'
  finally:
    server.shutdown()
    server.server_close()
