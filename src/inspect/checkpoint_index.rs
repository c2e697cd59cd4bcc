//! Reads which tensors a checkpoint holds from its `.index` file, without its data.
//!
//! The file is a table of sorted keys as LevelDB writes it: blocks of prefix-compressed entries, a block that indexes
//! them, and a footer that says where that is. The values are BundleEntryProtos. Nothing in the file is trusted: every
//! offset is checked, every block's checksum compared, and the keys may not add up to more than a sane amount.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message;

use super::tensor::Shape;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::tensorflow::{BundleEntryProto, TensorShapeProto};
use crate::source;
use crate::wire::varint;

/// A tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The element type's number.
    pub data_type: i32,
    /// The dimensions.
    pub shape: Shape,
}

/// The last bytes of every such table.
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
const FOOTER_BYTES: usize = 48;
/// A block is followed by its kind of compression and its checksum.
const TRAILER_BYTES: usize = 5;
/// No variable's name is longer.
const MAX_KEY_BYTES: usize = 1 << 14;
/// All keys together; a million variables have less.
const MAX_TOTAL_BYTES: usize = 1 << 28;

/// Reads the `.index` file of the checkpoint with that prefix; the file itself may be named as well.
///
/// # Errors
/// [`ErrorKind::Io`] if there is none, [`ErrorKind::Malformed`] if it is damaged or of another format.
pub fn read(prefix: &Path) -> Result<BTreeMap<String, Entry>> {
    let path = index_path(prefix);
    let bytes = source::open(&path).map_err(|error| {
        let hint = "pass the checkpoint's prefix, such as model.ckpt-1000, beside which lies model.ckpt-1000.index";
        if error.kind() == ErrorKind::Io { error.hint(hint) } else { error }
    })?;
    parse(&bytes.bytes).map_err(|error| error.in_file(&path.display().to_string()))
}

fn index_path(prefix: &Path) -> PathBuf {
    if prefix.extension().is_some_and(|ending| ending == "index") {
        return prefix.to_owned();
    }
    let mut name = prefix.as_os_str().to_owned();
    name.push(".index");
    PathBuf::from(name)
}

/// Reads the contents of an `.index` file.
///
/// # Errors
/// [`ErrorKind::Malformed`] if it is damaged or of another format.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let index = footer(bytes).ok_or_else(|| damaged("it does not end as such a file does"))?;
    let mut entries = BTreeMap::new();
    let mut total = 0;
    for (_, handle) in block(bytes, index, &mut total)? {
        let (range, _) = read_handle(&handle).ok_or_else(|| damaged("a block's place is cut short"))?;
        for (key, value) in block(bytes, range, &mut total)? {
            if key.is_empty() {
                continue;
            }
            let name = String::from_utf8(key).map_err(|_| damaged("a key is not UTF-8"))?;
            let entry =
                BundleEntryProto::decode(value.as_slice()).map_err(|_| damaged("an entry is no BundleEntryProto"))?;
            let shape =
                entry.shape.as_ref().map_or(Shape(Some(Vec::new())), |shape: &TensorShapeProto| Shape::from(shape));
            entries.insert(name, Entry { data_type: entry.dtype, shape });
        }
    }
    Ok(entries)
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("not the index of a TensorFlow checkpoint: {what}"))
        .hint("copy or save the checkpoint again; checkpoints of TensorFlow 0.x (V1) have no index")
}

/// Where a block lies: offset and size.
#[derive(Clone, Copy)]
struct Handle {
    offset: usize,
    size: usize,
}

fn read_handle(bytes: &[u8]) -> Option<(Handle, usize)> {
    let (offset, first) = varint(bytes)?;
    let (size, second) = varint(bytes.get(first..)?)?;
    Some((Handle { offset: usize::try_from(offset).ok()?, size: usize::try_from(size).ok()? }, first + second))
}

/// The place of the index block: the second handle of the footer.
fn footer(bytes: &[u8]) -> Option<Handle> {
    let footer = &bytes[bytes.len().checked_sub(FOOTER_BYTES)?..];
    let magic = u64::from_le_bytes(footer[FOOTER_BYTES - 8..].try_into().ok()?);
    let (_, length) = read_handle(footer).filter(|_| magic == MAGIC)?;
    Some(read_handle(&footer[length..])?.0)
}

