//! Examples as child processes.

// Every test crate uses its own part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::http::DEADLINE;

/// An example as a child process; killed when it is dropped.
pub(crate) struct Example {
    child: Child,
    /// The start-up line.
    pub(crate) line: String,
    pub(crate) address: SocketAddr,
}

impl Example {
    /// Starts it on a port of the system's choice, and reads its start-up line.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_command(name, example(name).args(arguments).args(["--addr", "127.0.0.1:0"]))
    }

    /// As [`start`](Self::start), with variables in its environment.
    pub(crate) fn start_with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = example(name);
        command.args(arguments).args(["--addr", "127.0.0.1:0"]).envs(variables.iter().copied());
        Self::start_command(name, &mut command)
    }

    /// As [`start`](Self::start), with its standard error for the test to read.
    pub(crate) fn start_logged(name: &str, arguments: &[&str]) -> (Self, ChildStderr) {
        let mut command = example(name);
        command.args(arguments).args(["--addr", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut example = Self::start_command(name, &mut command);
        let stderr = example.child.stderr.take().expect("a pipe");
        (example, stderr)
    }

    /// As [`start`](Self::start), with a command line that says everything.
    pub(crate) fn start_command(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({error}): cargo build --examples"));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a start-up line");
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split_whitespace().next());
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            let _ = child.kill();
            panic!("no address: {line}");
        };
        Self { child, line, address }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Ends it as a service manager does, upon which it exits with status 0.
    pub(crate) fn ends_well(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it exits.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        let (ended, end) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            if end.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let status = self.child.wait().expect("a process");
        drop(ended);
        watchdog.join().expect("a watchdog");
        status
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both fail if it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How to run an example that was built along with the tests.
pub(crate) fn example(name: &str) -> Command {
    Command::new(example_path(name))
}

pub(crate) fn example_path(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a path");
    path.pop(); // the test's name
    path.pop(); // deps
    path.join("examples").join(name)
}
