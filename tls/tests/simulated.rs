//! The layer over a simulated network: short receives and sends, calls that block although they need not, delayed and spurious
//! events, windows smaller than a record. Every byte of every response is compared, and every end must be announced.
#![cfg(unix)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use aurora_http::core::reactor::{NonBlocking, Reactor};
use aurora_http::core::readiness::{Held, Parked, Readiness};
use aurora_http::core::run::turn_within;
use aurora_http::core::sim::{self, ClientRecv, Dice, Faults, Network, SimCalls};
use aurora_http::tls::rustls::pki_types::ServerName;
use aurora_http::tls::rustls::{ClientConfig, ClientConnection};
use aurora_http::tls::{Tls, TlsConfig};
use aurora_http::{Flow, Handler, Limits, Request, ResponseWriter, Server, StopFlag, Timeouts};
use support::{Authority, VERSIONS};

const CLIENTS: usize = 4;
const REQUESTS: usize = 5;
/// A turn takes a millisecond.
const TURNS_MAX: usize = 20_000;

/// What bodies consist of.
static BODY: [u8; 100_000] = {
    let mut body = [0; 100_000];
    let mut at = 0;
    while at < body.len() {
        body[at] = (at ^ (at >> 8)) as u8;
        at += 1;
    }
    body
};

/// Answers a GET of `/N` with N bytes, and echoes content.
struct Bytes;

impl Handler for Bytes {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.method().as_str() == "POST" {
            return Flow::Collect(());
        }
        let count = request.target_str().trim_start_matches('/').parse().unwrap();
        let _ = response.static_body(&BODY[..count]);
        Flow::Finish
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body(content);
        Flow::Finish
    }
}

/// A client that reads and writes as much at a time as its dice say.
struct Player {
    end: sim::Client,
    tls: ClientConnection,
    dice: Dice,
    /// Encrypted bytes that are still to be sent.
    out: Vec<u8>,
    /// What it must receive, without heads; in order.
    expected: Vec<u8>,
    received: Vec<u8>,
    is_announced: bool,
    has_ended: bool,
}

impl Player {
    fn new(end: sim::Client, config: &Arc<ClientConfig>, mut dice: Dice) -> Self {
        let tls = ClientConnection::new(Arc::clone(config), ServerName::try_from("a").unwrap()).unwrap();
        let dice_of_its_own = dice.fork();
        let (out, expected, received) = (Vec::new(), Vec::new(), Vec::new());
        let mut player =
            Self { end, tls, dice: dice_of_its_own, out, expected, received, is_announced: false, has_ended: false };
        player.tls.set_buffer_limit(None);
        for at in 0..REQUESTS {
            player.ask(&mut dice, at + 1 == REQUESTS);
        }
        player
    }

    /// Queues a request, pipelined behind the others.
    fn ask(&mut self, dice: &mut Dice, is_last: bool) {
        let close = if is_last { "Connection: close\r\n" } else { "" };
        let length = [0, 1, 900, 16_384, 20_000, 50_000][dice.below(6)];
        let body = &BODY[..length];
        let mut writer = self.tls.writer();
        if dice.once_in(2) {
            write!(writer, "POST / HTTP/1.1\r\nHost: a\r\n{close}Content-Length: {length}\r\n\r\n").unwrap();
            writer.write_all(body).unwrap();
        } else {
            write!(writer, "GET /{length} HTTP/1.1\r\nHost: a\r\n{close}\r\n").unwrap();
        }
        self.expected.extend(body);
    }

