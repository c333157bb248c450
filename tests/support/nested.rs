//! What a worker in somebody else's loop has to do, whatever that loop is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http::{
    Backend, Content, Flow, Handler, Request, ResponseWriter, Server, SocketReactor, StopFlag, Wake, Worker,
    WorkerStorage,
};

const LONG: usize = 30_000_000;
const CLIENTS: usize = 900;
/// How long the program is busy with something else.
const PAUSE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers `/long` with 30 MB, anything else with the number of bytes of content.
#[derive(Default)]
pub(crate) struct Echo;

pub(crate) enum Exchange {
    Counting(usize),
    Sending(usize),
}

static PIECE: [u8; 65_536] = [b'x'; 65_536];

impl Handler for Echo {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        if request.path() == "/long" {
            response.content_length(LONG as u64).unwrap();
            return Flow::Stream(Exchange::Sending(LONG));
        }
        Flow::Receive(Exchange::Counting(0))
    }

    fn receive(
        &mut self,
        exchange: Exchange,
        content: Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        unimplemented!("{:?} {:?}", content.bytes().len(), response)
    }
}
