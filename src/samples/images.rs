//! A folder of PNG and JPEG images, with all folders in it, in the order of their paths.

use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader, Limits};

use super::Samples;
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::{Element, Tensor, by_centres};

/// What an image becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Height and width in pixels; `None` keeps those of the file.
    pub size: Option<[u32; 2]>,
    /// One for grey values, three for red, green and blue.
    pub channels: usize,
    /// `[channels, height, width]` instead of `[height, width, channels]`.
    pub channels_first: bool,
    /// Whether what lies between two pixels of the file is rounded to a whole number, as an input of integers takes it.
    pub whole: bool,
}

/// Where a sample has its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[height, width, channels]`.
    ChannelsLast,
    /// `[channels, height, width]`.
    ChannelsFirst,
}

impl Layout {
    /// That of an input of images: last, unless only the first dimension behind the batch can be one of channels.
    #[must_use]
    pub fn of_input(dims: &[i64]) -> Self {
        let is_channels = |dim: i64| matches!(dim, 1 | 3);
        match *dims {
            [_, first, _, last] if is_channels(first) && !is_channels(last) => Self::ChannelsFirst,
            _ => Self::ChannelsLast,
        }
    }
}

impl Shape {
    /// What images become for an input of these dimensions, the first being the batch's, where unknown ones are negative:
    /// of the size that is asked for, or that of the input, if it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for an input that takes no images.
    pub fn of_input(dims: Option<&[i64]>, size: Option<[u32; 2]>, layout: Option<Layout>) -> Result<Self> {
        let layout = layout.unwrap_or_else(|| dims.map_or(Layout::ChannelsLast, Layout::of_input));
        let [height, width, channels] = match (dims, layout) {
            (None, _) => [-1; 3],
            (Some(&[_, height, width, channels]), Layout::ChannelsLast)
            | (Some(&[_, channels, height, width]), Layout::ChannelsFirst) => [height, width, channels],
            (Some(dims), _) => {
                let what = format!("an input of {} dimensions takes no images", dims.len());
                return Err(Error::new(ErrorKind::Options, what).hint("give its samples as a .npy array"));
            }
        };
        let known = |dim: i64| u32::try_from(dim).ok();
        Ok(Self {
            size: size.or_else(|| Some([known(height)?, known(width)?])),
            channels: known(channels).map_or(3, |channels| channels as usize),
            channels_first: layout == Layout::ChannelsFirst,
            whole: false,
        })
    }
}

/// The images of a folder; values from 0 to 255.
#[derive(Debug, Clone)]
pub struct ImageSamples {
    paths: Vec<PathBuf>,
    shape: Shape,
}

/// Whether the path is called as images are.
#[must_use]
pub fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}

/// Bytes that decoding one image may take.
const MAX_BYTES: u64 = 1 << 30;

impl ImageSamples {
    /// The images in a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the folder cannot be read; [`ErrorKind::Options`] when there is no image in it, or for a
    /// number of channels that images do not have.
    pub fn folder(folder: &Path, shape: Shape) -> Result<Self> {
        if !matches!(shape.channels, 1 | 3) {
            let what = format!("the input has {} channels, an image has one or three", shape.channels);
            return Err(Error::new(ErrorKind::Options, what).hint("give the samples as a .npy array"));
        }
        let unreadable = |error| Error::io(format!("cannot read '{}'", folder.display()), error);
        let (mut paths, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let path = entry.path();
                // A link to a folder is none: it might lead back.
                if entry.file_type().map_err(unreadable)?.is_dir() {
                    folders.push(path);
                } else if is_image(&path) {
                    paths.push(path);
                }
            }
        }
        paths.sort_unstable();
        if paths.is_empty() {
            let what = format!("there is no PNG or JPEG image in '{}'", folder.display());
            return Err(Error::new(ErrorKind::Options, what).hint("other formats come as a .npy array"));
        }
        Ok(Self { paths, shape })
    }

    /// Where the image of that number came from.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.paths.get(index).map(PathBuf::as_path)
    }

    fn decoded(path: &Path) -> Result<DynamicImage> {
        let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
        let mut reader = reader.map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_BYTES);
        reader.limits(limits);
        reader.decode().map_err(|error| {
            Error::new(ErrorKind::Malformed, format!("'{}' is no image that can be read: {error}", path.display()))
                .hint("take it out of the folder")
        })
    }
}