    fn act(&mut self, network: &mut Network) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.out).unwrap();
        }
        let count = self.dice.below(self.out.len().min(30_000) + 1);
        let sent = network.client_send(self.end, &self.out[..count]);
        self.out.drain(..sent);
        let mut bytes = [0; 5_000];
        let room = self.dice.between(1, bytes.len());
        match network.client_recv(self.end, &mut bytes[..room]) {
            ClientRecv::Bytes(count) => self.take(&bytes[..count]),
            ClientRecv::Nothing => {}
            ClientRecv::Fin => {
                self.has_ended = true;
                network.client_close(self.end);
            }
            ClientRecv::Reset => panic!("a reset after {} bytes", self.received.len()),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            self.is_announced |= self.tls.process_new_packets().unwrap().peer_has_closed();
            match self.tls.reader().read_to_end(&mut self.received) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }

    fn check(&self, what: &str) {
        assert!(self.is_announced, "{what}: the end is announced");
        let mut rest = &self.received[..];
        let mut bodies: Vec<u8> = Vec::new();
        for _ in 0..REQUESTS {
            let head_len = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
            let head = String::from_utf8_lossy(&rest[..head_len]);
            assert!(head.starts_with("HTTP/1.1 200 "), "{what}: {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
            let end = head_len + length.parse::<usize>().unwrap();
            bodies.extend(&rest[head_len..end]);
            rest = &rest[end..];
        }
        assert!(rest.is_empty() && bodies == self.expected, "{what}: {} bytes", bodies.len());
    }
}

fn play(seed: u64, authority: &Authority, tls: &TlsConfig) {
    let mut dice = Dice::new(seed);
    let window = [300, 4_096, 40_000][dice.below(3)];
    let mut network = Network::new(CLIENTS + 2, window);
    let mut chance = || [0, 100, 400][dice.below(3)];
    let faults = Faults {
        short_recv: chance(),
        short_send: chance(),
        would_block: chance(),
        delay: chance(),
        delay_ms_max: 5,
        spurious_event: chance(),
        partial_wait: chance(),
        ..Faults::default()
    };
    network.set_faults(faults, dice.fork());
    let listener = network.listen().unwrap();
    let timeouts = Timeouts { rate_min: None, ..Timeouts::default() };
    let limits = Limits { timeouts, ..Limits::default() };
    let mut storage = Server::new().connections(CLIENTS).limits(limits).engine_storage().unwrap();
    let mut engine = storage.engine(Bytes).unwrap();
    engine.listen(listener).unwrap();
    let mut parked: Vec<_> = (0..CLIENTS + 2).map(|_| Parked::new()).collect();
    let mut held: Vec<_> = (0..CLIENTS).map(|_| Held::new()).collect();
    let mut lent: Vec<_> = (0..4).map(|_| None).collect();
    let io = Tls::new(SimCalls::over(network), tls, CLIENTS + 2);
    let mut reactor = Readiness::new(io, &mut parked, &mut held, &mut lent);
    let config = Arc::new(authority.client_of(&[VERSIONS[dice.below(2)]], None));
    let mut players: Vec<_> = (0..CLIENTS)
        .map(|_| Player::new(reactor.get_mut().get_mut().connect(listener).unwrap(), &config, dice.fork()))
        .collect();
    let stop = StopFlag::new();
    for _ in 0..TURNS_MAX {
        for player in players.iter_mut().filter(|player| !player.has_ended) {
            player.act(reactor.get_mut().get_mut());
        }
        if players.iter().all(|player| player.has_ended) {
            break;
        }
        turn_within(&mut engine, &mut reactor, &stop, Some(Duration::ZERO)).unwrap();
        reactor.get_mut().get_mut().advance_ms(1);
    }
    let what = format!("seed {seed}, window {window}, {faults:?}");
    players
        .iter()
        .for_each(|player| assert!(player.has_ended, "{what}: it hangs after {} bytes", player.received.len()));
    players.iter().for_each(|player| player.check(&what));
    stop.abort();
    while !engine.is_drained() {
        turn_within(&mut engine, &mut reactor, &stop, Some(Duration::from_millis(1))).unwrap();
    }
    while let Some(buf) = reactor.reclaim() {
        engine.handle_reclaimed(buf);
    }
    assert_eq!(engine.pool().in_use(), 0, "{what}: every buffer comes back");
    assert_eq!(reactor.get_ref().get_ref().open_handles(), 0, "{what}: every socket is closed");
    assert!(!reactor.get_ref().has_more(), "{what}: nothing is left to report");
}

#[test]
fn every_byte_arrives_whatever_the_network_does() {
    let authority = Authority::new();
    let made = authority.sign("a");
    let tls = TlsConfig::from_pem(&made.chain, &made.key).unwrap();
    let seeds = std::env::var("AURORA_TLS_SEEDS").map_or(40, |seeds| seeds.parse().unwrap());
    (0..seeds).for_each(|seed| play(seed, &authority, &tls));
}
