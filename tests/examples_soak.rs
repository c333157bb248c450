//! Runs the soak as its users do: it passes without faults, and finds those that the server makes on purpose.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::process::Output;
use std::thread;

use example::example;

/// Runs a short soak with few clients.
fn soak(arguments: &[&str]) -> (Output, String) {
    let few = ["--seconds", "2", "--clients", "16", "--seed", "7"];
    let output = example("soak").args(few).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    (output, said)
}

#[test]
fn a_soak_of_two_seconds_passes_and_prints_totals() {
    let (output, said) = soak(&["--workers=2"]);
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("listening on 127.0.0.1:") && said.contains("\nclients=16 seed=7 seconds=2\n"), "{said}");
    assert!(said.ends_with("nothing lost, nothing mixed up, nothing leaked\n"), "{said}");
    let good =
        said.lines().find_map(|line| line.strip_prefix("good clients: ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(good.is_some_and(|responses| responses > 50), "{said}");
}

#[test]
fn faults_are_found_and_the_command_to_repeat_them_is_printed() {
    // Not `memory`, which needs a run of twenty seconds.
    let rows = [
        ("byte", "a foreign byte at "),
        ("mixed", "the response to another request"),
        ("lost", "cut ("),
        ("descriptor", "without clients descriptors are "),
    ];
    // In parallel, because most of the time they wait for the timeouts of slow clients.
    let soaks = rows.map(|(wrong, expected)| (wrong, expected, thread::spawn(move || soak(&["--wrong", wrong]))));
    for (wrong, expected, soak) in soaks {
        let (output, said) = soak.join().unwrap();
        if wrong == "descriptor" && !cfg!(target_os = "linux") {
            continue; // other systems cannot count descriptors
        }
        assert_eq!(output.status.code(), Some(1), "{wrong}: {said}");
        assert!(said.contains("FAILED: ") && said.contains(expected), "{wrong}: {said}");
        assert!(said.contains("to repeat it: ") && said.contains(" --clients 16 --seed 7"), "{wrong}: {said}");
    }
}

#[test]
fn invalid_options_are_errors() {
    let rows: [(&[&str], &str); 6] = [
        (&["--minutes", "0"], "--minutes: give a time, such as --minutes 1.5"),
        (&["--clients=0"], "--clients 0: use at least 1"),
        (&["--seed", "x"], "--seed x: invalid digit found in string; give a number"),
        (&["--wrong", "all"], "--wrong all: use byte, mixed, lost, memory or descriptor"),
        (&["--verbose=yes"], "--verbose takes no value"),
        (&["--backend", "iocp"], "backend = iocp: use auto, epoll, uring or kqueue"),
    ];
    for (arguments, expected) in rows {
        let (output, said) = soak(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(2), ""), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let help = String::from_utf8(example("soak").arg("--help").output().unwrap().stdout).unwrap();
    assert!(help.contains("--backend NAME") && help.contains("--minutes M"), "{help}");
}
