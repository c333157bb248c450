//! io_uring that is really refused, in child processes: by seccomp filters, and by a limit on locked memory.
//!
//! The test starts itself again as a child, so that filters and limits affect only that child.
#![cfg(all(has_epoll, has_uring, target_arch = "x86_64"))]

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
    assert!(said.contains("refused as it should be"), "{refusal}: {said}");
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
    eprintln!("refused as it should be: {note}");
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
        Ok(_) => eprintln!("refused as it should be: not at all, by this kernel"),
        Err(_) => expect_epoll(Refusal::Memory),
    }
}

mod filter {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

    /// One instruction of classic BPF.
    #[repr(C)]
    struct Instruction {
        code: u16,
        jump_true: u8,
        jump_false: u8,
        value: u32,
    }

    #[repr(C)]
    struct Program {
        len: u16,
        instructions: *const Instruction,
    }

    const IO_URING_SETUP: u32 = 425;

    /// From now on, io_uring_setup(2) fails with this number, in all threads.
    pub(crate) fn refuse_io_uring_setup(errno: u32) {
        const LOAD_WORD: u16 = 0x20;
        const JUMP_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let step = |code, jump_false, value| Instruction { code, jump_true: 0, jump_false, value };
        let instructions = [
            step(LOAD_WORD, 0, 0), // the number of the system call
            step(JUMP_EQUAL, 1, IO_URING_SETUP),
            step(RETURN, 0, 0x0005_0000 | errno), // SECCOMP_RET_ERRNO
            step(RETURN, 0, 0x7fff_0000),         // SECCOMP_RET_ALLOW
        ];
        let program = Program { len: instructions.len() as u16, instructions: instructions.as_ptr() };
        set_no_new_privs(true).unwrap();
        let result: isize;
        // SAFETY: seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program) reads the program, which is valid,
        // and writes no memory of ours. The registers that the kernel clobbers are listed.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") 317_isize => result,
                in("rdi") 1,
                in("rsi") 1,
                in("rdx") &raw const program,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        assert_eq!(result, 0, "seccomp");
    }

    pub(crate) fn drop_capabilities() {
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
    }
}
