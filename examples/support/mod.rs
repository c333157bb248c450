//! The command line that the examples share, and their environment. It is a few lines of our own, because a crate for it would
//! take longer to build than `hello` does.

use std::fmt::Display;
use std::process::exit;
use std::str::FromStr;

use aurora_http::{Backend, Server};

const OPTIONS: &str = "\
Options:
  --addr HOST:PORT    where to listen; port 0 lets the system choose [default: 127.0.0.1:8080]
  --workers N         threads that serve [default: one per CPU]
  --backend NAME      auto, epoll, uring or kqueue [default: auto]
  --connections N     most connections per worker [default: 1024]
  --inherit           listen on the sockets of a service manager (LISTEN_FDS), not on --addr
  --reuse-port        let other processes with this option listen on the same address
  --help              print this
The first four may also be in the environment: AURORA_ADDR and so on. The command line wins.";

/// Options that may be in the environment, and their variables.
const VARIABLES: [(&str, &str); 4] = [
    ("--addr", "AURORA_ADDR"),
    ("--workers", "AURORA_WORKERS"),
    ("--backend", "AURORA_BACKEND"),
    ("--connections", "AURORA_CONNECTIONS"),
];

/// The server as configured on the command line. Ends the process after `--help`, and on an error.
pub(crate) fn server(about: &str) -> Server {
    let mut asked = Asked::default();
    read(about, OPTIONS, |name, value| asked.take(name, value));
    or_exit(asked.server("127.0.0.1:8080"))
}

/// The server's options on the command line; `None` for those that were not given.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) address: Option<String>,
    pub(crate) workers: Option<usize>,
    pub(crate) backend: Option<Backend>,
    pub(crate) connections: Option<usize>,
    pub(crate) inherit: bool,
    pub(crate) reuse_port: bool,
}

impl Asked {
    /// Takes an option of the server; `false` for any other option.
    pub(crate) fn take(&mut self, name: &str, value: &mut Value<'_>) -> Result<bool, String> {
        match name {
            "--addr" => self.address = Some(value.text()?),
            "--workers" => self.workers = Some(value.number()?),
            "--backend" => {
                self.backend = Some(value.text()?.parse::<Backend>().map_err(|error| error.to_string())?);
            }
            "--connections" => self.connections = Some(value.number()?),
            "--inherit" => self.inherit = true,
            "--reuse-port" => self.reuse_port = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The server, on `address` unless another one was given.
    pub(crate) fn server(&self, address: &str) -> Result<Server, String> {
        let address = self.address.as_deref().unwrap_or(address);
        let listening = if self.inherit { Server::inherit() } else { Server::bind(address) };
        let mut server = listening.map_err(|error| error.to_string())?;
        server = server.reuse_port(self.reuse_port).announce().signals(true);
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        if let Some(backend) = self.backend {
            server = server.backend(backend);
        }
        if let Some(connections) = self.connections {
            server = server.connections(connections);
        }
        Ok(server)
    }
}

/// The value of an option: after its `=`, or the next argument.
pub(crate) struct Value<'a> {
    name: &'a str,
    inline: Option<&'a str>,
    rest: &'a mut dyn Iterator<Item = String>,
}

impl Value<'_> {
    pub(crate) fn text(&mut self) -> Result<String, String> {
        let value = self.inline.take().map(str::to_owned).or_else(|| self.rest.next());
        value.ok_or_else(|| format!("{} needs a value", self.name))
    }

    pub(crate) fn number<T: FromStr<Err: Display>>(&mut self) -> Result<T, String> {
        let (name, value) = (self.name, self.text()?);
        value.parse().map_err(|error| format!("{name} {value}: {error}; give a number, such as {name} 4"))
    }
}

/// Passes every option to `take`, which takes the options that it knows, with their values. Ends the process after
/// `--help`, and on an error.
pub(crate) fn read(about: &str, options: &str, mut take: impl FnMut(&str, &mut Value<'_>) -> Result<bool, String>) {
    for (option, variable) in VARIABLES {
        if let Ok(value) = std::env::var(variable) {
            let mut value = Value { name: option, inline: Some(&value), rest: &mut std::iter::empty() };
            // Not every program has all of them.
            let _is_known = or_exit(take(option, &mut value).map_err(|error| format!("{variable}: {error}")));
        }
    }
    if !or_exit(read_all(std::env::args().skip(1), take)) {
        println!("{about}\n\n{options}");
        exit(0);
    }
}

/// Ends the process on an error.
pub(crate) fn or_exit<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("Error: {error}\nTry --help.");
        exit(2)
    })
}

/// `false` for `--help`.
fn read_all(
    mut arguments: impl Iterator<Item = String>,
    mut take: impl FnMut(&str, &mut Value<'_>) -> Result<bool, String>,
) -> Result<bool, String> {
    while let Some(argument) = arguments.next() {
        // Both "--name value" and "--name=value".
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        if matches!(name, "--help" | "-h") {
            return Ok(false);
        }
        let mut value = Value { name, inline, rest: &mut arguments };
        if !take(name, &mut value)? {
            return Err(format!("unknown option {name}"));
        }
        if value.inline.is_some() {
            return Err(format!("{name} takes no value"));
        }
    }
    Ok(true)
}
