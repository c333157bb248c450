//! `Solo` as on a device: tasks of embassy's executor, each with a socket of embassy-net and memory that is there from the
//! beginning. Here both run on Linux, and the network is a TAP device; on a microcontroller the driver is another one, and
//! `main`. SIGTERM ends the program once what is under way is finished.
//!
//!     ip tuntap add dev tap7 mode tap; ip addr add 192.168.69.1/24 dev tap7; ip link set tap7 up
//!     cargo run --example embassy_net tap7

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_io::Async;
use aurora_embedding::Site;
use aurora_http::core::adapter::Solo;
use aurora_http::core::pool::{BufferPool, Buffers};
use aurora_http::core::preamble::Preamble;
use aurora_http::core::time::Instant;
use aurora_http::{Class, ClassCounts, CloseReason, Limits, Timeouts};
use embassy_executor::Executor;
use embassy_futures::select::{Either, select};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_net_tuntap::TunTapDevice;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::watch::{DynReceiver, Watch};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};

/// Connections at once; whoever comes beyond them is refused by the network stack, which has no backlog.
const TASKS: usize = 64;
const SOCKET_BYTES: usize = 8 * 1024;
const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(192, 168, 69, 2), 24);
const PORT: u16 = 80;
/// What a client may still be sending is read for so long.
const LINGER: Duration = Duration::from_secs(2);

/// Tells all tasks of a stop.
static STOP: Watch<CriticalSectionRawMutex, (), TASKS> = Watch::new();
/// Tasks that have not ended.
static SERVING: AtomicUsize = AtomicUsize::new(TASKS);

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("which TAP device? Such as: embassy_net tap7")?;
    let (device, signal) = (TunTapDevice::new(&name)?, Async::new(aurora_embedding::terminated()?)?);
    let config =
        Config::ipv4_static(StaticConfigV4 { address: ADDRESS, gateway: None, dns_servers: Default::default() });
    let resources = Box::leak(Box::new(StackResources::<TASKS>::new()));
    let (stack, runner) = embassy_net::new(device, config, resources, 0x5eed);
    let executor = Box::leak(Box::new(Executor::new()));
    executor.run_until(
        |spawner| {
            spawner.spawn(network(runner).expect("one"));
            spawner.spawn(stop(signal).expect("one"));
            for _ in 0..TASKS {
                spawner.spawn(serve(stack, STOP.dyn_receiver().expect("one for each")).expect("as many as its pool"));
            }
            println!("listening on {}:{PORT}", ADDRESS.address());
        },
        || SERVING.load(Ordering::Relaxed) == 0,
    );
    Ok(())
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, TunTapDevice>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn stop(signal: Async<UnixStream>) {
    let _ = signal.readable().await;
    STOP.sender().send(());
}

/// Serves one connection after the other.
#[embassy_executor::task(pool_size = TASKS)]
async fn serve(stack: Stack<'static>, mut stop: DynReceiver<'static, ()>) {
    let (mut received, mut unsent) = ([0; SOCKET_BYTES], [0; SOCKET_BYTES]);
    let mut socket = TcpSocket::new(stack, &mut received, &mut unsent);
    socket.set_nagle_enabled(false);
    let (mut memory, mut table) = (Buffers::<3, 1024>::new(), [const { None }; 3]);
    let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 3)).expect("it fits");
    pool.add_buffers(&mut memory).expect("they fit");
    let limits = Limits { timeouts: Timeouts::default(), ..Limits::small_device() };
    let mut solo =
        Solo::new(Site::default(), pool, &mut [], &mut [], limits, Preamble::new("embassy").expect("a name"));
    while accept(&mut socket, &mut stop).await {
        let now = || Instant(embassy_time::Instant::now().as_millis());
        let sleep = async |at: Instant| Timer::at(embassy_time::Instant::from_millis(at.0)).await;
        let stopped = async {
            stop.get().await;
        };
        let served = solo.serve_async_until(&mut Stream(&mut socket), now, sleep, stopped).await;
        end(&mut socket, served.is_ok_and(|reason| reason != CloseReason::PeerClosed)).await;
    }
    SERVING.fetch_sub(1, Ordering::Relaxed);
}

/// A socket whose flush does not wait. That of embassy-net waits until the client has acknowledged everything, which it may
/// delay, once for each buffer; what was written is sent without it.
struct Stream<'s, 'a>(&'s mut TcpSocket<'a>);

impl ErrorType for Stream<'_, '_> {
    type Error = embassy_net::tcp::Error;
}

impl Read for Stream<'_, '_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(into).await
    }
}

impl Write for Stream<'_, '_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Waits for a client; `false` when the program stops.
async fn accept(socket: &mut TcpSocket<'_>, stop: &mut DynReceiver<'static, ()>) -> bool {
    match select(socket.accept(PORT), stop.get()).await {
        Either::First(accepted) => accepted.is_ok(),
        Either::Second(()) => false,
    }
}

/// Ends our direction, and reads what the client may still be sending: a reset could destroy the response on its way.
async fn end(socket: &mut TcpSocket<'_>, lingers: bool) {
    socket.close();
    let drain = async {
        while lingers && socket.read(&mut [0; 256]).await.is_ok_and(|count| count > 0) {}
        socket.flush().await
    };
    if !matches!(with_timeout(LINGER, drain).await, Ok(Ok(()))) {
        socket.abort();
        let _ = socket.flush().await;
    }
}
