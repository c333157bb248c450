//! `Solo`, one connection without an engine, as a task of tokio's for each connection: for a program that has its own way of
//! accepting, or streams that are no sockets. SIGTERM ends the program once what is under way is finished.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aurora_embedding::{Site, SystemClock};
use aurora_http::core::adapter::Solo;
use aurora_http::core::pool::{BufferPool, Buffers};
use aurora_http::core::preamble::Preamble;
use aurora_http::{Class, ClassCounts, CloseReason, Limits};
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep_until, timeout};

/// Whoever comes beyond them waits in the listener's backlog.
const CONNECTIONS_MAX: u32 = 256;
/// To receive into, to answer in, and for content that is to be collected.
const BUFFERS: usize = 3;
/// What a client may still be sending is read for so long.
const LINGER: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let listener = aurora_embedding::listener("tokio_solo: one Solo for each connection, in tokio")?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    LocalSet::new().block_on(&Builder::new_current_thread().enable_all().build()?, async {
        let listener = TcpListener::from_std(listener)?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        let (stop, stopped) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                connection = accept(&listener, &permits) => {
                    let (stream, permit) = connection?;
                    spawn_local(serve(stream, stopped.clone(), permit));
                }
            }
        }
        stop.send_replace(true);
        // Each connection gives its permit back when it has ended.
        let _all = permits.acquire_many(CONNECTIONS_MAX).await?;
        Ok(())
    })
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Result<(TcpStream, OwnedSemaphorePermit), Box<dyn Error>> {
    let permit = Arc::clone(permits).acquire_owned().await?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn serve(stream: TcpStream, mut stopped: watch::Receiver<bool>, _permit: OwnedSemaphorePermit) {
    let mut memory = Box::new(Buffers::<BUFFERS, 4096>::new());
    let mut table = [const { None }; BUFFERS];
    let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Small, BUFFERS as u32)).expect("it fits");
    pool.add_buffers(&mut memory).expect("they fit");
    let preamble = Preamble::new("tokio_solo").expect("a name");
    let mut solo = Solo::new(Site::default(), pool, &mut [], &mut [], Limits::default(), preamble);

    let (clock, mut stream) = (SystemClock::start(), FromTokio::new(stream));
    let sleep = async |at| sleep_until(clock.system_instant(at).into()).await;
    let stop = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    // A stream that failed has nobody at its other end who could be told.
    match solo.serve_async_until(&mut stream, clock, sleep, stop).await {
        Ok(CloseReason::PeerClosed) | Err(_) => {}
        Ok(_) => linger(stream.into_inner()).await,
    }
}

/// Closing while the client still sends would be a reset, which can destroy the response on its way (RFC 9112 §9.6).
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        while stream.read(&mut [0; 4096]).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(LINGER, drain).await;
}
