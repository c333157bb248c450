//! The Ethernet controller as a device of smoltcp.

use aurora_bare_metal_device::board::{Ethernet, Once};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

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
    frames: &'static mut Frames,
}

impl Nic {
    /// Over a controller that was started; `None` when there is one already.
    pub fn new(ethernet: Ethernet) -> Option<Self> {
        Some(Self { ethernet, frames: FRAMES.take()? })
    }
}

/// A frame that came.
pub struct Received<'n>(&'n [u8]);

/// Room for a frame.
pub struct Sending<'n> {
    ethernet: &'n mut Ethernet,
    frame: &'n mut [u8; FRAME_BYTES_MAX],
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { ethernet, frame } = self;
        // The stack keeps to the capabilities.
        let frame = frame.get_mut(..len).unwrap_or_default();
        let result = f(frame);
        ethernet.send(frame);
        result
    }
}

impl Device for Nic {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let Self { ethernet, frames } = self;
        let len = ethernet.receive(&mut frames.received)?;
        let received = Received(frames.received.get(..len)?);
        Some((received, Sending { ethernet, frame: &mut frames.sent }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        Some(Sending { ethernet: &mut self.ethernet, frame: &mut self.frames.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES_MAX;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}
