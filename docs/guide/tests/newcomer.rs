//! What a newcomer does first: copies `template/`, or a block of the README into an empty project. Each is built outside of this
//! workspace, offline, with the versions of its lock file and with this repository in place of the one on the network.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const REPOSITORY: &str = r#"git = "https://github.com/aurora-http/aurora""#;

/// With the tests, so that dependencies have the same features in every command and are built once.
const BUILD: &[&str] = &["build", "--all-targets"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Where this test's projects and what is built from them are: kept, so that the next run is quick.
fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An empty folder with the template's manifest, made to find this repository's packages, and with its lock file.
fn project(name: &str) -> PathBuf {
    let folder = scratch().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("src/bin")).expect("a folder");
    let manifest = read(&root().join("template/Cargo.toml"));
    let paths = [("aurora-http = { ", ""), ("aurora-http-web = { ", "/web")];
    let local = paths.iter().fold(manifest, |manifest, (dependency, below)| {
        let path = format!("{dependency}path = \"{}{below}\"", root().display());
        manifest.replace(&format!("{dependency}{REPOSITORY}"), &path)
    });
    assert!(!local.contains("git ="), "{local}");
    // Its own workspace, wherever the target directory is.
    fs::write(folder.join("Cargo.toml"), local + "\n[workspace]\n").expect("a manifest");
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");
    folder
}

fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(folder);
    // One target directory for all, so that dependencies are built once; no debug symbols, which nobody looks at.
    command.env("CARGO_TARGET_DIR", scratch().join("newcomer")).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let output = command.output().expect("cargo");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}:\n{}{text}", String::from_utf8_lossy(&output.stdout));
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // fails if it has ended
        let _ = self.0.wait();
    }
}

/// Starts the program that was built last, on a port of the system's choice; returns its address.
fn start(name: &str) -> (Server, String) {
    let mut command = Command::new(scratch().join("newcomer/debug").join(name));
    command.env("ADDRESS", "127.0.0.1:0").env_remove("LISTEN_FDS").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Server(command.spawn().expect("the program"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("a start-up line");
    let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next());
    let address = address.unwrap_or_else(|| panic!("no address: {line}")).to_owned();
    (server, address)
}

// One test, because all of it uses one target directory.
#[test]
fn the_template_and_the_readme_work_in_an_empty_project() {
    let template = project("template");
    for file in ["src/main.rs", "src/site.rs"] {
        fs::copy(root().join("template").join(file), template.join(file)).expect("a source");
    }
    cargo(&template, BUILD);
    cargo(&template, &["test"]);
    let (_server, address) = start("my-server");
    let mut client = TcpStream::connect(address).expect("a connection");
    client.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    client.write_all(b"GET /hello/you HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("to be heard");
    let mut response = String::new();
    client.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("hello, you! (1)\n"), "{response}");

    let empty = project("readme");
    let readme = read(&root().join("README.md"));
    let blocks: Vec<&str> =
        readme.split("```rust,no_run\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2, "the README's programs");
    for (number, block) in blocks.into_iter().enumerate() {
        fs::write(empty.join(format!("src/bin/program_{number}.rs")), block).expect("a source");
    }
    cargo(&empty, BUILD);
}

#[test]
fn the_templates_files_name_the_program_and_the_toolchain() {
    let manifest = read(&root().join("template/Cargo.toml"));
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).expect("a name");
    for file in ["Dockerfile", "README.md", "my-server.service"] {
        assert!(read(&root().join("template").join(file)).contains(name), "{file}");
    }
    let minimum = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'));
    let minimum = minimum.expect("a minimum version");
    assert!(read(&root().join("Cargo.toml")).contains(&format!("rust-version = \"{minimum}\"")));
    assert!(read(&root().join("template/Dockerfile")).contains(&format!("FROM rust:{minimum}-")));
}
