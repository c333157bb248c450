//! A server in tasks of embassy: `Solo` over sockets of embassy-net, for four connections at a time, in 64 KiB of RAM.
#![no_std]
#![no_main]

mod clock;
mod nic;
mod seats;

use aurora_bare_metal_device::board::{Late, Once, entry, give_up, start};
use embassy_executor::{Executor, Spawner};
use embassy_net::tcp::{Error, TcpSocket};
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use nic::Nic;
use seats::Seats;

/// Connections that are served, newcomers that wait for it, and those that have yet to close. embassy-net has no backlog: each
/// of them has a task.
const SOCKETS: usize = 12;
/// Bytes that a socket can receive, or send, until the other side says that they have come.
const WINDOW: usize = 1024;
/// What a client may still be sending is read for so long.
const LINGER: Duration = Duration::from_secs(2);
/// A client that has said nothing for so long is asked whether it is there.
const ALIVE: Duration = Duration::from_secs(5);
/// A client that has not answered for so long is gone, also one that has never completed its handshake.
const GONE: Duration = Duration::from_secs(15);

const PORT: u16 = 80;
const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// In the network that QEMU makes up.
const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);
const ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// The board has no source of randomness. A device in a network that others share needs one: from this come the numbers that
/// a stranger has to guess to speak for a client.
const SEED: u64 = 0x5eed;

/// What has come on a connection, and what leaves.
type Windows = [[u8; WINDOW]; 2];

static EXECUTOR: Late<Executor> = Late::new();
static RESOURCES: Late<StackResources<SOCKETS>> = Late::new();
static WINDOWS: Once<[Windows; SOCKETS]> = Once::new([[[0; WINDOW]; 2]; SOCKETS]);

#[entry]
fn main() -> ! {
    start();
    let Some(executor) = EXECUTOR.fill(Executor::new) else { give_up() };
    executor.run(|spawner| begin(spawner).unwrap_or_else(|| give_up()))
}

/// Not inlined, so that what the stack needs for this is free again afterwards.
#[inline(never)]
fn begin(spawner: Spawner) -> Option<()> {
    let config = StaticConfigV4 { address: ADDRESS, gateway: Some(ROUTER), dns_servers: Default::default() };
    let resources = RESOURCES.fill(StackResources::new)?;
    let (stack, runner) = embassy_net::new(Nic::start(MAC)?, Config::ipv4_static(config), resources, SEED);
    let seats = Seats::new()?;
    spawner.spawn(network(runner).ok()?);
    for windows in WINDOWS.take()? {
        spawner.spawn(serve(stack, windows, seats).ok()?);
    }
    Some(())
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Nic>) {
    runner.run().await;
}

/// Serves one connection after the other.
#[embassy_executor::task(pool_size = SOCKETS)]
async fn serve(stack: Stack<'static>, windows: &'static mut Windows, seats: &'static Seats) {
    let [received, unsent] = windows;
    let mut socket = TcpSocket::new(stack, received, unsent);
    socket.set_nagle_enabled(false);
    socket.set_keep_alive(Some(ALIVE));
    socket.set_timeout(Some(GONE));
    loop {
        if socket.accept(PORT).await.is_ok() {
            seats.serve(&mut Stream(&mut socket)).await;
        }
        end(&mut socket).await;
    }
}

/// A socket whose flush does not wait. That of embassy-net waits until the client has acknowledged everything, which it may
/// delay, once for each buffer; what was written is sent without it.
struct Stream<'s, 'a>(&'s mut TcpSocket<'a>);

impl ErrorType for Stream<'_, '_> {
    type Error = Error;
}

impl Read for Stream<'_, '_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.0.read(into).await
    }
}

impl Write for Stream<'_, '_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Ends our direction, and reads what the client may still be sending: a reset could destroy the response on its way.
async fn end(socket: &mut TcpSocket<'_>) {
    socket.close();
    let drain = async {
        while socket.read_with(|bytes| (bytes.len(), bytes.len())).await.is_ok_and(|count| count > 0) {}
        socket.flush().await
    };
    if !matches!(with_timeout(LINGER, drain).await, Ok(Ok(()))) {
        socket.abort();
        let _ = with_timeout(LINGER, socket.flush()).await;
    }
}
