//! io_uring that is really refused, in child processes: by seccomp filters, and by a limit on locked memory.
//!
//! The test starts itself again as a child, so that filters and limits affect only that child.
#![cfg(all(has_epoll, has_uring, target_arch = "x86_64"))]

#[path = "support/filter.rs"]
mod filter;
#[path = "support/http.rs"]
mod http;

use std::convert::Infallible;
use std::process::Command;

use aurora_http::core::reactor::Wake;
use aurora_http::uring::{Refusal, probe};
use aurora_http::{Backend, Server, ServerError, StopFlag, Worker, WorkerStorage, handler_fn};
use http::Client;
use rustix::process::{Resource, Rlimit, setrlimit};

/// In a child's environment: the restriction that it applies to itself.
const CHILD: &str = "AURORA_TEST_REFUSAL";

/// Runs this test alone in a child.
fn in_child(test: &str, refusal: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(CHILD, refusal).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{refusal}: {said}");
    assert!(said.contains("refused as expected"), "{refusal}: {said}");
}

fn is_child() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// A server falls back to epoll and says why; one that was told to use io_uring does not start and says why.
fn expect_epoll(refusal: Refusal) {
    assert_eq!(probe(), Err(refusal));
    let server = || Server::bind("127.0.0.1:0").unwrap().workers(2).connections(64);
    let running = server().start(|_worker| handler_fn(|_request, response| response.body("Hello"))).unwrap();
    assert_eq!(running.announcement().backend, "epoll");
    let note = running.backend_note().expect("a reason").to_owned();
    assert_eq!(note, refusal.to_string());
    assert!(running.announcement().to_string().ends_with(&format!("({note})")));
    assert_eq!(Client::connect(running.local_addr()).get("/").text(), "Hello");
    drop(running);

    let refused =
        server().backend(Backend::Uring).start(|_worker| handler_fn(|_request, response| response.body("Hello")));
    match refused {
        Err(error @ ServerError::Backend { backend: Backend::Uring, .. }) => {
            assert!(error.to_string().contains(&refusal.to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    eprintln!("refused as expected: {note}");
}

/// A storage that was made while io_uring was there serves on epoll, again and again.
fn expect_epoll_behind_storage(mut storage: WorkerStorage<Infallible>) {
    for _ in 0..2 {
        assert_eq!(storage.backend(), Backend::Uring);
        let handler = handler_fn(|_request, response| response.body("Hello"));
        let mut worker = Worker::new(&mut storage, handler).unwrap();
        assert_eq!(worker.reactor().backend(), Backend::Epoll);
        let (address, waker, stop) = (worker.local_addr(), worker.waker().unwrap(), StopFlag::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(Client::connect(address).get("/").text(), "Hello");
                stop.abort();
                waker.wake();
            });
            worker.run(&stop).unwrap();
        });
    }
}

#[test]
fn by_seccomp() {
    match is_child().as_deref() {
        None => {
            in_child("by_seccomp", "EPERM");
            in_child("by_seccomp", "ENOSYS");
        }
        Some(errno) => {
            let (errno, refusal) = match errno {
                "EPERM" => (1, Refusal::Forbidden),
                _ => (38, Refusal::Missing),
            };
            let storage = Server::bind("127.0.0.1:0").unwrap().connections(64).storage();
            filter::refuse_io_uring_setup(errno);
            // Where something else refuses it already, there is nothing to see.
            let storage = storage.unwrap();
            if storage.backend() == Backend::Uring {
                expect_epoll_behind_storage(storage);
            }
            expect_epoll(refusal);
        }
    }
}

#[test]
fn by_the_limit_of_locked_memory() {
    if is_child().is_none() {
        return in_child("by_the_limit_of_locked_memory", "memlock");
    }
    let none = Some(0);
    setrlimit(Resource::Memlock, Rlimit { current: none, maximum: none }).unwrap();
    // The limit does not apply to a process with CAP_IPC_LOCK.
    filter::drop_capabilities();
    match probe() {
        // Before Linux 6.14 the queues of a ring are not counted as locked memory.
        Ok(_) => eprintln!("refused as expected: not at all, by this kernel"),
        Err(_) => expect_epoll(Refusal::Memory),
    }
}