type Pair = (Vec<u8>, Vec<u8>);

fn block(bytes: &[u8], handle: Handle, total: &mut usize) -> Result<Vec<Pair>> {
    let end = handle.offset.checked_add(handle.size).filter(|end| end.checked_add(TRAILER_BYTES).is_some());
    let whole = end.and_then(|end| bytes.get(handle.offset..end + TRAILER_BYTES));
    let whole = whole.ok_or_else(|| damaged("a block reaches past the end"))?;
    let (checked, checksum) = whole.split_at(handle.size + 1);
    let stored = u32::from_le_bytes([checksum[0], checksum[1], checksum[2], checksum[3]]);
    if masked(crc32c(checked)) != stored {
        return Err(damaged("a block's checksum is wrong"));
    }
    match checked[handle.size] {
        0 => pairs(&checked[..handle.size], total).ok_or_else(|| damaged("a block's entries are cut short")),
        _ => Err(damaged("it is compressed, which TensorFlow does not do")),
    }
}

/// The entries of a block: each key is given as how much of the one before it repeats, and the rest.
fn pairs(block: &[u8], total: &mut usize) -> Option<Vec<Pair>> {
    let restarts = u32::from_le_bytes(block.get(block.len().checked_sub(4)?..)?.try_into().ok()?);
    let restarts = usize::try_from(restarts).ok()?.checked_mul(4)?.checked_add(4)?;
    let mut rest = &block[..block.len().checked_sub(restarts)?];
    let mut key: Vec<u8> = Vec::new();
    let mut pairs = Vec::new();
    let number = |rest: &mut &[u8]| -> Option<usize> {
        let (value, length) = varint(rest)?;
        *rest = &rest[length..];
        usize::try_from(value).ok()
    };
    while !rest.is_empty() {
        let (shared, own, length) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
        let suffix = rest.get(..own)?;
        let value = rest.get(own..own.checked_add(length)?)?;
        rest = &rest[own + length..];
        if shared > key.len() || shared + own > MAX_KEY_BYTES {
            return None;
        }
        key.truncate(shared);
        key.extend_from_slice(suffix);
        *total += key.len() + value.len() + 64;
        if *total > MAX_TOTAL_BYTES {
            return None;
        }
        pairs.push((key.clone(), value.to_vec()));
    }
    Some(pairs)
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The Castagnoli checksum, bit by bit: these files are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_varint;

    fn append_block(file: &mut Vec<u8>, pairs: &[(usize, &[u8], &[u8])]) -> Vec<u8> {
        let start = file.len();
        for (shared, suffix, value) in pairs {
            for number in [*shared, suffix.len(), value.len()] {
                put_varint(file, number as u64);
            }
            file.extend_from_slice(suffix);
            file.extend_from_slice(value);
        }
        file.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0, 0]);
        let checksum = masked(crc32c(&file[start..]));
        let mut handle = Vec::new();
        put_varint(&mut handle, start as u64);
        put_varint(&mut handle, (file.len() - start - 1) as u64);
        file.extend_from_slice(&checksum.to_le_bytes());
        handle
    }

    fn index() -> Vec<u8> {
        let entry = BundleEntryProto { dtype: 1, ..BundleEntryProto::default() }.encode_to_vec();
        let mut file = Vec::new();
        let data = append_block(&mut file, &[(0, b"", b""), (0, b"conv/max", &entry), (6, b"in", &entry)]);
        let index = append_block(&mut file, &[(0, b"d", &data)]);
        let mut footer = [data, index].concat();
        footer.resize(FOOTER_BYTES - 8, 0);
        file.extend_from_slice(&footer);
        file.extend_from_slice(&MAGIC.to_le_bytes());
        file
    }

    #[test]
    fn prefixes_are_put_together() {
        let entries = parse(&index()).unwrap();
        assert_eq!(entries.keys().map(String::as_str).collect::<Vec<_>>(), ["conv/max", "conv/min"]);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn no_damage_gets_through_or_panics() {
        let good = index();
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
