//! Encoders, which write into memory.

use std::fmt;
use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder as ZstdEncoder;

/// Levels at which an encoder keeps up with a network: fast, and most of what can be gained.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: i32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// Windows of 256 KiB, of which memory is a multiple.
const WINDOW_LOG: u32 = 18;
/// Output that is kept allocated.
const OUTPUT_KEPT: usize = 64 * 1024;

/// A content coding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coding {
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Brotli, Self::Zstd, Self::Gzip].into_iter().find(|coding| coding.name() == name)
    }
}

/// An encoder with the output that has not been sent.
pub(crate) struct Encoder {
    state: State,
    /// Output that was taken from the state.
    finished: Vec<u8>,
    sent: usize,
    /// There is content of which no output may be there yet.
    is_behind: bool,
}

enum State {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    /// All output is in `finished`.
    Finished,
}

impl Encoder {
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        let state = match coding {
            Coding::Gzip => State::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Coding::Brotli => {
                let parameters = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: WINDOW_LOG as i32,
                    ..BrotliEncoderParams::default()
                };
                State::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), 4096, &parameters)))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
                State::Zstd(encoder)
            }
        };
        Ok(Self { state, finished: Vec::new(), sent: 0, is_behind: false })
    }

    pub(crate) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.is_behind = true;
        match &mut self.state {
            State::Gzip(encoder) => encoder.write_all(content),
            State::Brotli(encoder) => encoder.write_all(content),
            State::Zstd(encoder) => encoder.write_all(content),
            State::Finished => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Everything so far becomes output that can be decoded.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        // Otherwise the encoders would write empty blocks.
        if !std::mem::take(&mut self.is_behind) {
            return Ok(());
        }
        match &mut self.state {
            State::Gzip(encoder) => encoder.flush(),
            State::Brotli(encoder) => encoder.flush(),
            State::Zstd(encoder) => encoder.flush(),
            State::Finished => Ok(()),
        }
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let rest = match std::mem::replace(&mut self.state, State::Finished) {
            State::Gzip(encoder) => encoder.finish()?,
            State::Brotli(encoder) => encoder.into_inner(),
            State::Zstd(encoder) => encoder.finish()?,
            State::Finished => return Ok(()),
        };
        if self.sent > 0 {
            // What was sent is in front of the rest.
            self.finished = rest[self.sent..].to_vec();
            self.sent = 0;
        } else {
            self.finished = rest;
        }
        Ok(())
    }

    pub(crate) const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    fn all(&mut self) -> &mut Vec<u8> {
        match &mut self.state {
            State::Gzip(encoder) => encoder.get_mut(),
            State::Brotli(encoder) => encoder.get_mut(),
            State::Zstd(encoder) => encoder.get_mut(),
            State::Finished => &mut self.finished,
        }
    }

    /// Output that has not been sent.
    pub(crate) fn output(&mut self) -> &[u8] {
        let sent = self.sent;
        &self.all()[sent..]
    }

    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count;
        let sent = self.sent;
        let all = self.all();
        if sent == all.len() {
            all.clear();
            all.shrink_to(OUTPUT_KEPT);
            self.sent = 0;
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Coding, Encoder};
    use crate::ENCODER_BYTES_MAX;

    /// The memory of this process, in bytes; what encoders in C allocate is part of it.
    fn resident() -> Option<usize> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()? * 1024)
    }

    /// Text with enough in it to fill an encoder's tables.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let step = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"etaoin shrdlu\n"[(state >> 60) as usize % 14]
        };
        std::iter::repeat_with(step).take(length).collect()
    }

    #[test]
    fn no_encoder_takes_more_memory_than_is_said_however_long_the_content() {
        const ENCODERS: usize = 4;
        if resident().is_none() {
            println!("SKIPPED: this system does not tell the memory of a process");
            return;
        }
        let text = text(1 << 19);
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let before = resident().unwrap_or_default();
            let encoders: Vec<Encoder> = (0..ENCODERS)
                .map(|_| {
                    let mut encoder = Encoder::new(coding).expect("an encoder");
                    let mut length = 0;
                    for piece in text.chunks(16 * 1024) {
                        encoder.write(piece).expect("memory");
                        let count = encoder.output().len();
                        length += count;
                        encoder.sent(count);
                    }
                    assert!(length > text.len() / 4, "{coding:?}: it has worked");
                    encoder
                })
                .collect();
            let each = (resident().unwrap_or_default().saturating_sub(before)) / ENCODERS;
            println!("{coding:?}: {} KiB", each / 1024);
            assert!(each <= ENCODER_BYTES_MAX, "{coding:?}: {each} bytes");
            drop(encoders);
        }
    }
}
