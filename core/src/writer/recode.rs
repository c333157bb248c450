//! Another content coding for a response that was begun in this call, by what wraps the handler.

use super::{CHUNK_HEAD, Facts, Phase, ResponseWriter, Stream, WriteError};
use crate::encode::{BodyFraming, Encoder, FieldError, check_field};
use crate::part::{copy, part, part_mut, shift};

/// Fields that describe the content as it was, and are removed with it.
const OF_THE_CONTENT: [&str; 3] = ["Content-Length", "Transfer-Encoding", "Accept-Ranges"];

/// What a weak tag begins with (RFC 9110 §8.8.3).
const WEAK: &[u8] = b"W/";

/// A response whose head was written in this call.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'r> {
    status: u16,
    head: &'r [u8],
    content: &'r [u8],
    is_in_place: bool,
    stream: Stream,
    is_head_request: bool,
    sends_file: bool,
}

impl<'r> Begun<'r> {
    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The values of all fields with this name, compared without regard to case.
    pub fn fields<'n>(&self, name: &'n str) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n> {
        self.head.split(|&byte| byte == b'\n').skip(1).filter_map(move |line| value_of(line, name))
    }

    /// The content that was written in this call; all of it if the response [is complete](Self::is_complete). Nothing of a response
    /// to HEAD, and of one that [sends a file](Self::sends_file) only what precedes that.
    #[must_use]
    pub const fn content(&self) -> &'r [u8] {
        self.content
    }

    /// Whether the content is sent from where it is: what [`write_static`](ResponseWriter::write_static) and
    /// [`static_body`](ResponseWriter::static_body) do not copy. Otherwise it takes up room, which is free again when it is dropped.
    #[must_use]
    pub const fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    /// Whether the content was written as a whole.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stream.is_done()
    }

    /// The length of the whole content, if it is known: `Content-Length`.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        str::from_utf8(self.fields("Content-Length").next()?).ok()?.parse().ok()
    }

    /// Whether the response never has content: by its status. Responses to HEAD count as those to GET.
    #[must_use]
    pub const fn is_bare(&self) -> bool {
        matches!(self.status, 204 | 205 | 304)
    }

    /// Whether the system sends a part of a file with it: [`write_file`](ResponseWriter::write_file).
    #[must_use]
    pub const fn sends_file(&self) -> bool {
        self.sends_file
    }

    /// Whether HEAD is answered.
    #[must_use]
    pub const fn is_head_request(&self) -> bool {
        self.is_head_request
    }
}

fn value_of<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let (its_name, value) = line.split_at_checked(name.len())?;
    its_name.eq_ignore_ascii_case(name.as_bytes()).then_some(value.strip_prefix(b":")?.trim_ascii())
}

