//! The pages, without a board: in memory and in virtual time.

use aurora_bare_metal_device::pages::{Hardware, Pages};
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::{Client, SimServer, with_server};

#[derive(Default)]
struct Bench {
    lamp: bool,
    programmed: Vec<(u32, usize)>,
}

impl Hardware for &mut Bench {
    fn uptime_ms(&self) -> u64 {
        1_234
    }
    fn lamp(&self) -> bool {
        self.lamp
    }
    fn set_lamp(&mut self, on: bool) {
        self.lamp = on;
    }
    fn temperature_tenths(&self) -> u16 {
        215
    }
    fn program(&mut self, at: u32, slice: &[u8]) {
        self.programmed.push((at, slice.len()));
    }
}

type Server<'r, 's, 'p, 'b> = &'r mut SimServer<'s, 'p, Pages<&'b mut Bench>>;

fn serve(bench: &mut Bench, test: impl FnOnce(Server<'_, '_, '_, '_>, Client)) {
    with_server(Pages::new(bench), Limits::small_device(), |server| {
        let client = server.connect();
        test(server, client);
    });
}

fn ask(server: Server<'_, '_, '_, '_>, client: Client, request: &str) -> String {
    server.send(client, request.as_bytes());
    String::from_utf8(server.receive(client)).expect("text")
}

#[test]
fn the_status_is_json() {
    serve(&mut Bench::default(), |server, client| {
        let answer = ask(server, client, "GET /status HTTP/1.1\r\nHost: d\r\n\r\n");
        let expected = r#"{"uptime_ms":1234,"led":false,"temperature":21.5,"requests":1,"firmware":{"bytes":0,"crc32":"00000000"}}"#;
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}\n")), "{answer}");
    });
}

#[test]
fn the_lamp_is_switched() {
    let mut bench = Bench::default();
    serve(&mut bench, |server, client| {
        let answer = ask(server, client, "POST /led HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\non");
        assert!(answer.ends_with("\r\n\r\non\n"), "{answer}");
        let answer = ask(server, client, "POST /led HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\ndim");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let answer = ask(server, client, "GET /led HTTP/1.1\r\nHost: d\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("Allow: POST\r\n"), "{answer}");
    });
    assert!(bench.lamp);
}

#[test]
fn firmware_comes_in_slices_one_at_a_time() {
    let mut bench = Bench::default();
    serve(&mut bench, |server, client| {
        let head = "PUT /firmware HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(ask(server, client, &format!("{head}1234")), "");
        let second = server.connect();
        let answer = ask(server, second, head);
        assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
        // The checksum that everybody tests theirs with.
        let answer = ask(server, client, "56789");
        assert!(answer.ends_with("{\"bytes\":9,\"crc32\":\"cbf43926\"}\n"), "{answer}");
        let answer = ask(server, client, "GET /status HTTP/1.1\r\nHost: d\r\n\r\n");
        assert!(answer.contains("\"firmware\":{\"bytes\":9,\"crc32\":\"cbf43926\"}"), "{answer}");
    });
    assert_eq!(bench.programmed, [(0, 4), (4, 5)]);
}

#[test]
fn an_upload_that_breaks_off_makes_room_for_the_next() {
    serve(&mut Bench::default(), |server, client| {
        assert_eq!(ask(server, client, "PUT /firmware HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n1234"), "");
        server.sim().client_close(client);
        server.settle();
        let next = server.connect();
        let answer = ask(server, next, "PUT /firmware HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\n\r\nx");
        assert!(answer.contains("{\"bytes\":1,"), "{answer}");
    });
}

#[test]
fn the_sensor_is_read_every_200_ms() {
    serve(&mut Bench::default(), |server, client| {
        let answer = ask(server, client, "GET /events?count=3 HTTP/1.1\r\nHost: d\r\n\r\n");
        assert!(
            answer.contains("Content-Type: text/event-stream") && answer.ends_with("data: 21.5\n\n\r\n"),
            "{answer}"
        );
        // The clock shows whole milliseconds, so a time comes one of them later, to be never early.
        server.pass_ms(200);
        assert_eq!(server.receive(client), b"");
        server.pass_ms(1);
        assert_eq!(server.receive(client), b"0000c\r\ndata: 21.5\n\n\r\n");
        server.pass_ms(201);
        assert!(server.receive(client).ends_with(b"\n\n\r\n0\r\n\r\n"));
    });
}
