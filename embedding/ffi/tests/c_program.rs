//! A program in C, built by the system's compiler and linked with the library, and the same conversation with it as with
//! every other program in which a server is embedded.
#![cfg(target_os = "linux")]

#[path = "../../../tests/support/conversation.rs"]
mod conversation;
#[path = "../../../tests/support/example.rs"]
mod example;
#[path = "../../../tests/support/http.rs"]
mod http;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use example::Example;

#[test]
fn a_c_program_serves() {
    let program = build("hello");
    conversation::converse(Example::start_command("hello", Command::new(program).arg("127.0.0.1:0")));
}

#[test]
fn a_c_program_that_cannot_listen_says_why() {
    let output = Command::new(build("hello_refused")).arg("nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("nowhere"), "{text}");
}

/// Builds `examples/hello.c` as a program with this name; tests run at the same time.
fn build(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = library();
    let program = library.with_file_name(name);
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    command.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&program);
    command.arg("-I").arg(here.join("include")).arg(here.join("examples/hello.c")).arg(&library);
    // What the standard library of Rust needs of the system.
    command.args(["-lpthread", "-ldl", "-lm", "-lgcc_s"]);
    let output = command.output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// What was built along with this test: the newest one, since each set of features has its own.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libaurora_ffi") && name.ends_with(".a")
    };
    let built = fs::read_dir(test.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).filter(is_library);
    built.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).expect("a library: cargo build -p aurora-ffi")
}
