//! What a checkpoint's `.index` file says: how many shards there are and in which byte order, and of each tensor its type,
//! dimensions and place.
//!
//! The values of the table are BundleEntryProtos, but for the first, which is the BundleHeaderProto. A tensor that was
//! saved in parts has an entry that lists them; each part then has an entry of its own, whose key [`slice_key`] makes.

use std::collections::BTreeMap;

use prost::Message;

use super::{damaged, table};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::tensorflow::{BundleEntryProto, BundleHeaderProto, TensorSliceProto, bundle_header_proto};

/// A tensor of a checkpoint, or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The element type's number.
    pub data_type: i32,
    /// The dimensions.
    pub dims: Vec<i64>,
    /// Which of the data files holds the contents.
    pub shard: u32,
    /// Where in that file they begin.
    pub offset: u64,
    /// How many bytes they take there.
    pub size: u64,
    /// Their checksum, masked.
    pub crc32c: u32,
    /// The parts, if the tensor was saved in parts; then it has no contents of its own.
    pub slices: Vec<Slice>,
}

/// A box out of a tensor: of each dimension, where it starts and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Start and length by dimension; without a length, all of the dimension.
    pub extents: Vec<(i64, Option<i64>)>,
}

impl Slice {
    /// The same box, with every length filled in, if it lies within those dimensions.
    #[must_use]
    pub fn within(&self, dims: &[i64]) -> Option<Vec<(i64, i64)>> {
        let fit = |(&(start, length), &dim): (&(i64, Option<i64>), &i64)| {
            let length = length.unwrap_or(dim);
            (start >= 0 && length >= 0 && start.checked_add(length)? <= dim).then_some((start, length))
        };
        (self.extents.len() == dims.len()).then(|| self.extents.iter().zip(dims).map(fit).collect()).flatten()
    }
}

/// The contents of an `.index` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// How many data files there are.
    pub shards: u32,
    /// Whether numbers are stored with their highest byte first.
    pub big_endian: bool,
    /// The tensors, by key.
    pub entries: BTreeMap<String, Entry>,
    /// The parts of tensors, by what [`slice_key`] makes of them.
    pub(super) parts: BTreeMap<Vec<u8>, Entry>,
}

/// Reads the contents of an `.index` file.
///
/// # Errors
/// [`ErrorKind::Malformed`] if it is damaged or of another format.
pub fn parse(bytes: &[u8]) -> Result<Index> {
    let mut index = Index::default();
    table::for_each_entry(bytes, |key, value| {
        if key.is_empty() {
            let header = BundleHeaderProto::decode(value).map_err(|_| damaged("its header is no BundleHeaderProto"))?;
            index.shards = u32::try_from(header.num_shards).map_err(|_| damaged("it counts its shards wrongly"))?;
            index.big_endian = header.endianness == bundle_header_proto::Endianness::Big as i32;
            return Ok(());
        }
        let proto = BundleEntryProto::decode(value).map_err(|_| damaged("an entry is no BundleEntryProto"))?;
        let entry = entry(&proto).ok_or_else(|| damaged("an entry's numbers make no sense"))?;
        if key[0] == 0 {
            index.parts.insert(key.to_vec(), entry);
        } else {
            let name = str::from_utf8(key).map_err(|_| damaged("a key is not UTF-8"))?;
            index.entries.insert(name.to_owned(), entry);
        }
        Ok(())
    })?;
    Ok(index)
}

fn entry(proto: &BundleEntryProto) -> Option<Entry> {
    let dims: Vec<i64> = proto.shape.iter().flat_map(|shape| &shape.dim).map(|dim| dim.size).collect();
    if dims.iter().any(|&dim| dim < 0) {
        return None;
    }
    Some(Entry {
        data_type: proto.dtype,
        dims,
        shard: u32::try_from(proto.shard_id).ok()?,
        offset: u64::try_from(proto.offset).ok()?,
        size: u64::try_from(proto.size).ok()?,
        crc32c: proto.crc32c,
        slices: proto.slices.iter().map(slice).collect(),
    })
}

fn slice(proto: &TensorSliceProto) -> Slice {
    use crate::proto::tensorflow::tensor_slice_proto::extent::HasLength;
    let extents = proto.extent.iter().map(|extent| {
        let length = extent.has_length.as_ref().map(|HasLength::Length(length)| *length);
        (extent.start, length.filter(|&length| length >= 0))
    });
    Slice { extents: extents.collect() }
}

/// Reads a slice as a Saver's `shape_and_slices` spells it: the whole tensor's dimensions, then `start,length` or `-` for
/// each, divided by colons. An empty one means the whole tensor.
///
/// TensorFlow's `ParseShapeAndSlice`.
///
/// # Errors
/// [`ErrorKind::InvalidGraph`] if it is spelled otherwise.
pub fn parse_slice(spelled: &str) -> Result<Option<Slice>> {
    if spelled.is_empty() {
        return Ok(None);
    }
    let extent = |text: &str| {
        if text == "-" {
            return Some((0, None));
        }
        let (start, length) = text.split_once(',')?;
        Some((start.parse().ok()?, Some(length.parse().ok()?)))
    };
    let (_, slice) = spelled.rsplit_once(' ').unwrap_or_default();
    let extents: Option<Vec<_>> = slice.split(':').map(extent).collect();
    extents.map(|extents| Some(Slice { extents })).ok_or_else(|| {
        Error::new(ErrorKind::InvalidGraph, format!("'{spelled}' says no slice of a saved tensor"))
            .hint("the Saver of the graph is damaged; export the graph again")
    })
}

