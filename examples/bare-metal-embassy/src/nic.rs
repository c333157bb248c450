//! The Ethernet controller as a driver of embassy-net.

use core::task::Context;

use aurora_bare_metal_device::board::{Ethernet, Once};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

use crate::PORT;

/// The longest frame, without its checksum.
const FRAME_BYTES_MAX: usize = 1514;

/// One frame that came, and one that leaves.
struct Frames {
    received: [u8; FRAME_BYTES_MAX],
    sent: [u8; FRAME_BYTES_MAX],
}

static FRAMES: Once<Frames> = Once::new(Frames { received: [0; FRAME_BYTES_MAX], sent: [0; FRAME_BYTES_MAX] });

/// The controller and its frames.
pub struct Nic {
    ethernet: Ethernet,
    mac: [u8; 6],
    frames: &'static mut Frames,
}

impl Nic {
    /// Switches the controller on, with this address; `None` when there is one already.
    pub fn start(mac: [u8; 6]) -> Option<Self> {
        Some(Self { frames: FRAMES.take()?, ethernet: Ethernet::start(mac), mac })
    }
}

/// A frame that came.
pub struct Received<'n>(&'n mut [u8]);

/// Room for a frame.
pub struct Sending<'n> {
    ethernet: &'n mut Ethernet,
    frame: &'n mut [u8; FRAME_BYTES_MAX],
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { ethernet, frame } = self;
        // The stack keeps to the capabilities.
        let frame = frame.get_mut(..len).unwrap_or_default();
        let result = f(frame);
        if !is_refusal(frame) {
            ethernet.send(frame);
        }
        result
    }
}

/// Whether a frame tells a newcomer that no socket listens, which is only so for a moment: clients that hear nothing ask
/// again. It is a reset that acknowledges a SYN, with a sequence number of 0, because there is no connection.
fn is_refusal(frame: &[u8]) -> bool {
    const IPV4: [u8; 2] = [8, 0];
    const TCP: u8 = 6;
    const ACK_AND_RST: u8 = 0b1_0100;
    // The stack puts no options into the head of a packet, so that everything is always in the same place.
    let has = |at, bytes: &[u8]| frame.get(at..).is_some_and(|rest| rest.starts_with(bytes));
    has(12, &IPV4)
        && has(23, &[TCP])
        && has(34, &PORT.to_be_bytes())
        && has(38, &[0; 4])
        && frame.get(47).is_some_and(|flags| flags & ACK_AND_RST == ACK_AND_RST)
}

impl Driver for Nic {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Sending<'_>)> {
        // Before it looks, so that nothing is missed that comes in between.
        Ethernet::wake_by_frame(cx.waker());
        let Self { ethernet, frames, .. } = self;
        let len = ethernet.receive(&mut frames.received)?;
        let received = Received(frames.received.get_mut(..len)?);
        Some((received, Sending { ethernet, frame: &mut frames.sent }))
    }

    fn transmit(&mut self, _cx: &mut Context<'_>) -> Option<Sending<'_>> {
        Some(Sending { ethernet: &mut self.ethernet, frame: &mut self.frames.sent })
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_BYTES_MAX;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}
