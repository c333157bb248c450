//! From bytes to requests.
//!
//! What HTTP/1.1 demands of a server is here: the request line ([RFC 9112 §3]), line ends ([§2.2]), field lines ([§5]), the
//! framing of the content ([§6.3]) as one table, and the chunked coding ([§7.1]). No rule can be switched off.
//!
//! A head that has arrived whole, as nearly every head does, is read by a lexer in one pass. Whatever that does not accept,
//! and every head that arrives in pieces, is judged by a line scanner, and if it finds nothing wrong read by httparse.
//!
//! - [`with_head`] and [`parse_head`] turn received bytes into a [`Request`](crate::request::Request).
//! - [`ChunkedDecoder`] finds the content in a chunked message body.
//!
//! [RFC 9112 §3]: https://www.rfc-editor.org/rfc/rfc9112#section-3
//! [§2.2]: https://www.rfc-editor.org/rfc/rfc9112#section-2.2
//! [§5]: https://www.rfc-editor.org/rfc/rfc9112#section-5
//! [§6.3]: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
//! [§7.1]: https://www.rfc-editor.org/rfc/rfc9112#section-7.1

mod bytes;
mod chunked;
mod error;
mod field_line;
mod framing;
mod head;
mod host;
mod known;
#[cfg(not(feature = "small"))]
mod lexer;
#[cfg(feature = "small")]
mod lines;
mod request_line;
mod scan;
mod target;

pub use chunked::{Chunk, ChunkError, ChunkedDecoder};
pub use error::HeadError;
pub use field_line::FieldLineError;
pub use framing::{BodyLength, FramingError};
pub use head::{EMPTY_FIELD, FieldSlot, parse_head, with_head};
pub(crate) use known::flag;
#[cfg(not(feature = "small"))]
pub(crate) use lexer::Line;
pub use request_line::METHOD_BYTES_MAX;
pub use scan::HeadScan;
pub(crate) use scan::{is_head_request, target_in};

/// The most fields in a head that any configuration can allow.
pub const FIELDS_CAPACITY: usize = 128;
