"""Writes what TensorFlow infers of the shapes of one op after the other: `ops.pb`, `shapes.txt`.

usage: make.py OUT        (TensorFlow 2.15)

`ops.pb` is a GraphDef in which every node whose name begins with an op's is a case: the op on inputs of which everything,
something or nothing is known. `shapes.txt` has a line for each output of a case: its name, its element type, its shape;
`?` is what TensorFlow does not know.
"""
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1, raw = tf.compat.v1, tf.raw_ops
F, I, B = tf.float32, tf.int32, tf.bool
cases = []


def given(shape=None, dtype=F):
  """A tensor of that shape; nothing is known of None."""
  if shape == []:  # which a Placeholder cannot say
    return raw.PlaceholderWithDefault(input=v1.placeholder(dtype), shape=[])
  return v1.placeholder(dtype, shape)


def const(*numbers, dtype=np.int32):
  return tf.constant(np.array(numbers[0] if len(numbers) == 1 else numbers, dtype))


def case(op, attrs=None, **inputs):
  """One op on these inputs and attributes."""
  count = sum(other == op for other, _ in cases)
  outputs = getattr(raw, op)(name=f'{op}_{count}', **inputs, **(attrs or {}))
  if isinstance(outputs, tf.Operation):
    node = outputs
  else:
    first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
    node = first.op
  cases.append((op, node))
  return node


def old_case(op, inputs, **attrs):
  """As `case`, of an op that TensorFlow takes only from graphs made before it was replaced."""
  count = sum(other == op for other, _ in cases)
  name = f'{op}_{count}'
  part = v1.GraphDef()
  part.versions.producer = 8
  node = part.node.add(name=name, op=op)
  feeds = {}
  for index, tensor in enumerate(inputs):
    feed = part.node.add(name=f'{name}_in{index}', op='Placeholder')
    feed.attr['dtype'].type = tensor.dtype.base_dtype.as_datatype_enum
    node.input.append(feed.name)
    feeds[feed.name] = tensor
  for key, value in attrs.items():
    if isinstance(value, tf.DType):
      node.attr[key].type = value.as_datatype_enum
    elif isinstance(value, bool):
      node.attr[key].b = value
    elif isinstance(value, int):
      node.attr[key].i = value
    elif isinstance(value, str):
      node.attr[key].s = value.encode()
    elif isinstance(value, tf.TensorShape):
      node.attr[key].shape.CopyFrom(value.as_proto())
    else:
      node.attr[key].list.i.extend(value)
  tf.import_graph_def(part, feeds, name='')
  cases.append((op, v1.get_default_graph().get_operation_by_name(name)))


SOME = [None, [2, 3, 4, 5], [None, 6, None, 8], [], [7], [None]]


