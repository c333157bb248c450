//! Servers for a few connections at a time, which more of them share: whoever came first gets the next that is free.

use core::cell::{Cell, RefCell};

use aurora_bare_metal_device::board::{Board, Late, NAME, Once, now};
use aurora_bare_metal_device::pages::Pages;
use aurora_http_core::adapter::Solo;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Handler, Needs};
use aurora_http_core::limits::Limits;
use aurora_http_core::preamble::Preamble;
use aurora_http_core::tables::PoolTables;
use aurora_http_core::time::Instant;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::semaphore::{FairSemaphore, Semaphore};
use embassy_time::{Duration, Timer};
use embedded_io_async::{Read, Write};

use crate::SOCKETS;

/// Connections that are served at the same time.
const SEATS: usize = 4;
/// Of each: one to receive into, one to answer in, and one for content that is collected.
const BUFFERS: usize = 3;
/// A connection has so long to itself before it makes room for one that waits: enough for its first request.
const BEFORE_ROOM: Duration = Duration::from_millis(500);

type HttpSolo = Solo<'static, 'static, Shared>;

static MEMORY: Once<[PoolTables<'static, BUFFERS, 1024>; SEATS]> = Once::new([const { PoolTables::new() }; SEATS]);
static PAGES: Late<RefCell<Pages<Board>>> = Late::new();
static SOLOS: [Late<HttpSolo>; SEATS] = [const { Late::new() }; SEATS];
static PLACE: Late<Seats> = Late::new();

/// The pages of all connections. No call of a handler comes within another one, so that the cell is never borrowed twice.
struct Shared(&'static RefCell<Pages<Board>>);

impl Handler for Shared {
    const NEEDS: Needs = Pages::<Board>::NEEDS;
    type Exchange = <Pages<Board> as Handler>::Exchange;

    forward_handler!(self => *self.0.borrow_mut());
}

/// The servers.
pub struct Seats {
    free: FairSemaphore<NoopRawMutex, SOCKETS>,
    solos: Channel<NoopRawMutex, &'static mut HttpSolo, SEATS>,
    waiting: Cell<usize>,
}

impl Seats {
    /// All that there are; `None` when they were made before.
    pub fn new() -> Option<&'static Self> {
        let pages = &*PAGES.fill(|| RefCell::new(Pages::new(Board)))?;
        let solos = Channel::new();
        for (place, memory) in SOLOS.iter().zip(MEMORY.take()?) {
            let preamble = Preamble::new(NAME).ok()?;
            let solo = || Solo::new(Shared(pages), memory.pool(), &mut [], &mut [], Limits::small_device(), preamble);
            solos.try_send(place.fill(solo)?).ok()?;
        }
        let seats = || Self { free: FairSemaphore::new(SEATS), solos, waiting: Cell::new(0) };
        Some(PLACE.fill(seats)?)
    }

    /// Waits for a server, and has it serve the connection until that ends, or makes room for one that waits.
    pub async fn serve(&self, connection: &mut (impl Read + Write)) {
        self.waiting.update(|count| count + 1);
        let permit = self.free.acquire(1).await;
        self.waiting.update(|count| count - 1);
        // As many may wait as there are sockets, and there is a server for each permit.
        let (Ok(_permit), Ok(solo)) = (permit, self.solos.try_receive()) else { return };
        let sleep = async |at: Instant| Timer::at(embassy_time::Instant::from_millis(at.0)).await;
        // How it ended makes no difference.
        let _ = solo.serve_async_until(connection, now, sleep, self.room_is_wanted()).await;
        // It has the room that it was taken from.
        let _ = self.solos.try_send(solo);
    }

    /// Looks from time to time, in place of a waker for each connection.
    async fn room_is_wanted(&self) {
        loop {
            Timer::after(BEFORE_ROOM).await;
            if self.waiting.get() > 0 {
                return;
            }
        }
    }
}
