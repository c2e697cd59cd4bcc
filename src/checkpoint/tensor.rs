//! The contents of a checkpoint's tensors: ranges of data files where they can stay where they are, bytes of our own where
//! parts have to be interleaved, numbers turned around, or strings told apart.

use bytes::Bytes;

use super::{Entry, damaged, element_bytes, mask};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::tensorflow::DataType;
use crate::source::Part;
use crate::wire::varint;

/// A tensor of a checkpoint with its contents.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// The element type's number.
    pub data_type: i32,
    /// The dimensions.
    pub dims: Vec<i64>,
    /// What is in it.
    pub contents: Contents,
}

/// What is in a tensor.
#[derive(Debug, Clone)]
pub enum Contents {
    /// Numbers, row by row, lowest byte first: ranges that follow each other.
    Numbers(Vec<Part>),
    /// Strings, row by row.
    Strings(Vec<Bytes>),
}

/// A range of a data file as the tensor that the index says it is.
pub(super) fn read(key: &str, entry: &Entry, part: &Part, big_endian: bool) -> Result<Tensor> {
    let elements = entry.dims.iter().try_fold(1u64, |count, &dim| count.checked_mul(u64::try_from(dim).ok()?));
    let elements = elements.ok_or_else(|| damaged(&format!("'{key}' has too many elements")))?;
    let contents = if entry.data_type == DataType::DtString as i32 {
        Contents::Strings(strings(key, entry, elements, part)?)
    } else {
        let Some(width) = element_bytes(entry.data_type) else {
            return Err(Error::new(ErrorKind::Refused, format!("'{key}' of the checkpoint is no plain tensor"))
                .hint("tensors of variants and resources cannot become constants"));
        };
        if elements.checked_mul(width as u64) != Some(entry.size) {
            return Err(damaged(&format!("'{key}' has not the size that its type and shape have")));
        }
        let numbers = if big_endian && width > 1 { turned(entry.data_type, width, part) } else { part.clone() };
        Contents::Numbers(if numbers.bytes.is_empty() { Vec::new() } else { vec![numbers] })
    };
    Ok(Tensor { data_type: entry.data_type, dims: entry.dims.clone(), contents })
}

pub(super) fn wrong_checksum(key: &str) -> Error {
    damaged(&format!("the checksum of '{key}' is wrong"))
}

/// A copy with the bytes of every number the other way round; complex numbers are two each.
fn turned(data_type: i32, width: usize, part: &Part) -> Part {
    let is_complex = [DataType::DtComplex64 as i32, DataType::DtComplex128 as i32].contains(&data_type);
    let width = if is_complex { width / 2 } else { width };
    let mut bytes = part.bytes.to_vec();
    bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    Part::from(bytes)
}

/// Strings: the lengths of all, their checksum, then the strings one after the other. The entry's checksum is of the
/// lengths as numbers of four bytes (eight, where four do not do), of the checksum, and of the strings.
///
/// TensorFlow's `WriteStringTensor`.
fn strings(key: &str, entry: &Entry, elements: u64, part: &Part) -> Result<Vec<Bytes>> {
    let cut_short = || damaged(&format!("the strings of '{key}' are cut short"));
    let count = usize::try_from(elements).ok().filter(|&count| count <= part.bytes.len()).ok_or_else(cut_short)?;
    let mut rest = &part.bytes[..];
    let (mut lengths, mut crc) = (Vec::with_capacity(count), 0);
    for _ in 0..count {
        let (length, read) = varint(rest).ok_or_else(cut_short)?;
        rest = &rest[read..];
        crc = match u32::try_from(length) {
            Ok(length) => crc32c::crc32c_append(crc, &length.to_le_bytes()),
            Err(_) => crc32c::crc32c_append(crc, &length.to_le_bytes()),
        };
        lengths.push(usize::try_from(length).map_err(|_| cut_short())?);
    }
    let (stored, mut rest) = rest.split_at_checked(4).ok_or_else(cut_short)?;
    if mask(crc).to_le_bytes() != stored {
        return Err(wrong_checksum(key));
    }
    if mask(crc32c::crc32c_append(crc32c::crc32c_append(crc, stored), rest)) != entry.crc32c {
        return Err(wrong_checksum(key));
    }
    let mut strings = Vec::with_capacity(count);
    for length in lengths {
        let (string, others) = rest.split_at_checked(length).ok_or_else(cut_short)?;
        strings.push(part.bytes.slice_ref(string));
        rest = others;
    }
    if rest.is_empty() { Ok(strings) } else { Err(cut_short()) }
}

