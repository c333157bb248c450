//! Runs every row of the conformance table on a bare connection in virtual time, and on a real server over sockets.

#[path = "conformance/mod.rs"]
mod wire;

#[path = "conformance/deadlines.rs"]
mod deadlines;
#[cfg(has_backend)]
#[path = "conformance/faults.rs"]
mod faults;
#[path = "conformance/table.rs"]
mod table;

use wire::bare::{Bare, whole};
use wire::rows;
#[cfg(has_backend)]
use wire::socket::{Hosted, backends};

#[test]
fn on_a_bare_connection() {
    let mut bare = Bare::new();
    let cases = rows::all();
    let wrong: Vec<String> = cases.iter().filter_map(|case| bare.play(case, &mut whole).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[cfg(has_backend)]
#[test]
fn on_a_server_over_sockets() {
    for backend in backends() {
        on_a_server_on(backend);
    }
}

#[cfg(has_backend)]
fn on_a_server_on(backend: aurora_http::Backend) {
    let cases = rows::all();
    let mut wrong = Vec::new();
    let mut servers: Vec<(aurora_http::Limits, Hosted)> = Vec::new();
    for case in &cases {
        let known = servers.iter().position(|(limits, _)| *limits == case.limits);
        let at = known.unwrap_or_else(|| {
            servers.push((case.limits, Hosted::new(backend, case.limits)));
            servers.len() - 1
        });
        wrong.extend(servers[at].1.play(case, &mut whole).err());
    }
    for (_, server) in servers {
        let report = server.stop();
        assert_eq!((report.failed_workers(), report.counters.active), (0, 0), "{report:?}");
    }
    assert!(wrong.is_empty(), "on {backend}, {} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
