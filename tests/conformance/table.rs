//! The limits and deadlines of docs/wire.md, number by number.

use aurora_http_core::limits::{Limits, Overload, RateMin, Timeouts};

const KIB: u32 = 1_024;
const S: u32 = 1_000;

#[test]
fn hosted() {
    let expected = Limits {
        head_bytes_max: 64 * KIB,
        fields_max: 64,
        target_bytes_max: 8 * KIB,
        content_collected_max: 256 * KIB,
        content_bytes_max: 1_024 * u64::from(KIB),
        chunk_extension_bytes_max: 4 * KIB as u16,
        trailer_bytes_max: 8 * KIB as u16,
        requests_per_connection_max: Some(1_000),
        response_bytes_max: 64 * KIB,
        discard_bytes_max: 64 * KIB,
        in_flight_max: None,
        overload: Overload::Wait,
        timeouts: Timeouts {
            first_byte_timeout_ms: Some(10 * S),
            head_timeout_ms: Some(30 * S),
            content_timeout_ms: Some(30 * S),
            write_timeout_ms: Some(30 * S),
            rate_min: Some(RateMin { bytes: 5_000, window_ms: 10 * S }),
            defer_timeout_ms: Some(60 * S),
            upgraded_timeout_ms: Some(60 * S),
            idle_timeout_ms: Some(75 * S),
            linger_timeout_ms: Some(5 * S),
            linger_total_timeout_ms: Some(300 * S),
            stop_timeout_ms: Some(30 * S),
        },
    };
    assert_eq!(Limits::default(), expected);
}

#[test]
fn small_device() {
    let expected = Limits {
        head_bytes_max: KIB,
        fields_max: 16,
        target_bytes_max: 256,
        content_collected_max: KIB,
        content_bytes_max: 64 * u64::from(KIB),
        chunk_extension_bytes_max: 64,
        trailer_bytes_max: 256,
        requests_per_connection_max: Some(100),
        response_bytes_max: KIB,
        discard_bytes_max: 4 * KIB,
        in_flight_max: None,
        overload: Overload::Wait,
        timeouts: Timeouts {
            first_byte_timeout_ms: Some(5 * S),
            head_timeout_ms: Some(5 * S),
            content_timeout_ms: Some(5 * S),
            write_timeout_ms: Some(5 * S),
            rate_min: Some(RateMin { bytes: 5_000, window_ms: 10 * S }),
            defer_timeout_ms: Some(10 * S),
            upgraded_timeout_ms: Some(10 * S),
            idle_timeout_ms: Some(2 * S),
            linger_timeout_ms: Some(S),
            linger_total_timeout_ms: Some(20 * S),
            stop_timeout_ms: Some(5 * S),
        },
    };
    assert_eq!(Limits::small_device(), expected);
}
