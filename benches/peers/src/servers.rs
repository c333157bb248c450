//! The servers that can be measured: where their programs come from, and running them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cores::pin;
use crate::system::{self, CpuTime};

/// The workspace of the servers.
const WORKSPACE: &str = env!("CARGO_MANIFEST_DIR");

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A server that can be measured.
#[derive(Clone, Copy)]
pub struct Known {
    pub name: &'static str,
    pub about: &'static str,
    program: Program,
}

#[derive(Clone, Copy)]
enum Program {
    /// A program of a package of the workspace, with further arguments.
    Package(&'static str, &'static str, &'static [&'static str]),
    /// Debian's, with a configuration that is written for it.
    Nginx,
    /// A program in C around a library of Debian's.
    H2o,
}

/// The server that the others are compared with.
pub const BASELINE: &str = "bare-epoll";

/// Everything that can be measured, in the order of reports.
pub const ALL: [Known; 14] = [
    known("aurora-epoll", "this server, on epoll", Program::Package("aurora", "peer-aurora", &["--backend", "epoll"])),
    known(
        "aurora-uring",
        "this server, on io_uring",
        Program::Package("aurora", "peer-aurora", &["--backend", "uring"]),
    ),
    known(BASELINE, "no server: epoll and prepared responses", Program::Package("bare", "bare-epoll", &[])),
    known("bare-uring", "no server: io_uring and prepared responses", Program::Package("bare", "bare-uring", &[])),
    known("hyper", "hyper 1 on tokio, current-thread", package("hyper")),
    known("axum", "axum 0.8 on tokio, multi-thread", package("axum")),
    known("actix-web", "actix-web 4", package("actix")),
    known("ntex", "ntex 3 on tokio", package("ntex")),
    known("may_minihttp", "may_minihttp 0.1", package("may-minihttp")),
    known("xitca-web", "xitca-http 0.9 on tokio", package("xitca")),
    known("picoserve", "picoserve 0.20 on tokio", package("picoserve")),
    known("tiny_http", "tiny_http 0.12", package("tiny-http")),
    known("nginx", "Debian's nginx: files by sendfile", Program::Nginx),
    known("h2o", "Debian's libh2o-evloop", Program::H2o),
];

const fn known(name: &'static str, about: &'static str, program: Program) -> Known {
    Known { name, about, program }
}

/// A package whose only program is named like it.
const fn package(package: &'static str) -> Program {
    Program::Package(package, "", &[])
}

