//! numpy's `.npy` files, read and written: one array, behind a header that is the text of a Python dictionary.
//!
//! Format versions 1 to 3, either byte order, rows first or columns first. Integer types that the interpreter does not
//! compute with become the next wider one it does.

use half::f16;

use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::{DType, Data, Element, Tensor};

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// numpy's name of the type, such as `<f4`.
    pub descr: String,
    /// Whether the first index changes fastest.
    pub fortran_order: bool,
    /// The shape.
    pub dims: Vec<usize>,
    /// Where the elements start.
    pub start: usize,
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what).hint("write it with numpy.save, without pickled objects")
}

/// Reads the header of a file.
///
/// # Errors
/// [`ErrorKind::Malformed`] when the bytes are no array that numpy wrote.
pub fn header(bytes: &[u8]) -> Result<Header> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("this is not a .npy file"))?;
    let short = || malformed("the .npy header is cut off");
    let (&[major, _], rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest, before) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
            (usize::from(u16::from_le_bytes(*length)), rest, 10)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            (usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX), rest, 12)
        }
        _ => return Err(malformed(format!("version {major} of the .npy format is not known"))),
    };
    let text = rest.get(..length).ok_or_else(short)?;
    let text = std::str::from_utf8(text).map_err(|_| malformed("the .npy header is no text"))?;
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("'{name}':"))?;
        Some(rest.trim_start())
    };
    let quoted = |text: &str| text.strip_prefix('\'')?.split_once('\'').map(|(inner, _)| inner.to_owned());
    let descr = field("descr").and_then(quoted).ok_or_else(|| malformed("the array is not of a plain type"))?;
    let fortran_order = match field("fortran_order") {
        Some(text) if text.starts_with("True") => true,
        Some(text) if text.starts_with("False") => false,
        _ => return Err(malformed("the .npy header does not tell the order of its elements")),
    };
    let shape = field("shape").and_then(|text| text.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| malformed("the .npy header has no shape"))?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let dims = sizes.map(|size| size.trim_end_matches('L').parse());
    let dims = dims.collect::<Result<_, _>>().map_err(|_| malformed("the shape of the array is not one"))?;
    Ok(Header { descr, fortran_order, dims, start: before + length })
}

/// Reads an array.
///
/// # Errors
/// [`ErrorKind::Malformed`] as [`header`], and when the elements do not fill the shape; [`ErrorKind::Options`] for a type
/// that no graph is fed with.
pub fn read(bytes: &[u8]) -> Result<Tensor> {
    let header = header(bytes)?;
    decode(&header, &bytes[header.start..])
}

/// The byte order of a type, and its kind and size.
fn order_and_kind(descr: &str) -> (u8, &[u8]) {
    match descr.as_bytes() {
        [order @ (b'<' | b'>' | b'=' | b'|'), kind @ ..] => (*order, kind),
        kind => (b'=', kind),
    }
}

/// How many bytes an element of a type takes.
///
/// # Errors
/// [`ErrorKind::Options`] for a type that no graph is fed with.
pub fn element_size(descr: &str) -> Result<usize> {
    match order_and_kind(descr).1 {
        b"i1" | b"u1" | b"b1" => Ok(1),
        b"f2" | b"i2" | b"u2" => Ok(2),
        b"f4" | b"i4" | b"u4" => Ok(4),
        b"f8" | b"i8" => Ok(8),
        _ => Err(not_fed(descr)),
    }
}

fn not_fed(descr: &str) -> Error {
    Error::new(ErrorKind::Options, format!("an array of the type '{descr}'"))
        .hint("save it as float32, an integer type or bool (array.astype('float32'))")
}

/// The array whose elements are these.
///
/// # Errors
/// As [`read`].
pub fn decode(header: &Header, content: &[u8]) -> Result<Tensor> {
    let (order, kind) = order_and_kind(&header.descr);
    let array = Array { header, content, is_big_endian: order == b'>' };
    match kind {
        b"f4" => array.read(f32::from_le_bytes),
        b"f8" => array.read(f64::from_le_bytes),
        b"f2" => array.read(|bits| f16::from_le_bytes(bits).to_f32()),
        b"i8" => array.read(i64::from_le_bytes),
        b"i4" => array.read(i32::from_le_bytes),
        b"i2" => array.read(|bytes| i32::from(i16::from_le_bytes(bytes))),
        b"i1" => array.read(i8::from_le_bytes),
        b"u4" => array.read(|bytes| i64::from(u32::from_le_bytes(bytes))),
        b"u2" => array.read(|bytes| i32::from(u16::from_le_bytes(bytes))),
        b"u1" => array.read(u8::from_le_bytes),
        b"b1" => array.read(|[byte]: [u8; 1]| byte != 0),
        _ => Err(not_fed(&header.descr)),
    }
}

struct Array<'a> {
    header: &'a Header,
    content: &'a [u8],
    is_big_endian: bool,
}

impl Array<'_> {
    fn read<T: Element, const SIZE: usize>(&self, element: impl Fn([u8; SIZE]) -> T) -> Result<Tensor> {
        let dims = &self.header.dims;
        let count = dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        let count = count.filter(|&count| count.checked_mul(SIZE) == Some(self.content.len()));
        let Some(count) = count else {
            let what = format!("the array holds {} bytes, which do not fill its shape {dims:?}", self.content.len());
            return Err(malformed(what));
        };
        let (elements, _) = self.content.as_chunks::<SIZE>();
        let value = |&(mut bytes): &[u8; SIZE]| {
            if self.is_big_endian {
                bytes.reverse();
            }
            element(bytes)
        };
        if !self.header.fortran_order || dims.len() < 2 {
            return Tensor::new(dims, elements.iter().map(value).collect());
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; dims.len()];
        for _ in 0..count {
            let at = index.iter().zip(dims).rev().fold(0, |at, (index, dim)| at * dim + index);
            values.push(value(&elements[at]));
            for (index, &dim) in index.iter_mut().zip(dims).rev() {
                *index += 1;
                if *index < dim {
                    break;
                }
                *index = 0;
            }
        }
        Tensor::new(dims, values)
    }
}

