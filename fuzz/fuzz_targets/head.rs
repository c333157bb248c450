//! A head in one piece and in two has the same answer.
#![no_main]

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{HeadError, HeadScan, with_head};
use libfuzzer_sys::fuzz_target;

/// Everything that a parsed head says.
type Said = (String, Vec<u8>, Vec<(String, Vec<u8>)>, usize);

fn parse(bytes: &[u8], limits: &Limits, scan: &mut HeadScan) -> Result<Option<Said>, HeadError> {
    with_head(bytes, limits, scan, |head| {
        head.map(|request| {
            request.map(|request| {
                let fields = request.fields().iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
                (request.method().as_str().to_owned(), request.target().to_vec(), fields.collect(), request.head_len())
            })
        })
    })
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (kind, at, bytes) = input;
    let limits = if kind & 1 == 0 { Limits::default() } else { Limits::small_device() };
    let whole = parse(bytes, &limits, &mut HeadScan::default());
    if let Ok(Some((_, _, _, head_len))) = &whole {
        assert!(*head_len <= bytes.len());
    }
    let at = usize::from(at) % (bytes.len() + 1);
    let mut scan = HeadScan::default();
    let first = parse(&bytes[..at], &limits, &mut scan);
    let split = if first == Ok(None) { parse(bytes, &limits, &mut scan) } else { first };
    assert_eq!(split, whole);
});
