//! Between the device and the stack: drops newcomers for whom no socket listens.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken};
use smoltcp::time::Instant;
#[cfg(feature = "proto-ipv4")]
use smoltcp::wire::Ipv4Packet;
#[cfg(feature = "proto-ipv6")]
use smoltcp::wire::Ipv6Packet;
#[cfg(feature = "medium-ethernet")]
use smoltcp::wire::{EthernetFrame, EthernetProtocol};
use smoltcp::wire::{IpProtocol, IpVersion, TcpPacket};

/// The device while a frame is taken from it.
pub(crate) struct Gate<'d, D> {
    pub(crate) device: &'d mut D,
    pub(crate) port: u16,
    /// No socket listens.
    pub(crate) is_full: bool,
    /// Newcomers that were dropped.
    pub(crate) dropped: &'d mut u32,
}

/// What came, to be looked at first.
pub(crate) struct Frame<'d, T> {
    token: T,
    medium: Medium,
    /// Where newcomers are counted; `None` lets them in.
    gate: Option<(u16, &'d mut u32)>,
}

impl<D: Device> Device for Gate<'_, D> {
    type RxToken<'a>
        = Frame<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, timestamp: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let medium = self.device.capabilities().medium;
        let (token, reply) = self.device.receive(timestamp)?;
        let gate = self.is_full.then_some((self.port, &mut *self.dropped));
        Some((Frame { token, medium, gate }, reply))
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(timestamp)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

impl<T: RxToken> RxToken for Frame<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Self { token, medium, gate } = self;
        token.consume(|bytes| match gate {
            Some((port, dropped)) if is_newcomer(medium, bytes, port).unwrap_or(false) => {
                *dropped = dropped.wrapping_add(1);
                // The stack ignores an empty frame.
                f(&[])
            }
            _ => f(bytes),
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Whether a frame has a SYN for `port`; `None` when it cannot be read. A newcomer behind extension headers of IPv6 is not
/// recognised: the stack resets it.
fn is_newcomer(medium: Medium, frame: &[u8], port: u16) -> Option<bool> {
    let segment = tcp_segment(ip_packet(medium, frame)?)?;
    let segment = TcpPacket::new_checked(segment).ok()?;
    Some(segment.dst_port() == port && segment.syn() && !segment.ack())
}

fn ip_packet(medium: Medium, frame: &[u8]) -> Option<&[u8]> {
    match medium {
        #[cfg(feature = "medium-ethernet")]
        Medium::Ethernet => {
            let frame = EthernetFrame::new_checked(frame).ok()?;
            let is_ip = matches!(frame.ethertype(), EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6);
            is_ip.then(|| frame.payload())
        }
        #[cfg(feature = "medium-ip")]
        Medium::Ip => Some(frame),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

fn tcp_segment(packet: &[u8]) -> Option<&[u8]> {
    match IpVersion::of_packet(packet).ok()? {
        #[cfg(feature = "proto-ipv4")]
        IpVersion::Ipv4 => {
            let packet = Ipv4Packet::new_checked(packet).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())
        }
        #[cfg(feature = "proto-ipv6")]
        IpVersion::Ipv6 => {
            let packet = Ipv6Packet::new_checked(packet).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())
        }
        #[allow(unreachable_patterns)]
        _ => None,
    }
}
