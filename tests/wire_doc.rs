//! Checks that `docs/wire.md` is true: every row occurs once and names tests that exist, and its numbers are those of the code.

#[path = "conformance/mod.rs"]
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aurora_http_core::limits::{Limits, Overload, RateMin, Timeouts};
use wire::rows;

/// Rows of the page: the letter of a table, and how many there are.
const TABLES: [(&str, usize); 6] = [("L", 12), ("T", 11), ("S", 30), ("O", 11), ("E", 8), ("P", 3)];

/// What is tested without a socket: on bare connections, on the simulator, or piece by piece.
const WITHOUT_SOCKETS: [&str; 5] =
    ["core/", "src/", "tests/engine/", "tests/conformance/deadlines.rs", "tests/robustness.rs"];

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn page() -> String {
    read("docs/wire.md").expect("the page")
}

/// The cells of every row that has an id, by id.
fn table_rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<String> = cells(line);
        let Some((letter, number)) = cells[0].split_at_checked(1) else { continue };
        if number.parse::<usize>().is_ok() && TABLES.iter().any(|(table, _)| *table == letter) {
            let id = cells[0].clone();
            assert_eq!(rows.insert(id.clone(), cells), None, "{id} is there twice");
        }
    }
    rows
}

/// Splits at bars; an escaped bar is part of its cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_row_occurs_once() {
    let rows = table_rows(&page());
    let expected: Vec<String> =
        TABLES.iter().flat_map(|(letter, count)| (1..=*count).map(move |at| format!("{letter}{at}"))).collect();
    let missing: Vec<&String> = expected.iter().filter(|id| !rows.contains_key(*id)).collect();
    assert!(missing.is_empty() && rows.len() == expected.len(), "missing {missing:?} in {:?}", rows.keys());
}

#[test]
fn every_named_test_exists() {
    let page = page();
    let names: Vec<&str> = quoted(&page).into_iter().filter(|name| name.contains(".rs::")).collect();
    assert!(names.len() > 80, "only {} are named", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !is_test(name)).collect();
    assert!(missing.is_empty(), "no tests: {missing:#?}");
}

/// Whether `path::name` is a function in that file, directly after an attribute that makes it a test.
fn is_test(name: &str) -> bool {
    let Some((path, function)) = name.split_once("::") else { return false };
    let text = read(path).unwrap_or_default();
    let start = format!("fn {function}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = lines[..at].iter().rev().take_while(|before| before.starts_with("#["));
        line.starts_with(&start) && attributes.into_iter().any(|attribute| *attribute == "#[test]")
    })
}

#[test]
fn every_row_is_proven_over_sockets() {
    let cases: Vec<String> = rows::all().into_iter().map(|case| case.id).collect();
    for (id, cells) in table_rows(&page()) {
        let proofs = quoted(cells.last().expect("cells"));
        let over_sockets = proofs.iter().any(|proof| match proof.split_once("::") {
            Some((path, _)) => !WITHOUT_SOCKETS.iter().any(|prefix| path.starts_with(prefix)),
            // `tests/conformance.rs` runs all cases over sockets.
            None => true,
        });
        assert!(over_sockets, "{id}: {proofs:?}");
        for name in proofs.into_iter().filter(|proof| !proof.contains("::")) {
            assert!(cases.iter().any(|case| begins(case, name)), "{id}: no case begins with {name:?}");
        }
    }
}

/// Whether `case` begins with all words of `name`.
fn begins(case: &str, name: &str) -> bool {
    case.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
}

