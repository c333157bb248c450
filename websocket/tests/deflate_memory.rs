//! What compression allocates: within the figures of its documentation, and nothing for what is in a bomb.

#[path = "../../tests/support/allocations.rs"]
mod allocations;
mod support;

use std::sync::Mutex;

use allocations::{count_this_thread, counted_bytes, start_counting, stop_counting};
use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::{Client, SimServer, with_server};
use aurora_http_core::writer::WriteError;
use aurora_http_websocket::{Budget, Deflate, Event, Options, websocket_deflate};
use flate2::{Compress, Compression, FlushCompress, Status};
use support::{BINARY, CLOSE, HANDSHAKE, frame, raw, said, said_compressed};

/// The counters are the process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
const MESSAGE_BYTES_MAX: usize = 1 << 16;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn echo(deflate: Deflate) -> impl Handler {
    handler_fn(move |request, response| {
        let (_, agreed) = deflate.accept(request, response, &[])?;
        let options = Options { message_bytes_max: MESSAGE_BYTES_MAX as u32, ..Options::default() };
        Ok::<_, WriteError>(websocket_deflate(options, agreed, |event, link| {
            if let Event::Binary(bytes) = event {
                link.send_binary(bytes);
            }
        }))
    })
}

fn join<H: Handler>(server: &mut SimServer<'_, '_, H>) -> Client {
    let client = server.connect();
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    server.send(client, HANDSHAKE.replace("\r\n\r\n", offer).as_bytes());
    let head = server.receive(client);
    assert!(String::from_utf8(head).unwrap().contains("permessage-deflate"));
    client
}

/// Zeros, compressed as far as DEFLATE can.
fn zeros(count: usize) -> Vec<u8> {
    let (mut compress, mut payload) =
        (Compress::new(Compression::best(), false), Vec::with_capacity(count / 500 + 100));
    let status = compress.compress_vec(&vec![0; count], &mut payload, FlushCompress::Sync).unwrap();
    assert_eq!((status, compress.total_in()), (Status::Ok, count as u64));
    assert!(payload.ends_with(&TAIL));
    payload.truncate(payload.len() - TAIL.len());
    payload
}

/// Bytes of which a compressor has to remember all.
fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"etaoin shrdlu\n"[(state >> 60) as usize % 14]
    };
    std::iter::repeat_with(step).take(length).collect()
}

#[test]
fn a_bomb_is_stopped_at_the_limit_and_takes_no_memory() {
    let _alone = ONE_AT_A_TIME.lock();
    // A gigabyte in about a megabyte: the same 2 MiB again and again.
    let some = [zeros(1 << 21), TAIL.to_vec()].concat();
    let bomb = [some.repeat(512), vec![0]].concat();
    assert!(bomb.len() < 1_200_000, "{}", bomb.len());
    let frames = bomb.chunks(1_000).enumerate().flat_map(|(at, part)| raw(if at == 0 { 0x42 } else { 0 }, part));
    for bomb in [raw(0xc2, &bomb), frames.collect()] {
        let deflate = Deflate::new(&Budget::new(1));
        let bytes_max = (MESSAGE_BYTES_MAX + deflate.websocket_bytes_max()) as i64;
        with_server(echo(deflate), Limits::default(), |server| {
            let client = join(server);
            count_this_thread(true);
            start_counting();
            let (mut taken, mut heard) = (0, Vec::new());
            for piece in bomb.chunks(1_024) {
                server.send(client, piece);
                taken += piece.len();
                heard = server.receive(client);
                if !heard.is_empty() {
                    break;
                }
            }
            let (_, most) = counted_bytes();
            stop_counting();
            count_this_thread(false);
            // The simulated network remembers what it passes on.
            let network = 4_096;
            println!("{taken} bytes of {} were taken, {most} allocated at most", bomb.len());
            assert!(most <= bytes_max + network && taken <= 1_024, "{most} bytes, after {taken}");
            assert_eq!(said(&heard), [(CLOSE, 1_009_u16.to_be_bytes().to_vec())]);
            assert!(server.has_ended(client));
        });
    }
}

/// The bytes that a server has allocated for WebSockets which have each sent a half message, and received some whole ones.
fn allocated(deflate: Deflate, websockets: usize) -> i64 {
    let half = {
        let payload = zeros(MESSAGE_BYTES_MAX);
        raw(0x42, &payload[..payload.len() / 8])
    };
    with_server(echo(deflate), Limits::default(), |server| {
        let clients: Vec<_> = (0..websockets).map(|_| join(server)).collect();
        count_this_thread(true);
        start_counting();
        for client in &clients {
            for round in 0..3 {
                server.send(*client, &frame(BINARY, random(60_000, round)));
                let heard = server.receive(*client);
                assert_eq!(said_compressed(&heard, &mut |payload| payload.to_vec()).len(), 1);
                assert!(heard.len() < 45_000, "it was compressed");
            }
            server.send(*client, &half);
        }
        let (now, _) = counted_bytes();
        stop_counting();
        count_this_thread(false);
        now
    })
}

#[test]
fn websockets_and_workers_take_no_more_memory_than_is_said() {
    const MORE: usize = 4;
    let _alone = ONE_AT_A_TIME.lock();
    let deflate = |keeps, bits| Deflate::new(&Budget::new(100)).context_takeover(keeps).window_bits(bits);
    for (keeps, bits) in [(false, 15), (false, 9), (true, 15), (true, 12), (true, 9)] {
        let one = allocated(deflate(keeps, bits), 1);
        let each = (allocated(deflate(keeps, bits), 1 + MORE) - one) / MORE as i64;
        let said = deflate(keeps, bits).websocket_bytes_max() as i64;
        // Besides, there are the beginnings of messages, and a simulated network.
        let besides = 16 * 1024;
        println!("contexts kept {keeps}, window {bits}: {each} bytes each, {said} said; {one} for one");
        assert!((said / 2..=said + besides).contains(&each), "{each} bytes each, {said} said");
        let worker = deflate(keeps, bits).worker_bytes_max() as i64;
        assert!(one <= said + worker + besides, "{one} bytes for one, {} said", said + worker);
    }
}