/// Content codings, by what wraps a handler. The order is: [`keep_in_memory`](Self::keep_in_memory); [`begun`](Self::begun), to
/// decide; [`recode`](Self::recode); and after this and each further call of the handler
/// [`written_content`](Self::written_content), [`drop_content`](Self::drop_content), and [`write`](Self::write) with what
/// replaces it.
impl ResponseWriter<'_> {
    /// Has the content of this call in memory: [`sends_files`](Self::sends_files) is false until it ends. Call it before the handler.
    pub const fn keep_in_memory(&mut self) {
        self.keeps_files = true;
    }

    /// The response, if its head was written in this call. `None` after an error, and if it switches protocols.
    #[must_use]
    pub fn begun(&self) -> Option<Begun<'_>> {
        let has_head = matches!(self.phase, Phase::Body | Phase::Done) && self.stream != Stream::Raw;
        if !has_head || self.error.is_some() || self.origin.is_none() {
            return None;
        }
        let so_far = self.so_far();
        let head_len = so_far.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let content_at = if self.chunk.is_some() { head_len + CHUNK_HEAD } else { head_len };
        let content = match (part(so_far, content_at..), self.static_body) {
            (content, []) => content,
            ([], content) => content,
            _ => return None,
        };
        let (status, is_head_request) = (self.status, self.facts.has(Facts::HEAD));
        let sends_file = self.file.is_some();
        Some(Begun {
            status,
            head: part(so_far, ..head_len),
            content,
            is_in_place: !self.static_body.is_empty(),
            stream: self.stream,
            is_head_request,
            sends_file,
        })
    }

    /// Adds a field to the head of a response that has [begun](Self::begun) in this call.
    ///
    /// # Errors
    /// [`WriteError::Order`] if there is none, [`WriteError::PoolExhausted`] if there is no room and no larger buffer, and the errors
    /// of [`field`](Self::field). None of them is kept: the response stays as it is.
    pub fn amend_begun(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let value = value.as_ref();
        let head_len = self.begun().ok_or(WriteError::Order)?.head.len();
        check_field(name.as_bytes(), value)?;
        let line_len = name.len() + value.len() + 4;
        // The content may have filled the buffer, up to the limit for a response, which is not for what others add.
        if line_len > self.spare().len() && !self.move_to_larger(self.len + line_len) {
            return Err(WriteError::PoolExhausted);
        }
        let at = self.begin + head_len - 2;
        self.move_rest(at, line_len);
        Ok(Encoder::new(part_mut(self.out, at..at + line_len)).field(name, value)?)
    }

    /// Turns a response that has [begun](Self::begun) in this call into one with another content: without what was written of it,
    /// with `Content-Encoding` and the new length, a weak `ETag` in place of a strong one (RFC 9110 §8.8.3.3), and without
    /// `Accept-Ranges`. Then [`write`](Self::write) the content; [`Flow::Finish`](crate::handler::Flow::Finish) completes it. Without a
    /// length the content is chunked, so do that for HTTP/1.1 only.
    ///
    /// A response to HEAD gets these fields as well, except the length.
    ///
    /// # Errors
    /// [`WriteError::Order`] if there is none, one with a status that has no content, or one that sends a file; the errors of
    /// [`field`](Self::field).
    pub fn recode(&mut self, coding: &str, length: Option<u64>) -> Result<(), WriteError> {
        let begun = self.begun().filter(|begun| !begun.is_bare() && !begun.sends_file()).ok_or(WriteError::Order)?;
        let (head_len, is_head_request) = (begun.head.len(), begun.is_head_request);
        let is_chunked = length.is_none();
        if is_chunked && self.facts.has(Facts::HTTP10) && !is_head_request {
            return Err(WriteError::Order);
        }
        check_field(b"Content-Encoding", coding.as_bytes())?;
        self.drop_content();
        self.len = self.begin + head_len;
        for name in OF_THE_CONTENT {
            self.cut_lines(name);
        }
        self.weaken_tag()?;
        let framing = match length {
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::Chunked,
        };
        self.ensure(super::HEAD_END_MAX + coding.len() + "Content-Encoding: \r\n".len())?;
        self.len -= "\r\n".len();
        let mut encoder = Encoder::new(self.spare());
        let put = (|| {
            encoder.field("Content-Encoding", coding.as_bytes())?;
            if !is_head_request {
                encoder.framing_field(framing)?;
            }
            Ok::<_, FieldError>(encoder.end_of_head()?)
        })();
        if put.is_err() {
            return self.latch(WriteError::TooLarge);
        }
        self.len += encoder.len();
        self.phase = Phase::Body;
        self.stream = match length {
            _ if is_head_request => Stream::Dropped,
            Some(length) => Stream::Length(length),
            None => Stream::Chunked,
        };
        Ok(())
    }

    /// Gives a 304 that has [begun](Self::begun) in this call the fields that the 200 with this content has when it is
    /// [recoded](Self::recode) (RFC 9110 §15.4.5): a weak `ETag` in place of a strong one, and no `Accept-Ranges`.
    ///
    /// # Errors
    /// [`WriteError::Order`] if there is none; [`WriteError::PoolExhausted`] if there is no room. None of them is kept: the response stays
    /// as it is.
    pub fn recode_not_modified(&mut self) -> Result<(), WriteError> {
        self.begun().filter(|begun| begun.status() == 304).ok_or(WriteError::Order)?;
        if WEAK.len() > self.spare().len() && !self.move_to_larger(self.len + WEAK.len()) {
            return Err(WriteError::PoolExhausted);
        }
        self.cut_lines("Accept-Ranges");
        self.weaken_tag()
    }

    /// The content that was written in this call, of a chunked response that was begun in an earlier one.
    #[must_use]
    pub fn written_content(&self) -> &[u8] {
        match self.chunk {
            Some(at) => part(self.out, at + CHUNK_HEAD..self.len),
            None => &[],
        }
    }

    /// Removes [`written_content`](Self::written_content).
    pub fn drop_content(&mut self) {
        if let Some(at) = self.chunk.take() {
            self.len = at;
        }
        self.static_body = &[];
    }

    /// Makes room for `count` bytes at `at`.
    fn move_rest(&mut self, at: usize, count: usize) {
        shift(self.out, at..self.len, at + count);
        self.len += count;
        if let Some(chunk) = &mut self.chunk {
            *chunk += count;
        }
    }

    /// Where the value of a field begins and its line ends, if the head has it; nothing follows the head.
    fn line(&self, name: &str) -> Option<(usize, usize, usize)> {
        let mut at = self.begin;
        loop {
            let rest = part(self.out, at..self.len);
            let len = rest.iter().position(|&byte| byte == b'\n')? + 1;
            if value_of(part(rest, ..len), name).is_some() {
                let blank =
                    part(rest, name.len() + 1..len).iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
                return Some((at, at + name.len() + 1 + blank, at + len));
            }
            at += len;
        }
    }

    fn cut_lines(&mut self, name: &str) {
        while let Some((begin, _, end)) = self.line(name) {
            shift(self.out, end..self.len, begin);
            self.len -= end - begin;
        }
    }

    fn weaken_tag(&mut self) -> Result<(), WriteError> {
        let Some((_, value, _)) = self.line("ETag") else { return Ok(()) };
        if part(self.out, value..self.len).starts_with(WEAK) {
            return Ok(());
        }
        self.ensure(WEAK.len())?;
        self.move_rest(value, WEAK.len());
        copy(part_mut(self.out, value..value + WEAK.len()), WEAK);
        Ok(())
    }
}
