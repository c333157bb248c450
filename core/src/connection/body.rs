//! The rest of a message body, and where its content is in the received bytes.

use crate::limits::Limits;
use crate::parse::{Chunk, ChunkedDecoder, HeadScan};
use crate::part::part;
use crate::request::BodyLength;

/// The rest of a message body, or after it, the next head as far as it was scanned: never both.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Finished,
    /// Finished, and a part of the next head has arrived.
    Head(HeadScan),
    /// Bytes of another protocol, up to the end of the connection.
    Raw,
    /// Bytes still to come.
    Length(u64),
    /// `allowed`: how much content may still come.
    Chunked {
        decoder: ChunkedDecoder,
        allowed: u64,
    },
}

/// Where content is in the received bytes.
pub(super) struct Slice {
    /// Content that was offered before, at the very front; its framing has been removed.
    pub(super) held: usize,
    /// Framing after that.
    pub(super) skip: usize,
    /// New content after that.
    pub(super) len: usize,
    /// Whether the body ends here.
    pub(super) ended: bool,
    /// Bytes of the trailer section, if it is kept and complete; it follows the framing.
    pub(super) trailers: Option<usize>,
}

impl Slice {
    /// Framing, then content.
    const fn new(skip: usize, len: usize, ended: bool) -> Self {
        Self { held: 0, skip, len, ended, trailers: None }
    }
}

impl Body {
    pub(super) const fn of(length: BodyLength, allowed: u64) -> Self {
        match length {
            BodyLength::None | BodyLength::Length(0) => Self::Finished,
            BodyLength::Length(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked { decoder: ChunkedDecoder::new(), allowed },
        }
    }

    #[inline]
    pub(super) const fn is_finished(&self) -> bool {
        matches!(self, Self::Finished | Self::Head(_))
    }

    /// The progress of scanning the next head.
    #[inline]
    pub(super) fn scan(&self) -> HeadScan {
        if let Self::Head(scan) = self { *scan } else { HeadScan::default() }
    }

    pub(super) const fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    /// Bytes of content that may still come: `u64::MAX` if it is chunked.
    pub(super) const fn announced(&self) -> u64 {
        match self {
            Self::Finished | Self::Head(_) | Self::Raw => 0,
            Self::Length(length) => *length,
            Self::Chunked { .. } => u64::MAX,
        }
    }

    /// Sets how much content may still come; `false` if more was announced.
    pub(super) const fn allow(&mut self, bytes_max: u64) -> bool {
        match self {
            Self::Finished | Self::Head(_) | Self::Raw => true,
            Self::Length(length) => *length <= bytes_max,
            Self::Chunked { allowed, .. } => {
                *allowed = bytes_max;
                true
            }
        }
    }

    /// Finds the next content in `bytes`, after the first `held` bytes. The error is the status of the refusal if the
    /// framing is broken or a limit is exceeded.
    pub(super) fn poll(&mut self, bytes: &[u8], held: usize, limits: &Limits) -> Result<Slice, u16> {
        match self {
            Self::Finished | Self::Head(_) => Ok(Slice::new(0, 0, true)),
            Self::Raw => Ok(Slice::new(0, bytes.len(), false)),
            Self::Length(length) => {
                let len = usize::try_from(*length).unwrap_or(usize::MAX).min(bytes.len());
                Ok(Slice::new(0, len, len as u64 == *length))
            }
            Self::Chunked { decoder, allowed } => {
                let following = bytes.get(held..).unwrap_or_default();
                let slice = match decoder.poll(following, limits).map_err(|error| error.status())? {
                    Chunk::NeedMore { consumed } => Slice::new(consumed, 0, false),
                    Chunk::Data { len, .. } if len as u64 > *allowed => return Err(413),
                    Chunk::Data { skip, len } => Slice::new(skip, len, false),
                    Chunk::End { consumed } => {
                        if held == 0 {
                            *self = Self::Finished;
                        }
                        Slice::new(consumed, 0, true)
                    }
                };
                Ok(Slice { held, ..slice })
            }
        }
    }

    /// Like [`poll`](Self::poll), but the trailer section stays in `bytes`, and is reported once it is complete;
    /// [`take`](Self::take) then ends the content.
    #[cold]
    pub(super) fn poll_keeping_trailers(&mut self, bytes: &[u8], held: usize, limits: &Limits) -> Result<Slice, u16> {
        let Self::Chunked { decoder, allowed } = self else { return self.poll(bytes, held, limits) };
        let bytes = bytes.get(held..).unwrap_or_default();
        let mut skip = 0;
        if !decoder.is_at_trailers() {
            match decoder.poll_content(bytes, limits).map_err(|error| error.status())? {
                Chunk::Data { len, .. } if len as u64 > *allowed && !planted!(TrailersUnlimited) => return Err(413),
                Chunk::Data { skip, len } => return Ok(Slice { held, ..Slice::new(skip, len, false) }),
                Chunk::NeedMore { consumed } | Chunk::End { consumed } => skip = consumed,
            }
        }
        let mut slice = Slice { held, ..Slice::new(skip, 0, false) };
        if decoder.is_at_trailers() {
            slice.trailers = decoder.poll_trailers(part(bytes, skip..), limits).map_err(|error| error.status())?;
            slice.ended = slice.trailers.is_some();
        }
        Ok(slice)
    }

    /// Counts `count` bytes of content as consumed, starting with the `held` ones. Chunked content is finished only
    /// when all of it has been consumed, including what is held.
    pub(super) fn take(&mut self, count: usize, held: &mut u32) {
        match self {
            Self::Finished | Self::Head(_) | Self::Raw => {}
            Self::Length(length) => {
                *length -= count as u64;
                if *length == 0 {
                    *self = Self::Finished;
                }
            }
            Self::Chunked { decoder, allowed } => {
                let from_held = count.min(*held as usize);
                *held -= from_held as u32;
                decoder.consume_data(count - from_held);
                *allowed -= (count - from_held) as u64;
                if decoder.is_finished() && *held == 0 {
                    *self = Self::Finished;
                }
            }
        }
    }

    /// Takes the first `count` bytes of content out of their chunks, to be offered again together with more. `false` if
    /// the body is not chunked: more content then follows directly.
    pub(super) fn hold(&mut self, count: usize, held: &mut u32) -> bool {
        if !matches!(self, Self::Chunked { .. }) {
            return false;
        }
        self.take(count, held);
        *held = count as u32;
        true
    }
}
