//! The table: every row is one case.

mod answers;
mod chunks;
mod connection;
mod content;
mod framing;
mod heads;
mod limits;
mod request_lines;

use super::case::Case;

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [
        framing::rows(),
        chunks::rows(),
        heads::rows(),
        request_lines::rows(),
        content::rows(),
        connection::rows(),
        answers::rows(),
        limits::rows(),
    ]
    .concat()
}