#[test]
fn the_numbers_match_the_code() {
    let rows = table_rows(&page());
    let values = |column: usize| -> BTreeMap<String, String> {
        let numbered = rows.iter().filter(|(id, _)| id.starts_with(['L', 'T']));
        numbered.map(|(_, cells)| (cells[1].trim_matches('`').to_owned(), cells[column].clone())).collect()
    };
    let with_connections = |limits: &Limits, connections: &str| {
        let mut expected = told(limits);
        expected.insert("connections", connections.to_owned());
        expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(values(3), with_connections(&Limits::default(), "1024"));
    assert_eq!(values(4), with_connections(&Limits::small_device(), "its slots"));
    #[cfg(has_backend)]
    {
        let server = format!("{:?}", aurora_http::Server::new());
        assert!(server.contains(" connections: 1024,"), "{server}");
    }
}

/// Every limit as the page writes it. Without "..", so that a new one needs its row.
fn told(limits: &Limits) -> BTreeMap<&'static str, String> {
    let Limits {
        head_bytes_max,
        fields_max,
        target_bytes_max,
        content_collected_max,
        content_bytes_max,
        chunk_extension_bytes_max,
        trailer_bytes_max,
        requests_per_connection_max,
        response_bytes_max,
        discard_bytes_max,
        in_flight_max,
        overload,
        timeouts,
    } = *limits;
    assert_eq!(overload, Overload::Wait, "O1 says so");
    let Timeouts {
        first_byte_timeout_ms,
        head_timeout_ms,
        content_timeout_ms,
        write_timeout_ms,
        rate_min,
        defer_timeout_ms,
        upgraded_timeout_ms,
        idle_timeout_ms,
        linger_timeout_ms,
        linger_total_timeout_ms,
        stop_timeout_ms,
    } = timeouts;
    let rate = |RateMin { bytes: count, window_ms }| format!("{count} B in {}", seconds(Some(window_ms)));
    BTreeMap::from([
        ("head_bytes_max", bytes(head_bytes_max.into())),
        ("fields_max", fields_max.to_string()),
        ("target_bytes_max", bytes(target_bytes_max.into())),
        ("content_collected_max", bytes(content_collected_max.into())),
        ("content_bytes_max", bytes(content_bytes_max)),
        ("chunk_extension_bytes_max", bytes(chunk_extension_bytes_max.into())),
        ("trailer_bytes_max", bytes(trailer_bytes_max.into())),
        ("requests_per_connection_max", count(requests_per_connection_max)),
        ("response_bytes_max", bytes(response_bytes_max.into())),
        ("discard_bytes_max", bytes(discard_bytes_max.into())),
        ("in_flight_max", count(in_flight_max)),
        ("first_byte_timeout_ms", seconds(first_byte_timeout_ms)),
        ("head_timeout_ms", seconds(head_timeout_ms)),
        ("content_timeout_ms", seconds(content_timeout_ms)),
        ("write_timeout_ms", seconds(write_timeout_ms)),
        ("rate_min", rate_min.map_or_else(|| "none".to_owned(), rate)),
        ("defer_timeout_ms", seconds(defer_timeout_ms)),
        ("upgraded_timeout_ms", seconds(upgraded_timeout_ms)),
        ("idle_timeout_ms", seconds(idle_timeout_ms)),
        ("linger_timeout_ms", seconds(linger_timeout_ms)),
        ("linger_total_timeout_ms", seconds(linger_total_timeout_ms)),
        ("stop_timeout_ms", seconds(stop_timeout_ms)),
    ])
}

fn bytes(count: u64) -> String {
    match count {
        0 => "0 B".to_owned(),
        _ if count.is_multiple_of(1024 * 1024) => format!("{} MiB", count / (1024 * 1024)),
        _ if count.is_multiple_of(1024) => format!("{} KiB", count / 1024),
        _ => format!("{count} B"),
    }
}

fn count(limit: Option<u32>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

fn seconds(timeout_ms: Option<u32>) -> String {
    timeout_ms.map_or_else(|| "none".to_owned(), |ms| format!("{} s", f64::from(ms) / 1_000.0))
}

/// The checks above find what they look for, and nothing else.
#[test]
fn the_checks_can_fail() {
    assert!(is_test("tests/wire_doc.rs::the_checks_can_fail"));
    for name in ["tests/wire_doc.rs::is_test", "tests/wire_doc.rs::the_checks", "tests/nowhere.rs::the_checks_can_fail"]
    {
        assert!(!is_test(name), "{name}");
    }
    assert!(begins("S2 gzip", "S2") && begins("S2", "S2") && !begins("S20", "S2") && !begins("a S2", "S2"));
    assert_eq!(cells("| a | b \\| c | |"), ["a", "b | c", ""]);
    assert_eq!([bytes(4096), bytes(1 << 20), bytes(5000)], ["4 KiB", "1 MiB", "5000 B"]);
    assert_eq!([seconds(Some(500)), seconds(Some(30_000)), seconds(None)], ["0.5 s", "30 s", "none"]);
}
