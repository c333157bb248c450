//! Access logs on the facades that programs choose from.

use std::fmt::{Debug, Write};
use std::sync::Mutex;

use aurora_http::testing::Client;
use aurora_http_web::Routes;
use aurora_http_web::middleware::{AccessLog, RequestId, Wrap};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn push(line: String) {
    LINES.lock().unwrap().push(line);
}

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        push(format!("{} {} {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// Takes events, and no spans.
struct Events;

impl Subscriber for Events {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} {}", event.metadata().level(), event.metadata().target());
        event.record(&mut Fields(&mut line));
        push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields<'l>(&'l mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[test]
fn each_request_is_a_record_of_log_and_an_event_of_tracing() {
    static LOG: Log = Log;
    log::set_logger(&LOG).expect("the only one");
    log::set_max_level(log::LevelFilter::Info);
    tracing::subscriber::set_global_default(Events).expect("the only one");
    let site = Routes::new().get("/", |_, _, response| response.body("hello")).with_state(());
    let site = site.wrap(AccessLog::to_tracing().with_ids(RequestId::new(1))).wrap(AccessLog::to_log());
    assert_eq!(Client::new(site).get("/").text(), "hello");
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    let [event, record] = &lines[..] else { panic!("{lines:?}") };
    assert!(
        record.starts_with("INFO access - - - [") && record.ends_with(" +0000] \"GET / HTTP/1.1\" 200 94 \"-\" \"-\""),
        "{record}"
    );
    assert!(event.starts_with("INFO access") && event.contains("\"GET / HTTP/1.1\" 200 "), "{event}");
    for field in [" status=200", " took_ms=", " bytes=94", " id=\"0000000100000001\""] {
        assert!(event.contains(field), "{field}: {event}");
    }
}