impl Known {
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("aurora")
    }

    pub fn is_bare(&self) -> bool {
        self.name.starts_with("bare")
    }

    /// Builds its program.
    ///
    /// # Errors
    /// Why it cannot be measured here.
    pub fn build(&self) -> Result<(), String> {
        match self.program {
            // One package at a time: each gets the features that it asks for, and not those of the others.
            Program::Package(package, ..) => succeed(
                Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                    .args(["build", "--quiet", "--release", "--locked", "--package", &format!("peer-{package}")])
                    .args(["--manifest-path", &format!("{WORKSPACE}/Cargo.toml")])
                    .arg("--target-dir")
                    .arg(target_folder()?.parent().ok_or("a target folder without parent")?),
            ),
            Program::Nginx => match find("nginx") {
                Some(_) => Ok(()),
                None => Err("nginx is not installed: apt-get install nginx-light libnginx-mod-http-echo".to_owned()),
            },
            Program::H2o => {
                if !Path::new("/usr/include/h2o.h").is_file() {
                    let packages = "libh2o-evloop-dev libwslay-dev libssl-dev zlib1g-dev";
                    return Err(format!("its library is not installed: apt-get install {packages}"));
                }
                succeed(
                    Command::new("cc")
                        .args(["-O3", "-o"])
                        .arg(target_folder()?.join("peer-h2o"))
                        .arg(format!("{WORKSPACE}/servers/h2o/main.c"))
                        .args(["-lh2o-evloop", "-lssl", "-lcrypto", "-lz", "-lpthread", "-lwslay"]),
                )
            }
        }
    }

    fn command(&self, workers: usize, connections: usize) -> Result<(Command, Option<SocketAddr>), String> {
        let (name, arguments) = match self.program {
            Program::Package(package, "", arguments) => (format!("peer-{package}"), arguments),
            Program::Package(_, program, arguments) => (program.to_owned(), arguments),
            Program::H2o => ("peer-h2o".to_owned(), &[] as &[&str]),
            Program::Nginx => return nginx(workers, connections),
        };
        let mut command = Command::new(target_folder()?.join(name));
        command.args(["--workers", &workers.to_string(), "--connections", &connections.to_string()]).args(arguments);
        Ok((command, None))
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("it cannot be built:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Where this program is, and those of the servers are.
fn target_folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(program.parent().ok_or("a program without folder")?.to_owned())
}

pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// nginx with a configuration for a port that was free a moment ago: it cannot be asked to choose one.
fn nginx(workers: usize, connections: usize) -> Result<(Command, Option<SocketAddr>), String> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| format!("no port is free: {error}"))?;
    let folder = target_folder()?.join("nginx");
    let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).map_err(|error| error.to_string());
    fs::create_dir_all(folder.join("bytes")).map_err(|error| error.to_string())?;
    for count in [65_536_usize, 10 << 20, 1 << 30] {
        let path = format!("bytes/{count}");
        if fs::metadata(folder.join(&path)).map_or(0, |file| file.len()) != count as u64 {
            write(&path, &vec![b'x'; count])?;
        }
    }
    let module = "/usr/lib/nginx/modules/ngx_http_echo_module.so";
    let has_echo = Path::new(module).is_file();
    // It closes idle connections when fewer than a sixteenth of its places are free.
    let configuration = include_str!("nginx.conf")
        .replace("WORKERS", &workers.to_string())
        .replace("CONNECTIONS", &(connections + connections / 8 + 512).to_string())
        .replace("ADDRESS", &address.to_string())
        .replace("FOLDER", &folder.to_string_lossy())
        .replace("LOAD", &if has_echo { format!("load_module {module};") } else { String::new() })
        .replace("ECHO", if has_echo { "echo_read_request_body; echo_request_body;" } else { "return 404;" });
    write("nginx.conf", configuration.as_bytes())?;
    let mut command = Command::new(find("nginx").ok_or("nginx is not installed")?);
    command.arg("-c").arg(folder.join("nginx.conf"));
    Ok((command, Some(address)))
}

/// A server that runs. It is killed when this is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on these CPUs, for this number of connections.
    pub fn start(
        known: &Known,
        workers: usize,
        connections: usize,
        cpus: &[usize],
        client: usize,
    ) -> Result<Self, String> {
        let (mut command, address) = known.command(workers, connections)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // The child inherits this thread's CPUs.
        pin(cpus)?;
        let child = command.spawn();
        pin(&[client])?;
        let child = child.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        let mut server = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        server.address = match address {
            Some(address) => address,
            None => server.announced()?,
        };
        let until = Instant::now() + START;
        while TcpStream::connect(server.address).is_err() {
            if Instant::now() > until {
                return Err(format!("nothing listens on {}", server.address));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Reads the address that it prints.
    fn announced(&mut self) -> Result<SocketAddr, String> {
        let output = BufReader::new(self.child.stdout.take().ok_or("no standard output")?);
        for line in output.lines().map_while(Result::ok) {
            let address = line.split_once("listening on ").and_then(|(_, rest)| rest.split_whitespace().next());
            if let Some(address) = address {
                return address.parse().map_err(|_| format!("it printed {line:?}"));
            }
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Err(format!("it ended with {status} and printed no address"))
    }

    pub fn cpu_time(&self) -> CpuTime {
        system::cpu_time(self.child.id())
    }

    pub fn resident(&self) -> u64 {
        system::resident(self.child.id())
    }

    pub fn processes(&self) -> Vec<u32> {
        system::processes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for id in self.processes() {
            if let Some(process) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(process, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}
