//! TLS where io_uring is refused, by a seccomp filter in a child process: this test starts itself again as that child.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "../../tests/support/filter.rs"]
mod filter;
mod support;

use std::process::Command;
use std::sync::Arc;
use std::thread;

use aurora_http::core::reactor::Wake;
use aurora_http::tls::TlsConfig;
use aurora_http::uring::Refusal;
use aurora_http::{Backend, Server, StopFlag, Worker, handler_fn};
use support::{Authority, Client};

/// In a child's environment.
const CHILD: &str = "AURORA_TEST_TLS_REFUSAL";

#[test]
fn a_server_takes_epoll_says_why_and_still_encrypts() {
    if std::env::var_os(CHILD).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_server_takes_epoll_says_why_and_still_encrypts", "--nocapture"]);
        let output = command.env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("refused as expected"), "{said}");
        return;
    }
    let authority = Authority::new();
    let made = authority.sign("a");
    let tls = TlsConfig::from_pem(&made.chain, &made.key).unwrap();
    let client = Arc::new(authority.client());
    let server = || Server::bind("127.0.0.1:0").unwrap().workers(1).connections(8).tls(tls.clone());
    let hello = || handler_fn(|_request, response| response.body("hello"));
    // Made while io_uring is there, and used when it no longer is.
    let mut storage = server().storage().unwrap();
    filter::refuse_io_uring_setup(1);

    let mut worker = Worker::new(&mut storage, hello()).unwrap();
    assert_eq!(worker.reactor().backend(), Backend::Epoll);
    let (address, waker, stop) = (worker.local_addr(), worker.waker().unwrap(), StopFlag::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(Client::connect(address, &client, "a").get("/"), (200, "hello".to_owned()));
            stop.abort();
            waker.wake();
        });
        worker.run(&stop).unwrap();
    });

    let running = server().start(move |_worker| hello()).unwrap();
    let note = Refusal::Forbidden.to_string();
    assert_eq!((running.announcement().backend, running.backend_note()), ("epoll", Some(&*note)));
    assert_eq!(Client::connect(running.local_addr(), &client, "a").get("/"), (200, "hello".to_owned()));
    let error = server().backend(Backend::Uring).start(move |_worker| hello()).unwrap_err().to_string();
    assert!(error.contains(&note), "{error}");
    eprintln!("refused as expected");
}