def elementwise():
  for op in ['Relu', 'Relu6', 'Elu', 'Selu', 'LeakyRelu', 'Softplus', 'Softsign']:
    for shape in SOME:
      case(op, features=given(shape))
  for op in ['Sigmoid', 'Tanh', 'Neg', 'Abs', 'Exp', 'Expm1', 'Log', 'Log1p', 'Sqrt', 'Rsqrt', 'Square', 'Reciprocal', 'Inv',
             'Floor', 'Ceil', 'Round', 'Rint', 'Sign', 'Sin', 'Cos', 'Erf', 'IsFinite', 'IsInf', 'IsNan', 'ZerosLike', 'OnesLike']:
    for shape in SOME:
      case(op, x=given(shape))
  for op in ['Identity', 'StopGradient', 'PreventGradient', 'Snapshot']:
    for shape in SOME:
      case(op, input=given(shape))
  for op in ['Softmax', 'LogSoftmax']:
    for shape in [None, [2, 3], [None, 4], [2, None, None, 5]]:
      case(op, logits=given(shape))
  for shape in SOME:
    case('Cast', x=given(shape), attrs={'DstT': I})
    case('CheckNumerics', tensor=given(shape), attrs={'message': ''})
    case('LogicalNot', x=given(shape, B))
    case('Print', input=given(shape), data=[given([3])])
    case('FakeQuantWithMinMaxArgs', inputs=given(shape))
    case('FakeQuantWithMinMaxVars', inputs=given(shape), min=given([]), max=given([]))
    case('Dequantize', input=given(shape, tf.quint8), min_range=given([]), max_range=given([]))
    case('L2Loss', t=given(shape))
    case('Rank', input=given(shape))
    case('Size', input=given(shape))
    case('Size', input=given(shape), attrs={'out_type': tf.int64})
    case('Shape', input=given(shape))
    case('Shape', input=given(shape), attrs={'out_type': tf.int64})
    case('Diag', diagonal=given(shape if shape != [] else None))
    old_case('QuantizeAndDequantize', [given(shape)], T=F)
  for shape in [None, [2, 3], [None, 4], [2, None, None, 5], [2, 3, 3, None]]:
    case('FakeQuantWithMinMaxVarsPerChannel', inputs=given(shape), min=given([None]), max=given([None]))
  case('IdentityN', input=[given([2]), given(None), given([None, 3])])
  case('ShapeN', input=[given([2]), given(None), given([None, 3])])
  for shape in [[2, 3], [None, None], [4, None, None, 5]]:
    for bias in [None, [None], [shape[-1] or 6]]:
      case('BiasAdd', value=given(shape), bias=given(bias))
      old_case('BiasAddV1', [given(shape), given(bias)], T=F)
  case('BiasAdd', value=given(None), bias=given([3]))
  for shape in [None, [2, None, 4, 5]]:
    case('BiasAdd', value=given(shape), bias=given([3]), attrs={'data_format': 'NCHW'})
  pairs = [(None, None), (None, [3]), ([3], None), ([2, 3], [2, 3]), ([2, 3], [3]), ([2, 1], [4]), ([None, 3], [5, 1]), ([None, 1], [5]),
           ([None, 3], [None, 3]), ([], [4, None]), ([None], [1]), ([2, None, 4, 5], [5])]
  for op in ['Add', 'AddV2', 'Sub', 'Mul', 'Div', 'DivNoNan', 'RealDiv', 'FloorDiv', 'TruncateDiv', 'Mod', 'FloorMod', 'Maximum', 'Minimum', 'Pow',
             'SquaredDifference', 'Less', 'LessEqual', 'Greater', 'GreaterEqual', 'Equal', 'NotEqual']:
    for x, y in pairs:
      dtype = I if op == 'TruncateDiv' else F
      case(op, x=given(x, dtype), y=given(y, dtype))
  for op in ['Equal', 'NotEqual']:
    for x, y in pairs + [([2, 3], [4])]:
      case(op, x=given(x), y=given(y), attrs={'incompatible_shape_error': False})
  for op in ['LogicalAnd', 'LogicalOr']:
    for x, y in pairs:
      case(op, x=given(x, B), y=given(y, B))
  for c, x, y in [(None, [2, 3], None), (None, None, [2, 3]), ([2], [2, 3], [2, None]), ([], [None, 3], [2, None]), (None, None, None),
                  ([2, 3], [2, None], None), ([2], None, None), ([2, 3], None, None)]:
    case('Select', condition=given(c, B), x=given(x), y=given(y))
  for c, x, y in [(None, [2, 3], [2, 3]), ([], None, [2, 3]), ([2, 1], [2, 3], [None]), ([], [None, 3], [2, 1]), ([5, 1, 1], [3], [4, 1])]:
    case('SelectV2', condition=given(c, B), t=given(x), e=given(y))
  for shapes in [[[2, 3], [2, 3]], [[2, None], [None, 3]], [None, [2, 3]], [[2, 3], None], [None, None], [None, [None, 4], [5, None]]]:
    case('AddN', inputs=[given(shape) for shape in shapes])
    same_rank = [[2, 3] if shape is None else shape for shape in shapes]
    case('Merge', inputs=[given(shape) for shape in shapes])
    case('Merge', inputs=[given(shape) for shape in same_rank])
  case('Merge', inputs=[given([2, 3]), given([2])])
  for shape in SOME:
    case('Switch', data=given(shape), pred=given([], B))
    case('Enter', data=given(shape), attrs={'frame_name': 'f'})
    case('Enter', data=given(shape), attrs={'frame_name': 'f', 'is_constant': True})
    case('Exit', data=given(shape))
    case('NextIteration', data=given(shape))


