"""Packs cases of TensorFlow's own rewriter into testdata: one archive per case, for tests/conformance.rs.

usage: make_cases.py FOLDER OUT [CASE ...]        (needs `pip install zstandard`)

FOLDER/CASE/ holds `before.meta` and, per option set S, `S.json` (options, whether batch norms were folded, the error if
TensorFlow refused) and `S.after.meta` (TensorFlow's result). OUT/CASE.tar.zst holds the same files; look inside with
`tar --zstd -xf`. All cases of FOLDER are packed unless some are named. What changes on the way:
- of an error, its first line stays, and `ops` names what a refusal must name: one of them, or whatever it likes where
  nothing says which op TensorFlow stumbled over;
- a set that TensorFlow refuses for want of a global step is replaced by its result in a graph where one was made
  beforehand (`S.created.after.meta`), as making one is what is wanted; without such a result it is left out;
- sets whose result differs from run to run are left out.
"""
import io
import json
import re
import sys
import tarfile
from pathlib import Path

import zstandard

LAYER_OPS = {b'Conv2D', b'MatMul', b'DepthwiseConv2dNative'}
SKIPPED = (b'gradients/', b'RMSProp/', b'Adagrad/', b'Const_', b'HistogramSummary', b'ScalarSummary')
WEIGHTS = (b'/weights/', b'/depthwise_weights')
NO_GLOBAL_STEP = "Tried to convert 'x' to a tensor"
NAMED = [
    r'for op: name: "([^"]+)"',
    r'Failed to quantize op: ([^\s,]+),',
    r'for ops: \[([^\]]*)\]',
    r"The name \\?'([^']+)\\?' refers to",
    r'Variable (\S+) already exists',
    r'inputs to op: ([^\s:]+)',
    r'failed, ([^\s:]+)(?::\d+)? had no outputs',
    r'for op (\S+) inputs',
]


def fields(message):
  """The fields of an encoded message: number, value."""
  position = 0

  def varint():
    nonlocal position
    value = shift = 0
    while True:
      byte = message[position]
      position += 1
      value |= (byte & 127) << shift
      shift += 7
      if byte < 128:
        return value

  while position < len(message):
    tag = varint()
    if tag & 7 == 0:
      yield tag >> 3, varint()
    else:
      length = {1: 8, 5: 4}.get(tag & 7) or varint()
      yield tag >> 3, message[position:position + length]
      position += length


def nodes(meta_graph):
  graph = next(value for number, value in fields(meta_graph) if number == 2)
  for number, node in fields(graph):
    if number == 1:
      parts = list(fields(node))
      yield next(v for n, v in parts if n == 1), next(v for n, v in parts if n == 2), [v for n, v in parts if n == 3]


def layers_without_weights(before):
  """What "No inputs to quantize" can be about, where the message does not say."""
  for name, op, inputs in nodes(before):
    if op in LAYER_OPS and not name.startswith(SKIPPED) and not any(w in i + b':0' for i in inputs for w in WEIGHTS):
      yield name.decode()


def refused_ops(error, case_ops, before):
  for pattern in NAMED:
    found = re.search(pattern, error)
    if found:
      return found.group(1).split(', ')
  if 'No inputs to quantize for' in error:
    return list(layers_without_weights(before))
  return case_ops


def prepared(path, before):
  """The set's description and the path of its result, or nothing when it proves nothing."""
  described = json.loads(path.read_text())
  if described.get('nondeterministic'):
    return None
  stem = path.name[:-len('.json')]
  after = path.with_name(stem + '.after.meta')
  result = {'fold': described['fold'], 'options': described['options']}
  if described.get('allow_training_ops'):
    result['options']['allow_training_ops'] = True
  error, ops = described.get('error'), [op.rstrip('/') for op in described.get('error_ops', [])]
  if error and NO_GLOBAL_STEP in error:
    after = path.with_name(stem + '.created.after.meta')
    error, ops = described.get('created_error'), described.get('created_error_ops', [])
    if not error and not after.exists():
      return None
  if error:
    result['error'] = error.split('\n')[0]
    result['ops'] = refused_ops(error, ops, before)
    if 'global_step' in error:  # the step is at fault, whichever layer asks for it first
      result['ops'] = result['ops'] + ['global_step']
    return result, None
  return result, after


def pack(case):
  before = (case / 'before.meta').read_bytes()
  files = [('before.meta', before)]
  for path in sorted(case.glob('*.json')):
    made = prepared(path, before)
    if made:
      described, after = made
      files.append((path.name, (json.dumps(described, indent=1, sort_keys=True) + '\n').encode()))
      if after:
        files.append((path.name[:-len('.json')] + '.after.meta', after.read_bytes()))
  archive = io.BytesIO()
  with tarfile.open(fileobj=archive, mode='w', format=tarfile.USTAR_FORMAT) as tar:
    for name, content in files:
      info = tarfile.TarInfo(name)
      info.size = len(content)
      tar.addfile(info, io.BytesIO(content))
  level = zstandard.ZstdCompressionParameters.from_level(19, window_log=24, enable_ldm=True)
  return zstandard.ZstdCompressor(compression_params=level).compress(archive.getvalue())


def main():
  folder, out, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
  out.mkdir(parents=True, exist_ok=True)
  cases = [folder / case for case in wanted] or sorted(path.parent for path in folder.glob('*/before.meta'))
  total = 0
  for case in cases:
    packed = pack(case)
    total += len(packed)
    (out / (case.name + '.tar.zst')).write_bytes(packed)
  print('%d cases, %d bytes' % (len(cases), total))


if __name__ == '__main__':
  main()
