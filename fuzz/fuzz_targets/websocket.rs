//! Feeds libFuzzer's inputs to the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aurora_http_fuzz::websocket::check(input));