def variables():
  for shape in [None, [], [2, 3], [None, 3]]:
    shape = tf.TensorShape(shape)
    case('Placeholder', attrs={'dtype': F, 'shape': shape})
    case('PlaceholderV2', attrs={'dtype': F, 'shape': shape})
    case('PlaceholderWithDefault', input=given(None), attrs={'shape': shape})
    case('PlaceholderWithDefault', input=given([2, 3] if shape.rank else None), attrs={'shape': shape})
    variable = case('VariableV2', attrs={'dtype': F, 'shape': shape}).outputs[0]
    case('Variable', attrs={'dtype': F, 'shape': shape})
    case('IsVariableInitialized', ref=variable)
    case('RefIdentity', input=variable)
    case('RefEnter', data=variable, attrs={'frame_name': 'f'})
    case('RefExit', data=variable)
    case('RefNextIteration', data=variable)
    case('RefSwitch', data=variable, pred=given([], B))
    case('RefMerge', inputs=[variable, variable])
    for value in [None, [None, 3] if shape.rank else None]:
      case('Assign', ref=variable, value=given(value))
      case('Assign', ref=variable, value=given(value), attrs={'validate_shape': False})
      case('AssignAdd', ref=variable, value=given(value))
      case('AssignSub', ref=variable, value=given(value))
    handle = case('VarHandleOp', attrs={'dtype': F, 'shape': shape}).outputs[0]
    case('VarIsInitializedOp', resource=handle)
    case('ReadVariableOp', resource=handle, attrs={'dtype': F})
    case('ReadVariableOp', resource=raw.Identity(input=handle), attrs={'dtype': F})
    case('ReadVariableOp', resource=raw.Enter(data=handle, frame_name='f', is_constant=True), attrs={'dtype': F})
    case('ReadVariableOp', resource=raw.Switch(data=handle, pred=given([], B))[1], attrs={'dtype': F})
  for value in [3.0, [1, 2], [[1.0, 2.0]], np.zeros([0, 3])]:
    value = tf.make_tensor_proto(value)
    case('Const', attrs={'value': value, 'dtype': tf.as_dtype(value.dtype)})


def vectors():
  """Vectors of dimensions as graphs make them."""
  partial = raw.Shape(input=given([None, 6, 7]))
  whole = raw.Shape(input=given([2, 6, 7]))
  def element(vector, index):
    return raw.StridedSlice(input=vector, begin=const([index]), end=const([index + 1]), strides=const([1]), shrink_axis_mask=1)
  def part(vector, begin, end, **masks):
    return raw.StridedSlice(input=vector, begin=const([begin]), end=const([end]), strides=const([1]), **masks)
  yield given(None, I)
  yield given([3], I)
  yield given([None], I)
  yield const(4, 5)
  yield raw.Identity(input=const(4, 5))
  yield const(4, 5, dtype=np.int64)
  yield tf.constant([], I)
  yield partial
  yield whole
  yield raw.Shape(input=given(None))
  yield raw.Shape(input=given([None, 3]), out_type=tf.int64)
  yield raw.Cast(x=raw.Shape(input=given([None, 3]), out_type=tf.int64), DstT=I)
  yield raw.Identity(input=partial)
  yield raw.ShapeN(input=[given([4]), given([None, 5])])[1]
  yield raw.Pack(values=[element(partial, 0), element(partial, 1), const(9)])
  yield raw.Pack(values=[element(whole, 0), element(whole, -3)])
  yield raw.Pack(values=[given([], I), const(9)])
  yield raw.ConcatV2(values=[part(partial, 0, 2), const([3])], axis=const(0))
  yield raw.ConcatV2(values=[given([2], I), const([3])], axis=const(0))
  yield raw.ConcatV2(values=[given(None, I), const([3])], axis=const(0))
  yield part(whole, 1, 0, end_mask=1)
  yield part(whole, 5, -1, begin_mask=1)
  yield part(partial, -2, 3)
  yield part(given(None, I), 0, 2)