impl Samples for ImageSamples {
    fn count(&self) -> usize {
        self.paths.len()
    }

    fn sample(&self, index: usize) -> Result<Tensor> {
        let Some(path) = self.path(index) else {
            return Err(Error::new(ErrorKind::Options, format!("there is no sample {index} of {}", self.count())));
        };
        let image = Self::decoded(path)?;
        let (height, width) = (image.height() as usize, image.width() as usize);
        let channels = self.shape.channels;
        let values = if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
        let to = self.shape.size.map(|size| size.map(|size| size as usize)).filter(|&to| to != [height, width]);
        let Some(to) = to else { return self.laid_out([height, width], values) };
        let values = resized(&values, [height, width, channels], to)?;
        if !self.shape.whole {
            return self.laid_out(to, values);
        }
        // Values of pixels and what lies between them are within 0 and 255.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let whole = values.into_iter().map(|value| value.round() as u8).collect();
        self.laid_out(to, whole)
    }

    fn are_pixels(&self) -> bool {
        true
    }
}

impl ImageSamples {
    /// A sample of values that have their channels last.
    fn laid_out<T: Element>(&self, [height, width]: [usize; 2], values: Vec<T>) -> Result<Tensor> {
        let channels = self.shape.channels;
        if !self.shape.channels_first {
            return Tensor::new(&[1, height, width, channels], values);
        }
        let pixels = height * width;
        let planes = (0..channels * pixels).map(|at| values[at % pixels * channels + at / pixels]);
        Tensor::new(&[1, channels, height, width], planes.collect())
    }
}

/// The bytes that a resized image may take.
const MAX_RESIZED: usize = 1 << 30;

