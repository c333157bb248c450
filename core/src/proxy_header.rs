//! The PROXY protocol: a header before the first byte of a connection, in which a balancer or a proxy tells for whom it has
//! opened the connection. Versions 1 (a line of text) and 2 (binary) as of
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str;

use crate::error::BufferFull;
use crate::format::FixedBytes;

/// What the header says.
///
/// ```
/// use aurora_http_core::proxy_header::ProxyHeader;
///
/// let bytes = b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 80\r\nGET / HTTP/1.1\r\n";
/// let Ok(Some((ProxyHeader::Client { source, .. }, 41))) = ProxyHeader::decode(bytes) else { panic!() };
/// assert_eq!(source.to_string(), "192.0.2.1:40000");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHeader {
    /// The connection is the sender's own, such as a health check, or the client has no address: what is known of the socket
    /// counts.
    Local,
    /// The connection is that of a client.
    Client {
        /// The client's address.
        source: SocketAddr,
        /// The address that the client has connected to.
        destination: SocketAddr,
    },
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// They begin with something else: this connection does not come from such a sender.
    Missing,
    /// A line of version 1 that is malformed, or longer than [`ProxyHeader::V1_BYTES_MAX`].
    Line,
    /// A header of version 2 with an unknown version or command, or with less room than its addresses need.
    Binary,
    /// A header of version 2 that is longer than [`ProxyHeader::BYTES_MAX`].
    TooLong,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the connection does not begin with a PROXY header",
            Self::Line => "the PROXY header is malformed",
            Self::Binary => "the binary PROXY header is malformed",
            Self::TooLong => "the binary PROXY header is too long",
        })
    }
}

impl core::error::Error for ProxyHeaderError {}

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

impl ProxyHeader {
    /// The longest line of version 1, with its CRLF.
    pub const V1_BYTES_MAX: usize = 107;
    /// The longest header that [`decode`](Self::decode) accepts: addresses, and a kilobyte of further values.
    pub const BYTES_MAX: usize = 1_088;
    /// The most that [`encode_v1`](Self::encode_v1) and [`encode_v2`](Self::encode_v2) write.
    pub const ENCODED_BYTES_MAX: usize = Self::V1_BYTES_MAX;

    /// Reads the header at the front of `bytes`, of either version: what it says, and its length. `None` if there is more to
    /// come. Further values (TLVs) of version 2 are skipped.
    ///
    /// # Errors
    /// [`ProxyHeaderError`]: for a wrong start at its first wrong byte, otherwise at the latest when the line, or the addresses of a
    /// binary header, have arrived.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProxyHeaderError> {
        if is_start(bytes, V1_START) {
            return decode_line(bytes);
        }
        if is_start(bytes, V2_START) {
            return decode_binary(bytes);
        }
        Err(ProxyHeaderError::Missing)
    }

    /// Writes a line of version 1, and returns its length.
    ///
    /// # Errors
    /// [`BufferFull`] if `out` is too short; [`ENCODED_BYTES_MAX`](Self::ENCODED_BYTES_MAX) bytes are enough.
    pub fn encode_v1(&self, out: &mut [u8]) -> Result<usize, BufferFull> {
        let mut out = FixedBytes::new(out);
        let written = match self.addresses() {
            None => out.write_str("PROXY UNKNOWN\r\n"),
            Some((source, destination)) => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
            }
        };
        written.map(|()| out.as_bytes().len()).map_err(|_| BufferFull)
    }

    /// Writes a header of version 2, and returns its length.
    ///
    /// # Errors
    /// As [`encode_v1`](Self::encode_v1).
    pub fn encode_v2(&self, out: &mut [u8]) -> Result<usize, BufferFull> {
        let mut out = FixedBytes::new(out);
        out.push(V2_START)?;
        match self.addresses() {
            None => out.push(&[0x20, 0, 0, 0])?,
            Some((source, destination)) => {
                match (source.ip(), destination.ip()) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => {
                        out.push(&[0x21, TCP_OVER_IPV4, 0, 12])?;
                        out.push(&from.octets())?;
                        out.push(&to.octets())?;
                    }
                    (from, to) => {
                        out.push(&[0x21, TCP_OVER_IPV6, 0, 36])?;
                        out.push(&ipv6(from).octets())?;
                        out.push(&ipv6(to).octets())?;
                    }
                }
                out.push(&source.port().to_be_bytes())?;
                out.push(&destination.port().to_be_bytes())?;
            }
        }
        Ok(out.as_bytes().len())
    }

    /// The addresses, both of one family.
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let Self::Client { source, destination } = *self else { return None };
        if source.is_ipv4() == destination.is_ipv4() {
            return Some((source, destination));
        }
        let mapped = |address: SocketAddr| SocketAddr::from((ipv6(address.ip()), address.port()));
        Some((mapped(source), mapped(destination)))
    }
}