def made_of_vectors():
  for vector in vectors():
    case('Fill', dims=vector, value=given([]))
    case('RandomUniform', shape=vector, attrs={'dtype': F})
    case('RandomStandardNormal', shape=vector, attrs={'dtype': F})
    case('TruncatedNormal', shape=vector, attrs={'dtype': F})
    case('Reshape', tensor=given(None), shape=vector)
    case('BroadcastTo', input=given([]), shape=vector)
    if vector.shape.is_compatible_with([3]):
      case('Tile', input=given([2, None, 4]), multiples=vector)
    case('Tile', input=given(None), multiples=vector)
  for tensor, shape in [([2, 6], [-1, 4]), ([None, 6], [-1, 4]), ([None, 6], [3, 4]), ([2, 3, 4], [-1]), ([2, 0], [-1, 3]), ([6], [2, 3]), ([], [-1, 1])]:
    case('Reshape', tensor=given(tensor), shape=const(shape))
  image = given([None, 4, 4, 3])
  batch = raw.StridedSlice(input=raw.Shape(input=image), begin=const([0]), end=const([1]), strides=const([1]), shrink_axis_mask=1)
  case('Reshape', tensor=image, shape=raw.Pack(values=[batch, const(-1)]))
  image = given([2, 4, 4, 3])
  batch = raw.StridedSlice(input=raw.Shape(input=image), begin=const([0]), end=const([1]), strides=const([1]), shrink_axis_mask=1)
  case('Reshape', tensor=image, shape=raw.Pack(values=[batch, const(-1)]))
  for numbers in [(0, 10, 3), (10, 0, -4), (0, 0, 1), (0, 9, 3), (0, 1, 1)]:
    case('Range', start=const(numbers[0]), limit=const(numbers[1]), delta=const(numbers[2]))
  case('Range', start=const(0), limit=given([], I), delta=const(1))


