//! Every connection's descriptor is closed exactly once, however the connection ends. A single test, so that it has its
//! process to itself.
#![cfg(has_backend)]
#![cfg(target_os = "linux")]

#[path = "conformance/mod.rs"]
mod wire;

use aurora_http::{Backend, Limits};
use wire::bare::whole;
use wire::rows;
use wire::socket::{Hosted, backends, eventually};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A descriptor closed twice may belong to someone else the second time, for example to a client, whose case would fail.
#[test]
fn no_case_of_the_table_leaks_a_descriptor() {
    for backend in backends() {
        before_and_behind(backend);
    }
}

fn before_and_behind(backend: Backend) {
    let before = open_descriptors();
    let server = Hosted::new(backend, Limits::default());
    let serving = open_descriptors();
    let mut cases = rows::all();
    cases.retain(|case| case.limits == Limits::default() && case.input().len() < 100_000);
    assert!(cases.len() > 2_000);
    for case in &cases {
        server.play(case, &mut whole).unwrap();
    }
    eventually("every connection is gone", || server.running().counters().active == 0);
    eventually("every descriptor is closed", || open_descriptors() == serving);
    let counters = server.running().counters();
    assert_eq!(counters.accepted, cases.len() as u64);
    assert_eq!(counters.closed.total(), cases.len() as u64);
    let report = server.stop();
    assert_eq!((open_descriptors(), report.failed_workers()), (before, 0));
}
