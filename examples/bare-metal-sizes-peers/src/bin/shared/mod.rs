//! The handler of both images with edge-http.

use core::fmt::{Debug, Display};

use aurora_bare_metal_sizes_peers::ANSWER;
use edge_http::io::Error;
use edge_http::io::server::{Connection, Handler};
use edge_nal::TcpSplit;
use embedded_io_async::{Read, Write};

/// Answers every request alike.
pub(crate) struct Everything;

impl Handler for Everything {
    type Error<E: Debug> = Error<E>;

    async fn handle<T, const N: usize>(
        &self,
        _: impl Display + Copy,
        connection: &mut Connection<'_, T, N>,
    ) -> Result<(), Error<T::Error>>
    where
        T: Read + Write + TcpSplit,
    {
        connection.initiate_response(200, Some("OK"), &[("Content-Length", "7")]).await?;
        connection.write_all(ANSWER.as_bytes()).await
    }
}
