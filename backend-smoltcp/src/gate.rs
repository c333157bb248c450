//! Between the device and the stack: drops newcomers for whom no socket listens.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken};
use smoltcp::time::Instant;
#[cfg(feature = "proto-ipv4")]
use smoltcp::wire::Ipv4Packet;
#[cfg(feature = "proto-ipv6")]
use smoltcp::wire::Ipv6Packet;
#[cfg(feature = "medium-ethernet")]
use smoltcp::wire::{EthernetFrame, EthernetProtocol};
use smoltcp::wire::{IpProtocol, TcpPacket};

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
    // `IpVersion::of_packet` panics where there is no byte.
    match packet.first()? >> 4 {
        #[cfg(feature = "proto-ipv4")]
        4 => {
            let packet = Ipv4Packet::new_checked(packet).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())
        }
        #[cfg(feature = "proto-ipv6")]
        6 => {
            let packet = Ipv6Packet::new_checked(packet).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())
        }
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: u8 = 0b10;
    const SYN_ACK: u8 = 0b1_0010;

    /// A segment without content, from anywhere to port 80.
    fn segment(flags: u8) -> [u8; 20] {
        let mut segment = [0; 20];
        (segment[3], segment[12], segment[13]) = (80, 5 << 4, flags);
        segment
    }

    #[cfg(feature = "proto-ipv4")]
    fn ipv4(segment: [u8; 20]) -> [u8; 40] {
        let mut packet = [0; 40];
        (packet[0], packet[3], packet[9]) = (0x45, 40, 6);
        packet[20..].copy_from_slice(&segment);
        packet
    }

    #[test]
    #[cfg(all(feature = "medium-ethernet", feature = "proto-ipv4"))]
    fn newcomers_are_told_from_others_on_ethernet() {
        let frame = |flags| {
            let mut frame = [0; 54];
            frame[12] = 8;
            frame[14..].copy_from_slice(&ipv4(segment(flags)));
            frame
        };
        assert_eq!(is_newcomer(Medium::Ethernet, &frame(SYN), 80), Some(true));
        assert_eq!(is_newcomer(Medium::Ethernet, &frame(SYN), 81), Some(false));
        assert_eq!(is_newcomer(Medium::Ethernet, &frame(SYN_ACK), 80), Some(false));
        for len in 0..54 {
            assert_eq!(is_newcomer(Medium::Ethernet, &frame(SYN)[..len], 80), None, "{len} bytes");
        }
    }

    #[test]
    #[cfg(all(feature = "medium-ip", feature = "proto-ipv6"))]
    fn newcomers_are_told_from_others_by_ipv6() {
        let packet = |next_header| {
            let mut packet = [0; 60];
            (packet[0], packet[5], packet[6]) = (6 << 4, 20, next_header);
            packet[40..].copy_from_slice(&segment(SYN));
            packet
        };
        assert_eq!(is_newcomer(Medium::Ip, &packet(6), 80), Some(true));
        assert_eq!(is_newcomer(Medium::Ip, &packet(17), 80), None, "UDP");
    }
}