def windows():
  images = [None, [2, 9, 10, 3], [None, 9, None, 3], [None, 224, 224, None], [2, 8, 9, 3]]
  filters = [None, [3, 3, 3, 16], [None, 3, 3, None], [2, 5, 3, 1]]
  for image in images:
    for filter in filters:
      for padding, strides in [('SAME', [1, 2, 2, 1]), ('VALID', [1, 1, 2, 1])]:
        case('Conv2D', input=given(image), filter=given(filter), attrs={'strides': strides, 'padding': padding})
        equal = [1, strides[2], strides[2], 1]
        case('DepthwiseConv2dNative', input=given(image), filter=given(filter), attrs={'strides': equal, 'padding': padding})
  case('Conv2D', input=given([2, 20, 20, 3]), filter=given([3, 3, 3, 4]), attrs={'strides': [1] * 4, 'padding': 'VALID', 'dilations': [1, 2, 3, 1]})
  case('Conv2D', input=given([2, 20, 20, 3]), filter=given([3, 3, 3, 4]), attrs={'strides': [1] * 4, 'padding': 'SAME', 'dilations': [1, 2, 2, 1]})
  case('Conv2D', input=given([2, 20, 20, 3]), filter=given([3, 3, 3, 4]), attrs={'strides': [1] * 4, 'padding': 'EXPLICIT', 'explicit_paddings': [0, 0, 1, 2, 3, 4, 0, 0]})
  for image in [None, [2, 3, 9, None]]:
    case('Conv2D', input=given(image), filter=given([3, 3, 3, 4]), attrs={'strides': [1, 1, 2, 2], 'padding': 'VALID', 'data_format': 'NCHW'})
    case('DepthwiseConv2dNative', input=given(image), filter=given([3, 3, 3, 4]), attrs={'strides': [1, 1, 2, 2], 'padding': 'SAME', 'data_format': 'NCHW'})
  case('DepthwiseConv2dNative', input=given([2, 20, 20, 3]), filter=given([3, 3, 3, 4]), attrs={'strides': [1] * 4, 'padding': 'VALID', 'dilations': [1, 2, 2, 1]})
  for image in images:
    for padding in ['SAME', 'VALID']:
      attrs = {'ksize': [1, 3, 2, 1], 'strides': [1, 2, 1, 1], 'padding': padding}
      case('MaxPool', input=given(image), attrs=attrs)
      case('AvgPool', value=given(image), attrs=attrs)
      case('MaxPoolV2', input=given(image), ksize=const(1, 3, 2, 1), strides=const(1, 2, 1, 1), attrs={'padding': padding})
      case('MaxPoolV2', input=given(image), ksize=given([4], I), strides=const(1, 2, 1, 1), attrs={'padding': padding})
      case('ExtractImagePatches', images=given(image), attrs={'ksizes': [1, 3, 3, 1], 'strides': [1, 2, 2, 1], 'rates': [1, 1, 1, 1], 'padding': padding})
    case('LRN', input=given(image))
  case('MaxPool', input=given([2, 3, 9, 8]), attrs={'ksize': [1, 1, 3, 3], 'strides': [1, 1, 2, 2], 'padding': 'VALID', 'data_format': 'NCHW'})
  case('AvgPool', value=given([2, 3, 9, 8]), attrs={'ksize': [1, 1, 3, 3], 'strides': [1, 1, 2, 2], 'padding': 'SAME', 'data_format': 'NCHW'})
  case('MaxPool', input=given([2, 9, 8, 6]), attrs={'ksize': [1, 1, 1, 3], 'strides': [1, 1, 1, 3], 'padding': 'VALID'})
  for volume in [None, [2, 9, 8, 7, 3], [None, None, 8, 7, 3]]:
    for padding in ['SAME', 'VALID']:
      for filter in [None, [3, 2, 3, 3, 6]]:
        case('Conv3D', input=given(volume), filter=given(filter), attrs={'strides': [1, 2, 1, 2, 1], 'padding': padding})
      attrs = {'ksize': [1, 3, 2, 2, 1], 'strides': [1, 2, 1, 2, 1], 'padding': padding}
      case('MaxPool3D', input=given(volume), attrs=attrs)
      case('AvgPool3D', input=given(volume), attrs=attrs)
  case('Conv3D', input=given([2, 3, 9, 8, 7]), filter=given([3, 3, 3, 3, 6]), attrs={'strides': [1, 1, 1, 2, 2], 'padding': 'VALID', 'data_format': 'NCDHW'})
  for sizes in [given(None, I), given([4], I), const(2, 8, 9, 3), raw.Shape(input=given([2, None, 9, 3]))]:
    case('Conv2DBackpropInput', input_sizes=sizes, filter=given([3, 3, 3, 8]), out_backprop=given([2, 4, 5, 8]), attrs={'strides': [1, 2, 2, 1], 'padding': 'SAME'})


def norms():
  for op in ['FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3']:
    for image in [None, [2, 9, 9, None], [None, None, None, 4]]:
      for training in [True, False]:
        for vectors in [[None] * 4, [[4], None, None, None], [None, None, [4] if not training else [0], None], [[None], [4], None, None]]:
          scale, offset, mean, variance = map(given, vectors)
          case(op, x=given(image), scale=scale, offset=offset, mean=mean, variance=variance, attrs={'is_training': training})
    case(op, x=given([2, None, 9, 8]), scale=given([4]), offset=given([4]), mean=given([4]), variance=given([4]), attrs={'is_training': False, 'data_format': 'NCHW'})
  case('FusedBatchNormV3', x=given([2, 7, 9, 8, None]), scale=given([4]), offset=given([4]), mean=given([4]), variance=given([4]), attrs={'is_training': False, 'data_format': 'NDHWC'})


