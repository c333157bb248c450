//! What `bare-metal-uart`, `bare-metal-net` and `bare-metal-embassy` have in common: the [pages](pages) of a device, which know
//! nothing of hardware, and the boards, which know nothing of HTTP.
#![no_std]

#[cfg(target_os = "none")]
pub mod board;
pub mod pages;
mod text;
mod upload;
