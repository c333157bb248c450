//! Statuses that require a field: responses have it, or are not sent.

use aurora_http_core::handler::handler_fn;
use aurora_http_core::request::Request;
use aurora_http_core::response::{Response, ResponseError};
use aurora_http_core::status::demand;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::harness::Bench;

/// The requirements of RFC 9110: status, field, a value, and whether an empty value is allowed.
const ROWS: [(u16, &str, &str, bool); 4] = [
    (401, "WWW-Authenticate", "Basic realm=\"x\"", false),
    (405, "Allow", "GET, HEAD", true),
    (407, "Proxy-Authenticate", "Basic realm=\"x\"", false),
    (426, "Upgrade", "websocket", false),
];

/// How a handler ends its response.
type End = fn(&mut ResponseWriter<'_>) -> Result<(), WriteError>;

const ENDS: [End; 3] = [
    |response| response.body("why"),
    |response| response.static_body(b"why"),
    |response| {
        response.stream(Some(3))?;
        response.write(b"why").map(|_| ())
    },
];

/// The response to a request, and the handler's last error.
fn answer(request: &str, status: u16, fields: &[(&str, &str)], end: End) -> (String, Option<WriteError>) {
    let mut told = None;
    let mut bench = Bench::new(handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
        let mut write = || {
            response.status(status)?;
            for (name, value) in fields {
                response.field(name, value)?;
            }
            end(response)
        };
        told = write().err();
    }));
    bench.send(request.as_bytes());
    let output = bench.take_output();
    drop(bench);
    (output, told)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_response_has_the_field_that_its_status_requires_or_is_500() {
    for (status, name, value, may_be_empty) in ROWS {
        for end in ENDS {
            let sent = |fields: &[(&str, &str)]| answer(GET, status, fields, end);
            for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                let (output, told) = sent(&[("A", "b"), (&name, value), ("C", "d")]);
                assert_eq!(told, None, "{status}: {output}");
                assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{output}");
                let line = format!("\r\n{name}: {value}\r\n").to_lowercase();
                assert!(output.to_lowercase().contains(&line) && output.ends_with("\r\n\r\nwhy"), "{output}");
            }
            for fields in [&[][..], &[("A", name)], &[("X-Allow", "GET"), ("B", value)]] {
                let (output, told) = sent(fields);
                assert_eq!(told, Some(WriteError::FieldMissing), "{status} {fields:?}");
                assert!(output.starts_with("HTTP/1.1 500 "), "{status} {fields:?}: {output}");
            }
            let (output, told) = sent(&[(name, " ")]);
            assert_eq!(told.is_none(), may_be_empty, "{status}: {output}");
            assert_eq!(output.starts_with("HTTP/1.1 500 "), !may_be_empty, "{status}: {output}");
        }
    }
}

#[test]
fn no_other_status_requires_a_field_and_response_agrees() {
    for status in 200..=599 {
        let row = ROWS.iter().find(|row| row.0 == status);
        assert_eq!(demand(status).map(|demand| demand.name), row.map(|row| row.1), "{status}");
        let bare = Response::new(status);
        let Some((_, name, value, _)) = row else {
            assert!(bare.build_into(&mut [0; 256]).is_ok(), "{status}");
            assert!(answer(GET, status, &[], ENDS[0]).0.starts_with(&format!("HTTP/1.1 {status} ")), "{status}");
            continue;
        };
        assert_eq!(bare.build_into(&mut [0; 256]), Err(ResponseError::FieldMissing { name }), "{status}");
        let fields = [(*name, value.as_bytes())];
        let whole = if status == 426 { bare.upgrade(value.as_bytes()) } else { bare.fields(&fields) };
        assert!(whole.build_into(&mut [0; 256]).is_ok(), "{status}");
    }
}

#[test]
fn a_426_has_the_connection_option_for_upgrade() {
    for (fields, line) in [
        ("", "Connection: upgrade\r\n"),
        ("Connection: close\r\n", "Connection: close, upgrade\r\n"),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", "Connection: upgrade\r\n"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let (output, _) = answer(&request, 426, &[("Upgrade", "websocket")], ENDS[0]);
        assert!(output.contains(&format!("\r\n{line}")), "{output}");
        assert_eq!(output.matches("Connection:").count(), 1, "{output}");
    }
    let (output, _) = answer("GET / HTTP/1.0\r\n\r\n", 426, &[("Upgrade", "websocket")], ENDS[0]);
    assert!(output.contains("\r\nConnection: close, upgrade\r\n"), "{output}");
    // With any other status only the core may set Upgrade.
    let (output, told) = answer(GET, 400, &[("Upgrade", "websocket")], ENDS[0]);
    assert_eq!((told, &output[..13]), (Some(WriteError::Reserved), "HTTP/1.1 500 "));
}

#[test]
fn failing_with_a_status_that_requires_a_field_is_500() {
    for (status, ..) in ROWS {
        let mut bench = Bench::new(handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
            let _ = response.fail(status);
            assert_eq!(response.status_so_far(), 500);
        }));
        bench.send(GET.as_bytes());
        assert!(bench.take_output().starts_with("HTTP/1.1 500 "), "{status}");
    }
}

#[test]
fn a_failure_keeps_its_status_where_the_field_was_added() {
    for (status, name, value, _) in ROWS {
        for added in [None, Some(name), Some("X-Other")] {
            let mut bench = Bench::new(handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
                if let Some(name) = added {
                    // Of the server's own fields, none can be added.
                    let _ = response.add_field(name, value);
                }
                response.fail(status)
            }));
            bench.send(GET.as_bytes());
            let output = bench.take_output();
            let expected = if added == Some(name) && status != 426 { status } else { 500 };
            assert!(output.starts_with(&format!("HTTP/1.1 {expected} ")), "{status} {added:?}: {output}");
            let is_there = added.is_some_and(|name| output.contains(&format!("\r\n{name}: {value}\r\n")));
            assert_eq!(is_there, added.is_some() && (status != 426 || added != Some(name)), "{output}");
        }
    }
}