def blocks():
  for image in [None, [8, 4, 6, 3], [None, None, 6, 3]]:
    case('SpaceToBatchND', input=given(image), block_shape=const(2, 2), paddings=const([[1, 1], [0, 2]]))
    case('SpaceToBatchND', input=given(image), block_shape=const(2, 2), paddings=given([2, 2], I))
    case('SpaceToBatchND', input=given(image), block_shape=given([2], I), paddings=given([2, 2], I))
    case('BatchToSpaceND', input=given(image), block_shape=const(2, 2), crops=const([[1, 1], [0, 2]]))
    case('BatchToSpaceND', input=given(image), block_shape=const(2, 2), crops=given([2, 2], I))
    case('SpaceToBatch', input=given(image), paddings=const([[1, 1], [0, 2]]), attrs={'block_size': 2})
    case('SpaceToBatch', input=given(image), paddings=given(None, I), attrs={'block_size': 2})
    case('BatchToSpace', input=given(image), crops=const([[1, 1], [0, 2]]), attrs={'block_size': 2})
    case('BatchToSpace', input=given(image), crops=given(None, I), attrs={'block_size': 2})
    case('SpaceToDepth', input=given(image), attrs={'block_size': 2})
    case('DepthToSpace', input=given([8, 4, 6, 12] if image else None), attrs={'block_size': 2})
    for op in ['ResizeBilinear', 'ResizeNearestNeighbor', 'ResizeBicubic', 'ResizeArea']:
      for size in [const(7, 8), given([2], I), given(None, I)]:
        case(op, images=given(image), size=size)
  case('SpaceToDepth', input=given([2, 3, 4, 6]), attrs={'block_size': 2, 'data_format': 'NCHW'})
  case('DepthToSpace', input=given([2, 12, 4, None]), attrs={'block_size': 2, 'data_format': 'NCHW'})
  case('SpaceToDepth', input=given([2, 3, 4, 6, 4], tf.qint8), attrs={'block_size': 2, 'data_format': 'NCHW_VECT_C'})


def reductions():
  for op in ['Sum', 'Mean', 'Min', 'Max', 'Prod', 'All', 'Any']:
    dtype = B if op in ('All', 'Any') else F
    for shape in [None, [2, 3, None, 5]]:
      for keep in [True, False]:
        for axis in [const([1, 2]), const(-1), const([1, 1, -3]), tf.constant([], I), given([2], I), given(None, I), raw.Identity(input=const([0]))]:
          case(op, input=given(shape, dtype), axis=axis, attrs={'keep_dims': keep})
  for op in ['ArgMax', 'ArgMin']:
    for shape in [None, [2, 3, None], [7]]:
      for axis in [const(0), const(-1), given([], I)]:
        case(op, input=given(shape), dimension=axis)
    case(op, input=given([2, 3]), dimension=const(0), attrs={'output_type': I})
  for x, y in [(None, None), ([2, 3], None), (None, [3, 4]), ([None, 3], [3, None])]:
    case('MatMul', a=given(x), b=given(y))
    case('MatMul', a=given(x[::-1] if x else x), b=given(y), attrs={'transpose_a': True})
    case('MatMul', a=given(x), b=given(y[::-1] if y else y), attrs={'transpose_b': True})
    case('SparseMatMul', a=given(x), b=given(y))
  for op in ['BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3']:
    more = {'Tout': F} if op.endswith('3') else {}
    for x, y in [(None, None), ([7, 2, 3], None), (None, [7, 3, 4]), ([7, None, 3], [None, 3, 4]), ([2, 3], [3, 4])]:
      case(op, x=given(x), y=given(y), attrs=more)
    case(op, x=given([7, 3, 2]), y=given([7, 3, 4]), attrs={**more, 'adj_x': True})
    case(op, x=given([7, 2, 3]), y=given([7, 4, 3]), attrs={**more, 'adj_y': True})
    if not op.endswith('l'):
      case(op, x=given([5, 1, 2, 3]), y=given([7, 3, 4]), attrs=more)
      case(op, x=given([2, 3]), y=given([7, None, 4]), attrs=more)


