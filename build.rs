//! Names the backends that this build has, so that the sources need not spell out features and systems each time.

use std::env::var_os;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(has_backend, has_epoll, has_kqueue, has_uring, kqueue_exists)");
    let feature = |name: &str| var_os(format!("CARGO_FEATURE_{name}")).is_some();
    let system = |name: &str| var_os("CARGO_CFG_TARGET_OS").is_some_and(|system| system == name);
    let apple = var_os("CARGO_CFG_TARGET_VENDOR").is_some_and(|vendor| vendor == "apple");
    let kqueue_exists = apple || ["freebsd", "netbsd", "openbsd"].into_iter().any(system);

    let epoll = feature("EPOLL") && system("linux");
    let uring = feature("URING") && system("linux");
    let kqueue = feature("KQUEUE") && kqueue_exists;
    let kqueue_emulated = feature("KQUEUE_EMULATION") && system("linux");
    for (name, present) in [
        ("has_epoll", epoll),
        ("has_kqueue", kqueue || kqueue_emulated),
        ("has_uring", uring),
        ("kqueue_exists", kqueue_exists),
        ("has_backend", epoll || uring || kqueue || kqueue_emulated),
    ] {
        if present {
            println!("cargo::rustc-cfg={name}");
        }
    }
}
