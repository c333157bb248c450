//! The contract of `aurora_http_core::reactor`, rule by rule, on every reactor.
//!
//! The rows are generic over [`support::Harness`]; a new reactor needs a harness and one line at the end of this file.

mod support;

#[path = "reactor_contract/ending.rs"]
mod ending;
#[path = "reactor_contract/files.rs"]
mod files;
#[path = "reactor_contract/transfer.rs"]
mod transfer;
#[path = "reactor_contract/turns.rs"]
mod turns;

macro_rules! rows {
    ($harness:ty; $($part:ident: $($row:ident)*;)*) => {
        $($(
            #[test]
            fn $row() {
                crate::$part::$row::<$harness>();
            }
        )*)*
    };
}

macro_rules! contract {
    ($module:ident, $harness:ty) => {
        mod $module {
            rows! { $harness;
                transfer:
                    accept_hands_out_connections_one_by_one
                    a_receive_appends_to_its_own_buffer
                    a_receive_takes_a_lent_buffer
                    without_a_lent_buffer_a_receive_says_so
                    idle_receives_hold_no_lent_buffer
                    lent_buffers_are_taken_up_to_the_capacity_and_given_back
                    a_send_puts_the_body_behind_the_head
                    a_megabyte_arrives_in_order
                    a_megabyte_leaves_in_order_to_a_slow_reader
                    a_client_of_one_byte_at_a_time_is_understood
                    both_directions_work_at_once
                    what_a_client_has_not_read_is_unacknowledged_until_it_has
                    a_handle_used_again_knows_nothing_of_its_past;
                files:
                    a_part_of_a_file_follows_the_head
                    a_long_part_leaves_in_order_to_a_slow_reader
                    a_file_that_is_too_short_or_closed_fails_the_send
                    cancel_ends_the_send_of_a_file;
                ending:
                    fin_comes_after_the_bytes_and_stays
                    fin_leaves_the_other_direction_open
                    a_reset_fails_the_receive_and_gives_the_buffer_back
                    a_reset_fails_sends
                    shutdown_write_shows_the_client_a_fin_behind_what_was_sent
                    shutdown_read_ends_a_receive_in_flight
                    shutdown_both_ends_everything_in_flight
                    shutdown_both_ends_writing_when_reading_has_ended_already
                    a_close_after_a_reset_was_asked_for_is_no_fin
                    close_ends_the_connection_once
                    closing_a_listener_ends_it
                    a_stale_handle_completes_with_errors
                    an_invalid_handle_completes_with_errors
                    the_wrong_kind_of_handle_completes_with_errors
                    a_second_operation_of_a_kind_is_refused
                    a_buffer_without_room_is_refused;
                turns:
                    cancel_ends_a_receive_in_flight
                    cancel_ends_a_receive_that_waits_for_a_lent_buffer
                    cancel_ends_a_send_in_flight
                    cancel_ends_an_accept_in_flight
                    cancel_does_not_lose_what_was_there_already
                    cancelling_what_is_not_in_flight_is_harmless
                    submit_completes_nothing_inline
                    wait_returns_at_once_when_something_is_pending
                    what_can_complete_does_before_a_wait_has_seen_everything
                    wait_lasts_at_least_its_timeout
                    a_wake_ends_a_wait_before_or_while_it_blocks
                    wakes_coalesce
                    a_busy_connection_has_one_receive_and_one_send_per_turn
                    reactors_in_one_process_do_not_meet
                    anything_in_any_order_completes_once;
            }
        }
    };
}

contract!(sim, crate::support::sim::SimHarness);
contract!(sim_calls, crate::support::sim::SimHarness<crate::support::sim::Calls>);
contract!(smoltcp, crate::support::smoltcp::SmoltcpHarness);
#[cfg(target_os = "linux")]
contract!(epoll, crate::support::sockets::EpollHarness);
// On Linux over an emulation: this tests the backend, not the kernel's kqueue.
#[cfg(target_os = "linux")]
contract!(kqueue_emulated, crate::support::sockets::KqueueHarness);
#[cfg(kqueue_exists)]
contract!(kqueue, crate::support::sockets::KqueueHarness);
#[cfg(target_os = "linux")]
contract!(uring, crate::support::sockets::UringHarness);
