//! A head in one piece and in several gives the same result.
//!
//! Options: which limits, and how long a piece is.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{HeadError, HeadScan, with_head};

/// Everything that a parsed head contains.
type Said = (String, Vec<u8>, Vec<(String, Vec<u8>)>, usize);

pub fn check(input: &[u8]) {
    let Some(([kind, piece], bytes)) = super::options(input) else { return };
    let limits = super::limits(kind);
    let whole = parse(bytes, &limits, &mut HeadScan::default());
    if let Ok(Some((_, _, _, head_len))) = &whole {
        assert!(*head_len <= bytes.len());
    }
    let mut scan = HeadScan::default();
    let mut end = 0;
    let split = loop {
        end = bytes.len().min(end + 1 + usize::from(piece));
        let said = parse(&bytes[..end], &limits, &mut scan);
        if said != Ok(None) || end == bytes.len() {
            break said;
        }
    };
    assert_eq!(split, whole);
}

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