fn ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn is_start(bytes: &[u8], start: &[u8]) -> bool {
    let count = bytes.len().min(start.len());
    bytes.get(..count) == start.get(..count)
}

fn decode_line(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let line = bytes.get(..ProxyHeader::V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
        let is_wrong = line.len() == ProxyHeader::V1_BYTES_MAX
            || !line.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\r');
        return if is_wrong { Err(ProxyHeaderError::Line) } else { Ok(None) };
    };
    let text = line.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let text = text.and_then(|line| str::from_utf8(line).ok()).ok_or(ProxyHeaderError::Line)?;
    Ok(Some((parse_line(text).ok_or(ProxyHeaderError::Line)?, end + 1)))
}

fn parse_line(line: &str) -> Option<ProxyHeader> {
    let rest = line.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(ProxyHeader::Local);
    }
    let mut words = rest.split(' ');
    let (family, source, destination) = (words.next()?, words.next()?, words.next()?);
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let (source, destination) = (address(source)?, address(destination)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    let client = ProxyHeader::Client { source: (source, from).into(), destination: (destination, to).into() };
    words.next().is_none().then_some(client)
}

/// Digits only, without zeros before them.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

fn decode_binary(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let Some(&[version_and_command, family, high, low]) = bytes.get(12..V2_FIXED) else { return Ok(None) };
    let rest_len = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED + rest_len;
    if len > ProxyHeader::BYTES_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Binary),
    };
    let Some(rest) = bytes.get(V2_FIXED..len) else { return Ok(None) };
    let addresses = match family {
        _ if is_local => Ok(None),
        TCP_OVER_IPV4 => binary_addresses::<4>(rest).map(Some),
        TCP_OVER_IPV6 => binary_addresses::<16>(rest).map(Some),
        // Unix-domain sockets, datagrams, and what is unspecified have no address for us.
        _ => Ok(None),
    };
    let header = match addresses? {
        None => ProxyHeader::Local,
        Some((source, destination)) => ProxyHeader::Client { source, destination },
    };
    Ok(Some((header, len)))
}

fn binary_addresses<const N: usize>(rest: &[u8]) -> Result<(SocketAddr, SocketAddr), ProxyHeaderError>
where
    [u8; N]: Into<IpAddr>,
{
    let part = |at: usize, len: usize| rest.get(at..at + len).ok_or(ProxyHeaderError::Binary);
    let address = |at| part(at, N)?.try_into().map(<[u8; N]>::into).map_err(|_| ProxyHeaderError::Binary);
    let port = |at| part(at, 2)?.try_into().map(u16::from_be_bytes).map_err(|_| ProxyHeaderError::Binary);
    let (source, destination): (IpAddr, IpAddr) = (address(0)?, address(N)?);
    Ok(((source, port(2 * N)?).into(), (destination, port(2 * N + 2)?).into()))
}

#[cfg(test)]
#[path = "proxy_header_tests.rs"]
mod tests;
