//! Several ranges in one response: `multipart/byteranges` (RFC 9110 §14.6).

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};

use aurora_http::{ResponseWriter, WriteError};
use aurora_http_sockets::OpenFile;

use crate::range::Span;
use crate::source::{Kernel, Pumped, Source};

#[derive(Debug)]
pub(crate) struct Parts {
    source: Source,
    spans: Vec<Span>,
    /// The part that comes next.
    next: usize,
    layout: Layout,
    /// What is to be written before the next bytes of the file.
    pending: String,
    written: usize,
    is_last: bool,
}

#[derive(Debug)]
struct Layout {
    boundary: String,
    media: String,
    /// Of the whole file.
    file_len: u64,
}

impl Layout {
    fn head(&self, number: usize, span: Span) -> String {
        let mut head = String::new();
        let (line_end, boundary, media) = (if number == 0 { "" } else { "\r\n" }, &self.boundary, &self.media);
        let (first, last, len) = (span.from, span.to - 1, self.file_len);
        // A string takes everything that is written to it.
        let _ = write!(
            head,
            "{line_end}--{boundary}\r\nContent-Type: {media}\r\nContent-Range: bytes {first}-{last}/{len}\r\n\r\n"
        );
        head
    }

    fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}

impl Parts {
    pub(crate) fn new(file: OpenFile, spans: &[Span], media: &[u8], file_len: u64, kernel: Kernel) -> Self {
        // 128 bits that nobody can foresee, so that no file contains them.
        let random = || RandomState::new().build_hasher().finish();
        let boundary = format!("{:016x}{:016x}", random(), random());
        let layout = Layout { boundary, media: String::from_utf8_lossy(media).into_owned(), file_len };
        let source = Source::new(file, Span { from: 0, to: 0 }, kernel);
        Self { source, spans: spans.to_vec(), next: 0, layout, pending: String::new(), written: 0, is_last: false }
    }

    /// The value of `Content-Type`.
    pub(crate) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.layout.boundary)
    }

    /// The length of the content.
    pub(crate) fn len(&self) -> u64 {
        let parts = self.spans.iter().enumerate();
        let parts: u64 = parts.map(|(number, span)| self.layout.head(number, *span).len() as u64 + span.len()).sum();
        parts + self.layout.end().len() as u64
    }

    pub(crate) const fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    pub(crate) fn pump(&mut self, response: &mut ResponseWriter<'_>) -> Result<Pumped, WriteError> {
        loop {
            let rest = &self.pending.as_bytes()[self.written..];
            if !rest.is_empty() {
                self.written += response.write(rest)?;
                if self.written < self.pending.len() {
                    return Ok(Pumped::Full);
                }
            }
            match self.source.pump(response)? {
                Pumped::Ended if self.is_last => return Ok(Pumped::Ended),
                Pumped::Ended => self.advance(),
                unfinished => return Ok(unfinished),
            }
        }
    }

    fn advance(&mut self) {
        self.written = 0;
        if let Some(span) = self.spans.get(self.next) {
            self.source.select(*span);
            self.pending = self.layout.head(self.next, *span);
            self.next += 1;
        } else {
            self.pending = self.layout.end();
            self.is_last = true;
        }
    }
}
