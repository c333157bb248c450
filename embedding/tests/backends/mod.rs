//! The backends that this system allows, and the tests that run on each of them.

use aurora_http::Backend;

/// The backends of this system; kqueue is emulated.
pub(crate) fn backends() -> Vec<Backend> {
    let mut backends = vec![Backend::Epoll, Backend::Kqueue];
    match aurora_http::uring::probe() {
        Ok(_) => backends.push(Backend::Uring),
        Err(refusal) => eprintln!("SKIPPED: not on io_uring: {refusal}"),
    }
    backends
}

/// Runs the tests for a level-triggered loop with `serve`.
#[allow(unused_macros)] // not every test crate is about a loop of its own
macro_rules! tests {
    ($serve:ident) => {
        #[test]
        fn a_request_is_answered() {
            nested::a_request_is_answered(&backends::backends(), $serve);
        }

        #[test]
        fn thirty_megabytes_come_in() {
            nested::much_comes_in(&backends::backends(), $serve);
        }

        #[test]
        fn thirty_megabytes_go_out() {
            nested::much_goes_out(&backends::backends(), $serve);
        }

        #[test]
        fn nine_hundred_connections_at_once_are_answered_after_a_pause() {
            nested::a_burst_is_answered(&backends::backends(), $serve);
        }

        #[test]
        fn it_sleeps_while_there_is_nothing_to_do() {
            nested::it_sleeps_while_there_is_nothing_to_do(&backends::backends(), $serve);
        }
    };
}
