//! embassy-net on a TAP device: in a network namespace of its own, so that nothing of this machine is changed.
#![cfg(target_os = "linux")]

#[path = "../../tests/support/conversation.rs"]
mod conversation;
#[path = "../../tests/support/example.rs"]
mod example;
#[path = "../../tests/support/http.rs"]
mod http;

use std::env;
use std::process::Command;

use example::Example;

/// Set for the half of the test that is inside the namespace.
const INSIDE: &str = "AURORA_INSIDE_NAMESPACE";
const SET_UP: &str = "ip tuntap add dev tap0 mode tap && ip addr add 192.168.69.1/24 dev tap0 && ip link set tap0 up";

#[test]
fn embassy_net_serves() {
    if env::var_os(INSIDE).is_some() {
        let program = Example::start_command("embassy_net", example::example("embassy_net").arg("tap0"));
        return conversation::converse(program);
    }
    let in_namespace = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", program]).args(arguments);
        command
    };
    match in_namespace("sh", &["-c", SET_UP]).output() {
        Ok(output) if output.status.success() => {}
        refused => return eprintln!("SKIPPED: there can be no TAP device here: {refused:?}"),
    }
    let test = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let inside = format!("{SET_UP} && exec '{test}' --exact embassy_net_serves --nocapture");
    let status = in_namespace("sh", &["-c", &inside]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "{status}");
}