/// The key of a part of a tensor: a zero, the name, and the slice, in bytes whose order is that of the numbers.
///
/// TensorFlow's `EncodeTensorNameSlice`.
#[must_use]
pub fn slice_key(name: &str, slice: &Slice) -> Vec<u8> {
    let mut key = vec![0];
    for &byte in name.as_bytes() {
        match byte {
            0 => key.extend([0, 0xff]),
            0xff => key.extend([0xff, 0]),
            _ => key.push(byte),
        }
    }
    key.extend([0, 1]);
    let rank = slice.extents.len() as u64;
    let bytes = rank.to_be_bytes();
    let significant = &bytes[rank.leading_zeros() as usize / 8..];
    key.extend(u8::try_from(significant.len()));
    key.extend_from_slice(significant);
    for &(start, length) in &slice.extents {
        put_ordered(&mut key, start);
        put_ordered(&mut key, length.unwrap_or(-1));
    }
    key
}

/// A signed number whose first bits say how many bytes it takes, as a UTF-8 character's do.
///
/// TensorFlow's `OrderedCode::WriteSignedNumIncreasing`.
fn put_ordered(out: &mut Vec<u8>, value: i64) {
    let bits = 64 - (value ^ (value >> 63)).leading_zeros() as usize;
    let length = bits / 7 + 1;
    let mut bytes = [if value < 0 { 0xff } else { 0 }; 10];
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    let header: u16 = !(u16::MAX >> length);
    let start = bytes.len() - length;
    for (byte, mark) in bytes[start..].iter_mut().zip(header.to_be_bytes()) {
        *byte ^= mark;
    }
    out.extend_from_slice(&bytes[start..]);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::masked_crc32c;
    use super::super::table::{FOOTER_BYTES, MAGIC};
    use super::*;
    use crate::wire::put_varint;

    fn append_block(file: &mut Vec<u8>, pairs: &[(usize, &[u8], &[u8])], packed: bool) -> Vec<u8> {
        let mut block = Vec::new();
        for (shared, suffix, value) in pairs {
            for number in [*shared, suffix.len(), value.len()] {
                put_varint(&mut block, number as u64);
            }
            block.extend_from_slice(suffix);
            block.extend_from_slice(value);
        }
        block.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        if packed {
            block = snap::raw::Encoder::new().compress_vec(&block).unwrap();
        }
        let mut handle = Vec::new();
        put_varint(&mut handle, file.len() as u64);
        put_varint(&mut handle, block.len() as u64);
        block.push(u8::from(packed));
        file.extend_from_slice(&block);
        file.extend_from_slice(&masked_crc32c(&block).to_le_bytes());
        handle
    }

    /// An index of `conv/max` and `conv/min`.
    pub(crate) fn index(packed: bool) -> Vec<u8> {
        let entry = BundleEntryProto { dtype: 1, ..BundleEntryProto::default() }.encode_to_vec();
        let header = BundleHeaderProto { num_shards: 1, ..BundleHeaderProto::default() }.encode_to_vec();
        let mut file = Vec::new();
        let data = append_block(&mut file, &[(0, b"", &header), (0, b"conv/max", &entry), (6, b"in", &entry)], packed);
        let index = append_block(&mut file, &[(0, b"d", &data)], packed);
        let mut footer = [data, index].concat();
        footer.resize(FOOTER_BYTES - 8, 0);
        file.extend_from_slice(&footer);
        file.extend_from_slice(&MAGIC.to_le_bytes());
        file
    }

    #[test]
    fn prefixes_are_put_together() {
        for packed in [false, true] {
            let index = parse(&index(packed)).unwrap();
            assert_eq!(index.entries.keys().map(String::as_str).collect::<Vec<_>>(), ["conv/max", "conv/min"]);
            assert_eq!((index.shards, index.big_endian), (1, false));
        }
    }

    #[test]
    fn no_damage_gets_through_or_panics() {
        for good in [index(false), index(true)] {
            for length in 0..good.len() {
                assert!(parse(&good[..length]).is_err());
            }
            for place in 0..good.len() {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[place] ^= 1 << bit;
                    drop(parse(&bad));
                }
            }
            let mut bad = good;
            bad[3] ^= 1;
            assert!(parse(&bad).unwrap_err().to_string().contains("checksum"));
        }
    }

    #[test]
    fn keys_of_slices_sort_as_their_numbers_do() {
        let slice = Slice { extents: vec![(0, Some(5)), (64, None)] };
        assert_eq!(slice_key("a\0", &slice), b"\0a\0\xff\0\x01\x01\x02\x80\x85\xc0\x40\x7f");
        let numbers = [i64::MIN, -9000, -65, -64, -1, 0, 63, 64, 8191, 8192, 1 << 34, i64::MAX];
        let codes: Vec<Vec<u8>> = numbers
            .iter()
            .map(|&number| {
                let mut code = Vec::new();
                put_ordered(&mut code, number);
                code
            })
            .collect();
        assert!(codes.is_sorted(), "{codes:?}");
        assert_eq!(codes.iter().map(Vec::len).collect::<Vec<_>>(), [10, 3, 2, 1, 1, 1, 1, 2, 2, 3, 6, 10]);
    }

    #[test]
    fn a_saver_spells_slices() {
        assert_eq!(parse_slice("").unwrap(), None);
        let slice = parse_slice("10 20 0,5:-").unwrap().unwrap();
        assert_eq!(slice.within(&[10, 20]), Some(vec![(0, 5), (0, 20)]));
        assert_eq!(slice.within(&[4, 20]), None);
        assert!(parse_slice("10 0;5").is_err());
    }
}