/// The image at another size, as `tf.image.resize` makes it: bilinear, by the centres of pixels, without antialiasing.
fn resized(values: &[u8], [height, width, channels]: [usize; 3], to: [usize; 2]) -> Result<Vec<f32>> {
    let count = to[0].checked_mul(to[1]).and_then(|pixels| pixels.checked_mul(channels));
    let count = count.filter(|&count| count <= MAX_RESIZED / size_of::<f32>());
    let Some(count) = count else {
        let what = format!("an image of {} by {} pixels is too large", to[0], to[1]);
        return Err(Error::new(ErrorKind::TooLarge, what).hint("--resize says which size"));
    };
    let (rows, columns) = (by_centres(height, to[0]), by_centres(width, to[1]));
    let mut out = Vec::with_capacity(count);
    let pixel =
        |row: usize, column: usize, channel: usize| f32::from(values[(row * width + column) * channels + channel]);
    for row in &rows {
        for column in &columns {
            for channel in 0..channels {
                let along = |row: usize| {
                    let first = pixel(row, column.lower, channel);
                    first + (pixel(row, column.upper, channel) - first) * column.way
                };
                let above = along(row.lower);
                out.push(above + (along(row.upper) - above) * row.way);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_folder_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { size: None, channels: 3, channels_first: false, whole: true };
        assert_eq!(ImageSamples::folder(folder.path(), shape).unwrap_err().kind(), ErrorKind::Options);
        for (name, red) in [("b.png", 7), ("a.PNG", 9)] {
            image::RgbImage::from_fn(3, 2, |x, y| {
                image::Rgb([red, u8::try_from(x).unwrap(), u8::try_from(y).unwrap()])
            })
            .save_with_format(folder.path().join(name), image::ImageFormat::Png)
            .unwrap();
        }
        fs::write(folder.path().join("notes.txt"), "no image").unwrap();
        let samples = ImageSamples::folder(folder.path(), shape).unwrap();
        assert_eq!(samples.count(), 2);
        let first = samples.sample(0).unwrap();
        assert_eq!(first.dims(), [1, 2, 3, 3]);
        assert_eq!(first.values::<u8>().unwrap()[..6], [9, 0, 0, 9, 1, 0]);
        let planes = ImageSamples::folder(folder.path(), Shape { channels_first: true, ..shape }).unwrap();
        assert_eq!(planes.sample(1).unwrap().values::<u8>().unwrap()[4..12], [7, 7, 0, 1, 2, 0, 1, 2]);
        let small = ImageSamples::folder(folder.path(), Shape { size: Some([4, 6]), channels: 1, ..shape }).unwrap();
        assert_eq!(small.sample(0).unwrap().dims(), [1, 4, 6, 1]);
        fs::create_dir(folder.path().join("aa")).unwrap();
        fs::copy(folder.path().join("b.png"), folder.path().join("aa/z.png")).unwrap();
        let nested = ImageSamples::folder(folder.path(), shape).unwrap();
        assert_eq!(nested.path(1).unwrap(), folder.path().join("aa/z.png"));
        fs::remove_dir_all(folder.path().join("aa")).unwrap();
        fs::write(folder.path().join("c.jpg"), "no image either").unwrap();
        let samples = ImageSamples::folder(folder.path(), shape).unwrap();
        assert_eq!(samples.sample(2).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn resizes_by_the_centres_of_pixels() {
        let folder = tempfile::tempdir().unwrap();
        image::GrayImage::from_fn(4, 1, |x, _| image::Luma([[0, 10, 100, 255][x as usize]]))
            .save(folder.path().join("a.png"))
            .unwrap();
        let shape = Shape { size: Some([1, 2]), channels: 1, channels_first: false, whole: false };
        let values = |shape| ImageSamples::folder(folder.path(), shape).unwrap().sample(0).unwrap();
        assert_eq!(values(shape).values::<f32>().unwrap(), [5.0, 177.5]);
        assert_eq!(values(Shape { whole: true, ..shape }).values::<u8>().unwrap(), [5, 178]);
        let wider = values(Shape { size: Some([1, 8]), ..shape });
        assert_eq!(wider.values::<f32>().unwrap()[..4], [0.0, 2.5, 7.5, 32.5]);
        let huge = ImageSamples::folder(folder.path(), Shape { size: Some([u32::MAX; 2]), ..shape }).unwrap();
        assert_eq!(huge.sample(0).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn reads_jpeg_too() {
        let folder = tempfile::tempdir().unwrap();
        image::GrayImage::from_pixel(16, 8, image::Luma([200])).save(folder.path().join("grey.jpeg")).unwrap();
        let shape = Shape { size: Some([4, 8]), channels: 3, channels_first: false, whole: true };
        let grey = ImageSamples::folder(folder.path(), shape).unwrap().sample(0).unwrap();
        assert_eq!(grey.dims(), [1, 4, 8, 3]);
        assert!(grey.values::<u8>().unwrap().iter().all(|value| value.abs_diff(200) <= 2));
    }

    #[test]
    fn images_become_what_the_input_takes() {
        let of = |dims: &[i64]| Shape::of_input(Some(dims), None, None).unwrap();
        assert_eq!(of(&[-1, 8, 9, 1]), Shape { size: Some([8, 9]), channels: 1, channels_first: false, whole: false });
        assert_eq!(of(&[-1, 3, 8, 9]), Shape { size: Some([8, 9]), channels: 3, channels_first: true, whole: false });
        assert_eq!(of(&[1, -1, -1, 3]), Shape { size: None, channels: 3, channels_first: false, whole: false });
        let asked = Shape::of_input(None, Some([4, 5]), Some(Layout::ChannelsFirst)).unwrap();
        assert_eq!(asked, Shape { size: Some([4, 5]), channels: 3, channels_first: true, whole: false });
        assert!(Shape::of_input(Some(&[-1, 10]), None, None).is_err());
    }
}