def layouts():
  for shape in [None, [2, None, 4]]:
    for order in [const(2, 0, 1), const(-1, 0, 1), given([3], I), given(None, I)]:
      case('Transpose', x=given(shape), perm=order)
    for axis in [const(0), const(-1), const([1]), const(-4), given([], I), given(None, I)]:
      case('ExpandDims', input=given(shape), axis=axis)
  for shape in [None, [1, 3, 1, 4], [1, None, 1, 4], [None, 3, 1, 4]]:
    for axes in [[], [0], [0, -2], [2]]:
      case('Squeeze', input=given(shape), attrs={'axis': axes})
  for shape in [None, [2, None], []]:
    for depth in [const(7), given([], I)]:
      for axis in [-1, 0]:
        case('OneHot', indices=given(shape, I), depth=depth, on_value=given([]), off_value=given([]), attrs={'axis': axis})


def parts():
  for shapes in [[[2, 3], [2, 3]], [[2, None], None], [None, [2, None]], [None, None], [[None, 3], [2, None]]]:
    for axis in [0, 1, -1]:
      case('Pack', values=[given(shape) for shape in shapes], attrs={'axis': axis})
      case('ConcatV2', values=[given(shape) for shape in shapes], axis=const(axis))
      case('Concat', values=[given(shape) for shape in shapes], concat_dim=const(axis))
    case('ConcatV2', values=[given(shape) for shape in shapes], axis=given([], I))
    case('Concat', values=[given(shape) for shape in shapes], concat_dim=given([], I))
  case('ConcatV2', values=[given([2, 3, 4]), given([2, 5, 4]), given([2, None, None])], axis=const(1))
  case('ConcatV2', values=[given([None, 3]), given([2, 5])], axis=const(1, dtype=np.int64))
  for shape in [None, [4, 6], [None, 6], [4, None]]:
    for axis in [const(0), const(-1), given([], I)]:
      case('Split', axis=axis, value=given(shape), attrs={'num_split': 2})
      case('SplitV', value=given(shape), size_splits=const(1, 3) if axis.op.type == 'Const' and axis.op.get_attr('value').int_val[0] == 0 else given([2], I), axis=axis, attrs={'num_split': 2})
    case('SplitV', value=given(shape), size_splits=const(4, -1), axis=const(1), attrs={'num_split': 2})
    case('SplitV', value=given(shape), size_splits=const(4, 2), axis=const(1), attrs={'num_split': 2})
    for axis in [0, 1, -1]:
      case('Unpack', value=given(shape), attrs={'num': {0: 4}.get(axis, 6), 'axis': axis})
    for margins in [const([[1, 2], [0, 3]]), given([2, 2], I), given([None, 2], I), given(None, I)]:
      case('Pad', input=given(shape), paddings=margins)
      case('PadV2', input=given(shape), paddings=margins, constant_values=given([]))
      case('MirrorPad', input=given(shape), paddings=margins, attrs={'mode': 'REFLECT'})
    for begin, size in [(const(1, 0), const(2, 3)), (const(1, 2), const(-1, -1)), (given([2], I), const(2, 3)), (given([2], I), const(-1, 3)),
                        (const(1, 0), given([2], I)), (given(None, I), given(None, I)), (const(0, 0), raw.Shape(input=given([None, 3])))]:
      case('Slice', input=given(shape), begin=begin, size=size)
    for begin, end, strides, masks in [
        ([0, 1], [3, -1], [1, 1], {}), ([-1, 2], [-8, 0], [-2, -1], {}), ([1], [9], [3], {}),
        ([0, 0], [0, 0], [1, 1], {'begin_mask': 3, 'end_mask': 3}), ([1, 0], [0, 2], [1, 1], {'end_mask': 1, 'shrink_axis_mask': 2}),
        ([0, 1], [0, 3], [1, 1], {'ellipsis_mask': 1}), ([0, 0, 1], [0, 0, 3], [1, 1, 1], {'ellipsis_mask': 2, 'new_axis_mask': 1}),
        ([0, 1], [0, 2], [1, 1], {'new_axis_mask': 1, 'shrink_axis_mask': 3}), ([1, 0], [0, 9], [-4, 2], {'begin_mask': 2})]:
      case('StridedSlice', input=given(shape), begin=const(begin), end=const(end), strides=const(strides), attrs=masks)
    case('StridedSlice', input=given(shape), begin=given([2], I), end=given([2], I), strides=const(1, 1))
    case('StridedSlice', input=given(shape), begin=given([1], I), end=given([1], I), strides=const([1]), attrs={'shrink_axis_mask': 1})
    case('ReverseV2', tensor=given(shape), axis=const([0]))
    case('Reverse', tensor=given(shape), dims=given([2], B))
    case('Cumsum', x=given(shape), axis=const(0))
    case('Cumprod', x=given(shape), axis=const(0))


