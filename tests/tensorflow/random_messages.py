"""Messages of any kind with something random in every field that a draw gives one."""

import math
import random
import struct

from google.protobuf.descriptor import FieldDescriptor as Field

MOST_DEEP = 4
WORDS = ["", "a", "scope/Conv2D", "naïve", "line\nbreak", 'quote"', "tab\t\\", "日本", "\x7f", "'", "#no comment", "a:b,c;d"]
FLOATS = [0.0, -0.0, 1.0, -1.5, 0.1, 1e-45, 3.4e38, math.inf, -math.inf, math.nan, 1 / 3, 16777216.0]
DOUBLES = [*FLOATS, 1e308, 5e-324, 0.1 + 0.2]


class Messages:
    """Fills messages; the same seed fills the same."""

    def __init__(self, seed):
        self.draw = random.Random(seed)

    def fill(self, message, depth=0):
        """Sets some of the fields of the message and of those in it."""
        for field in message.DESCRIPTOR.fields:
            if self.draw.random() < 0.5:
                continue
            entry = field.message_type
            if entry is not None and entry.GetOptions().map_entry:
                self.fill_map(message, field, depth)
            elif field.type == Field.TYPE_MESSAGE:
                self.fill_messages(message, field, depth)
            elif field.label == Field.LABEL_REPEATED:
                getattr(message, field.name).extend(self.value(field) for _ in range(self.draw.randint(1, 4)))
            elif field.containing_oneof is None or message.WhichOneof(field.containing_oneof.name) is None:
                setattr(message, field.name, self.value(field))
        return message

    def fill_map(self, message, field, depth):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        entries = getattr(message, field.name)
        for _ in range(self.draw.randint(0, 3)):
            if value.type != Field.TYPE_MESSAGE:
                entries[self.value(key)] = self.value(value)
            elif depth < MOST_DEEP:
                self.fill(entries[self.value(key)], depth + 1)

    def fill_messages(self, message, field, depth):
        if depth >= MOST_DEEP or field.message_type.full_name == "google.protobuf.Any":
            return
        if field.label == Field.LABEL_REPEATED:
            for _ in range(self.draw.randint(1, 2)):
                self.fill(getattr(message, field.name).add(), depth + 1)
        elif field.containing_oneof is None or message.WhichOneof(field.containing_oneof.name) is None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self.fill(inner, depth + 1)

    def value(self, field):
        """A value for a field that holds no message."""
        draw = self.draw
        integers = {
            Field.TYPE_INT32: (-(2**31), 2**31 - 1),
            Field.TYPE_INT64: (-(2**63), 2**63 - 1),
            Field.TYPE_SINT32: (-(2**31), 2**31 - 1),
            Field.TYPE_SINT64: (-(2**63), 2**63 - 1),
            Field.TYPE_UINT32: (0, 2**32 - 1),
            Field.TYPE_UINT64: (0, 2**64 - 1),
            Field.TYPE_FIXED64: (0, 2**64 - 1),
            Field.TYPE_FIXED32: (0, 2**32 - 1),
        }
        if field.type in integers:
            least, most = integers[field.type]
            return draw.choice([least, most, 0, 1, draw.randint(least, most)])
        if field.type == Field.TYPE_FLOAT:
            some = struct.unpack("<f", struct.pack("<I", draw.getrandbits(32)))[0]
            return draw.choice([*FLOATS, 0.0 if math.isnan(some) else some])
        if field.type == Field.TYPE_DOUBLE:
            return draw.choice([*DOUBLES, draw.uniform(-1e6, 1e6)])
        if field.type == Field.TYPE_BOOL:
            return draw.random() < 0.5
        if field.type == Field.TYPE_STRING:
            return draw.choice(WORDS)
        if field.type == Field.TYPE_BYTES:
            return bytes(draw.getrandbits(8) for _ in range(draw.choice([0, 1, 3, 20])))
        if field.type == Field.TYPE_ENUM:
            return draw.choice(field.enum_type.values).number
        raise NotImplementedError(field.full_name)
