//! The parser of heads, and the decoder of chunked content.
#![no_std]
#![no_main]

use core::hint::black_box;

use aurora_bare_metal_sizes::{Line, Once, entry, give_up};
use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{Chunk, ChunkedDecoder, HeadScan, with_head};
use embedded_io::Read;

static BYTES: Once<[u8; 1024]> = Once::new([0; 1024]);

entry!(main);

fn main() -> ! {
    let Some(bytes) = BYTES.take() else { give_up() };
    let limits = Limits::small_device();
    loop {
        let mut scan = HeadScan::default();
        let Ok(count) = Line.read(bytes);
        let bytes = bytes.get(..count).unwrap_or_default();
        with_head(bytes, &limits, &mut scan, |head| match head {
            Ok(Some(request)) => black_box(request.path()).len(),
            Ok(None) => 0,
            Err(error) => usize::from(error.status()),
        });
        chunks(bytes, &limits);
    }
}

fn chunks(mut bytes: &[u8], limits: &Limits) {
    let mut decoder = ChunkedDecoder::new();
    while let Ok(Chunk::Data { skip, len }) = decoder.poll(bytes, limits) {
        black_box(bytes.get(skip..).and_then(|content| content.get(..len)));
        decoder.consume_data(len);
        bytes = bytes.get(skip..).and_then(|rest| rest.get(len..)).unwrap_or_default();
    }
}