def slices():
  for table in [None, [5, 50, 8], [5, None, 8], [50]]:
    for index in [None, [], [7], [5, None]]:
      case('Gather', params=given(table), indices=given(index, I))
      case('GatherV2', params=given(table), indices=given(index, I), axis=given([], I))
      for axis in [0, -1]:
        case('GatherV2', params=given(table), indices=given(index, I), axis=const(axis))
  for table, index, axis, batches in [([5, 50, 8], [5, None], 1, 1), ([None, 50, 8], [5, 7], -1, 1), ([5, 50, 8], [5, 7], 1, -1), ([5, 7, 8], [5, None, 3], 2, -1),
                                      ([5, 7, 8], [5, 7], 2, 2), (None, [5, 7], 1, 1), ([5, 50, 8], None, 1, 1)]:
    case('GatherV2', params=given(table), indices=given(index, I), axis=const(axis), attrs={'batch_dims': batches})


def einsums():
  for equation, *shapes in [('abc,cde->abde', [None, 10, 12], [12, 2, 8]), ('abcd,cde->abe', [None, 10, 2, 8], [2, 8, 12]), ('abcd,cde->abe', None, [2, 8, 12]),
                            ('aecd,abcd->acbe', [None, 10, 2, 8], [None, 10, 2, 8]), ('acbe,aecd->abcd', [4, 2, None, 10], [None, 10, None, 8]),
                            ('...ab,bc->...ac', [2, None, 3, 4], [4, 5]), ('...ab,...bc->...ac', [7, 1, 3, 4], [6, 4, 5]), ('...ab,bc->...ac', None, [4, 5]),
                            ('ab,bc->ac', None, None), ('ab->ba', [None, 3], ), ('ab->b', [2, 3], ), ('...a->a...', [2, None, 3], ), ('...a->a', None, ), ('ab,cd->abcd', [2, 3], [None, 5])]:
    case('Einsum', inputs=[given(shape) for shape in shapes], attrs={'equation': equation})


def text(shape):
  if shape.rank is None:
    return '?'
  return '[' + ','.join('?' if dim is None else str(dim) for dim in shape.as_list()) + ']'


def main():
  out = Path(sys.argv[1])
  with tf.Graph().as_default() as graph:
    for family in [elementwise, variables, made_of_vectors, windows, norms, blocks, reductions, layouts, parts, slices, einsums]:
      family()
    (out / 'ops.pb').write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))
  lines = [f'{tensor.name} {tensor.dtype.base_dtype.name} {text(tensor.shape)}' for _, node in cases for tensor in node.outputs]
  (out / 'shapes.txt').write_text('\n'.join(lines) + '\n')


main()