type Place = Vec<(i64, i64)>;

/// The tensor whose parts lie at these places. Parts along the first dimension follow each other as they are.
pub(super) fn join(key: &str, entry: &Entry, mut parts: Vec<(Place, Tensor)>) -> Result<Tensor> {
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    let whole = |contents| Tensor { data_type: entry.data_type, dims: entry.dims.clone(), contents };
    let rest_is_whole = |place: &Place| {
        place.iter().zip(&entry.dims).skip(1).all(|(&(start, length), &dim)| start == 0 && length == dim)
    };
    if !entry.dims.is_empty() && parts.iter().all(|(place, _)| rest_is_whole(place)) {
        let mut next = 0;
        let mut numbers = Vec::new();
        let mut strings = Vec::new();
        for (place, part) in parts {
            if place[0].0 != next {
                return Err(gap(key));
            }
            next += place[0].1;
            match part.contents {
                Contents::Numbers(more) => numbers.extend(more),
                Contents::Strings(more) => strings.extend(more),
            }
        }
        if next != entry.dims[0] {
            return Err(gap(key));
        }
        let is_text = entry.data_type == DataType::DtString as i32;
        return Ok(whole(if is_text { Contents::Strings(strings) } else { Contents::Numbers(numbers) }));
    }
    interleaved(key, entry, &parts).map(|numbers| whole(Contents::Numbers(vec![numbers])))
}

fn gap(key: &str) -> Error {
    damaged(&format!("the parts of '{key}' do not add up to the whole"))
}

/// Parts that lie side by side have to be copied row by row.
fn interleaved(key: &str, entry: &Entry, parts: &[(Place, Tensor)]) -> Result<Part> {
    let width = element_bytes(entry.data_type).ok_or_else(|| gap(key))?;
    let total = entry.dims.iter().try_fold(width, |count, &dim| count.checked_mul(usize::try_from(dim).ok()?));
    let stored: usize = parts.iter().map(|(_, part)| part.bytes()).sum();
    if total != Some(stored) {
        return Err(gap(key));
    }
    let mut bytes = vec![0; stored];
    for (place, part) in parts {
        let Contents::Numbers(numbers) = &part.contents else { return Err(gap(key)) };
        let numbers = numbers.iter().map(|part| &part.bytes[..]).collect::<Vec<_>>().concat();
        let mut rest = &numbers[..];
        for row in rows(&entry.dims, place, width) {
            let (from, others) = rest.split_at_checked(row.len()).ok_or_else(|| gap(key))?;
            bytes.get_mut(row).ok_or_else(|| gap(key))?.copy_from_slice(from);
            rest = others;
        }
    }
    Ok(Part::from(bytes))
}

impl Tensor {
    /// How many bytes its numbers take.
    fn bytes(&self) -> usize {
        match &self.contents {
            Contents::Numbers(parts) => parts.iter().map(|part| part.bytes.len()).sum(),
            Contents::Strings(_) => 0,
        }
    }
}

/// A box cut out of a tensor.
pub(super) fn cut(key: &str, whole: &Tensor, wanted: &Place) -> Result<Tensor> {
    let (Contents::Numbers(parts), Some(width)) = (&whole.contents, element_bytes(whole.data_type)) else {
        return Err(Error::new(ErrorKind::Refused, format!("a slice of the strings '{key}' is asked for"))
            .hint("save the model again with variables that are not partitioned"));
    };
    let dims = wanted.iter().map(|&(_, length)| length).collect();
    let rows: Vec<_> = rows(&whole.dims, wanted, width).collect();
    let contents = if let ([part], [row]) = (&parts[..], &rows[..]) {
        part.slice(row.clone()).into_iter().collect()
    } else {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| &part.bytes[..]).copied().collect();
        let picked: Option<Vec<&[u8]>> = rows.into_iter().map(|row| bytes.get(row)).collect();
        vec![Part::from(picked.ok_or_else(|| gap(key))?.concat())]
    };
    Ok(Tensor { data_type: whole.data_type, dims, contents: Contents::Numbers(contents) })
}

