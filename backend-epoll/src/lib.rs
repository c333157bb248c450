//! The epoll backend of aurora-http.
#![no_std]
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]
