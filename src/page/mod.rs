//! One page that shows a graph and what was decided about it: a file that a browser opens from disk, without a network.
//!
//! The page carries its data as JSON, and the scripts beside this file draw it: scopes as boxes that open, layers as
//! blocks, drawn when they come into sight. Names are data to the page, never markup.

mod calibration;
mod data;

use std::io::{self, Write};

pub use data::PageData;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 5] = [
    include_str!("tree.js"),
    include_str!("layout.js"),
    include_str!("draw.js"),
    include_str!("panel.js"),
    include_str!("main.js"),
];

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write(page: &PageData<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.write_all(before.as_bytes())?;
        match name {
            "title" => out.write_all(escape(&page.title).as_bytes())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "data" => serde_json::to_writer(InScript(&mut *out), page)?,
            _ => SCRIPTS.iter().try_for_each(|script| out.write_all(script.as_bytes()))?,
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// Text for markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writes JSON that sits inside a script element: nothing in it can close the element or open a comment.
struct InScript<W>(W);

impl<W: Write> Write for InScript<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(place) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&')) {
            self.0.write_all(&rest[..place])?;
            write!(self.0, "\\u{:04x}", rest[place])?;
            rest = &rest[place + 1..];
        }
        self.0.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_leave_its_element() {
        let mut out = Vec::new();
        serde_json::to_writer(InScript(&mut out), &["</script><!--", "a&b"]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r#"["\u003c/script\u003e\u003c!--","a\u0026b"]"#);
        assert_eq!(serde_json::from_str::<[String; 2]>(&text).unwrap()[0], "</script><!--");
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn every_place_in_the_page_is_filled() {
        for name in ["title", "style", "data", "script"] {
            assert_eq!(PAGE.matches(&format!("{{{{{name}}}}}")).count(), 1, "{name}");
        }
        assert_eq!(PAGE.matches("{{").count(), 4);
    }
}