/// The byte ranges that a box takes in a tensor, each as long as can be.
fn rows(dims: &[i64], place: &[(i64, i64)], width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let size = |number: i64| usize::try_from(number).unwrap_or(0);
    // Behind the last dimension of which not all is taken, rows are whole.
    let partial = place.iter().zip(dims).rposition(|(&(_, length), &dim)| length != dim).unwrap_or(0);
    // Only a tensor without elements can have dimensions that are too much to multiply.
    let inner = dims.iter().skip(partial + 1).fold(width, |count, &dim| count.saturating_mul(size(dim)));
    let row = place.get(partial).map_or(width, |&(_, length)| size(length).saturating_mul(inner));
    let counts: Vec<usize> = place.iter().take(partial).map(|&(_, length)| size(length)).collect();
    let empty = row == 0 || dims.contains(&0) || counts.contains(&0);
    let (dims, place) = if empty { (&[][..], &[][..]) } else { (dims, place) };
    let mut strides = vec![inner; partial + 1];
    for index in (0..partial.min(dims.len())).rev() {
        strides[index] = strides[index + 1] * size(dims[index + 1]);
    }
    let base: usize = place.iter().zip(&strides).map(|(&(start, _), stride)| size(start) * stride).sum();
    let total = if empty { 0 } else { counts.iter().product() };
    (0..total).map(move |mut number| {
        let mut start = base;
        for (count, stride) in counts.iter().zip(&strides).rev() {
            start += number % count * stride;
            number /= count;
        }
        start..start + row
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(dims: &[i64], bytes: &[u8]) -> Tensor {
        let contents = Contents::Numbers(vec![Part::from(bytes.to_vec())]);
        Tensor { data_type: DataType::DtUint8 as i32, dims: dims.to_vec(), contents }
    }

    fn flat(tensor: &Tensor) -> Vec<u8> {
        let Contents::Numbers(parts) = &tensor.contents else { panic!("strings") };
        parts.iter().flat_map(|part| part.bytes.to_vec()).collect()
    }

    #[test]
    fn parts_come_together_whichever_way_they_were_cut() {
        let entry = Entry { data_type: DataType::DtUint8 as i32, dims: vec![2, 3], ..Entry::default() };
        let columns = vec![
            (vec![(0, 2), (2, 1)], numbers(&[2, 1], &[3, 6])),
            (vec![(0, 2), (0, 2)], numbers(&[2, 2], &[1, 2, 4, 5])),
        ];
        assert_eq!(flat(&join("w", &entry, columns).unwrap()), [1, 2, 3, 4, 5, 6]);
        let rows = vec![
            (vec![(1, 1), (0, 3)], numbers(&[1, 3], &[4, 5, 6])),
            (vec![(0, 1), (0, 3)], numbers(&[1, 3], &[1, 2, 3])),
        ];
        assert_eq!(flat(&join("w", &entry, rows.clone()).unwrap()), [1, 2, 3, 4, 5, 6]);
        assert!(join("w", &entry, rows[..1].to_vec()).unwrap_err().to_string().contains("do not add up"));
    }

    #[test]
    fn boxes_are_cut_out() {
        let whole = numbers(&[2, 3, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let cut = |place: &[(i64, i64)]| flat(&cut("w", &whole, &place.to_vec()).unwrap());
        assert_eq!(cut(&[(1, 1), (0, 3), (0, 2)]), [6, 7, 8, 9, 10, 11]);
        assert_eq!(cut(&[(0, 2), (1, 1), (0, 2)]), [2, 3, 8, 9]);
        assert_eq!(cut(&[(0, 2), (0, 3), (1, 1)]), [1, 3, 5, 7, 9, 11]);
        assert!(cut(&[(0, 2), (0, 0), (0, 2)]).is_empty());
    }

    #[test]
    fn numbers_are_turned_around() {
        let part = Part::from(vec![1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(turned(DataType::DtInt32 as i32, 4, &part).bytes, &[4, 3, 2, 1, 8, 7, 6, 5][..]);
        assert_eq!(turned(DataType::DtComplex64 as i32, 8, &part).bytes, &[4, 3, 2, 1, 8, 7, 6, 5][..]);
    }
}