/// numpy's name of a type.
pub(crate) fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 | DType::F16 | DType::Bf16 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::Bool => "|b1",
    }
}

/// numpy's short name of a type that has this long or short one; none for a type that no graph is fed with.
#[must_use]
pub fn descr_of(name: &str) -> Option<String> {
    let short = match name {
        "float16" => "<f2",
        "float32" => "<f4",
        "float64" => "<f8",
        "int8" => "|i1",
        "int16" => "<i2",
        "int32" => "<i4",
        "int64" => "<i8",
        "uint8" => "|u1",
        "uint16" => "<u2",
        "uint32" => "<u4",
        "bool" => "|b1",
        short => short,
    };
    element_size(short).ok().map(|_| short.to_owned())
}

/// Encodes a tensor as a file. Half-precision ones are written as the 32-bit floats that they are kept as.
#[must_use]
pub fn write(tensor: &Tensor) -> Vec<u8> {
    let descr = descr(tensor.dtype());
    let sizes: Vec<String> = tensor.dims().iter().map(ToString::to_string).collect();
    let sizes = sizes.join(",") + if sizes.len() == 1 { "," } else { "" };
    let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The elements start at a multiple of 64.
    let padding = 63 - (MAGIC.len() + 6 + dictionary.len()) % 64;
    let length = dictionary.len() + padding + 1;
    let mut file = MAGIC.to_vec();
    file.extend([2, 0]);
    file.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    file.extend(dictionary.bytes());
    file.extend(std::iter::repeat_n(b' ', padding));
    file.push(b'\n');
    match tensor.data() {
        Data::F32(values) => values.values().iter().for_each(|value| file.extend(value.to_le_bytes())),
        Data::F64(values) => values.values().iter().for_each(|value| file.extend(value.to_le_bytes())),
        Data::I32(values) => values.values().iter().for_each(|value| file.extend(value.to_le_bytes())),
        Data::I64(values) => values.values().iter().for_each(|value| file.extend(value.to_le_bytes())),
        Data::U8(values) => file.extend(values.values()),
        Data::I8(values) => file.extend(values.values().iter().map(|value| value.cast_unsigned())),
        Data::Bool(values) => file.extend(values.values().iter().map(|&value| u8::from(value))),
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, content: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend([version, 0]);
        let length = u32::try_from(header.len()).unwrap().to_le_bytes();
        file.extend(if version == 1 { &length[..2] } else { &length[..] });
        file.extend(header.bytes());
        file.extend(content);
        file
    }

    #[test]
    fn reads_every_version_order_and_type() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
        let content = [1.5f32, -2.0].map(f32::to_le_bytes).concat();
        for version in 1..=3 {
            assert_eq!(read(&file(version, header, &content)).unwrap().values::<f32>().unwrap(), [1.5, -2.0]);
        }
        let big = file(1, "{'descr': '>i2', 'fortran_order': False, 'shape': (), }", &[0xff, 0xfe]);
        let big = read(&big).unwrap();
        assert_eq!((big.values::<i32>().unwrap(), big.rank()), (&[-2][..], 0));
        let columns = file(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", &[0, 3, 1, 4, 2, 5]);
        let columns = read(&columns).unwrap();
        assert_eq!((columns.values::<u8>().unwrap(), columns.dims()), (&[0, 1, 2, 3, 4, 5][..], &[2, 3][..]));
        let half = file(2, "{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", &[0x00, 0x3e]);
        assert_eq!(read(&half).unwrap().values::<f32>().unwrap(), [1.5]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let tensors = [
            Tensor::new(&[2, 0, 3], Vec::<f32>::new()).unwrap(),
            Tensor::new(&[2, 2], vec![1i64, -2, 3, i64::MAX]).unwrap(),
            Tensor::new(&[3], vec![true, false, true]).unwrap(),
            Tensor::scalar(-7i8),
            Tensor::scalar(0.1f64),
        ];
        for tensor in tensors {
            let written = write(&tensor);
            assert_eq!(header(&written).unwrap().start % 64, 0);
            let again = read(&written).unwrap();
            assert_eq!((again.dims(), again.dtype()), (tensor.dims(), tensor.dtype()));
            assert_eq!(write(&again), written);
        }
    }

    #[test]
    fn refuses_what_is_no_array() {
        let kind = |bytes: &[u8]| read(bytes).unwrap_err().kind();
        assert_eq!(kind(b"PK\x03\x04"), ErrorKind::Malformed);
        assert_eq!(kind(b"\x93NUMPY\x01\x00\xff\xff{"), ErrorKind::Malformed);
        let with = |descr: &str, shape: &str, content: &[u8]| {
            kind(&file(1, &format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({shape}), }}"), content))
        };
        assert_eq!(with("'<f4'", "3,", &[0; 8]), ErrorKind::Malformed);
        assert_eq!(with("'<f4'", "18446744073709551615, 4", &[]), ErrorKind::Malformed);
        assert_eq!(with("'<f4'", "-1,", &[]), ErrorKind::Malformed);
        assert_eq!(with("[('a', '<f4')]", "1,", &[0; 4]), ErrorKind::Malformed);
        assert_eq!(with("'<U3'", "1,", &[0; 12]), ErrorKind::Options);
    }
}
