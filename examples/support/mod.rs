//! The command line that the examples share.

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
  --help              print this";

/// The server that the command line asks for. Ends the process after `--help`, and when something is wrong.
pub(crate) fn server(about: &str) -> Server {
    match parse(std::env::args().skip(1)) {
        Ok(Some(server)) => server,
        Ok(None) => {
            println!("{about}\n\n{OPTIONS}");
            exit(0)
        }
        Err(error) => {
            eprintln!("Error: {error}\nTry --help.");
            exit(2)
        }
    }
}

/// `None` for `--help`.
fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Server>, String> {
    let mut address = String::from("127.0.0.1:8080");
    let (mut workers, mut backend, mut connections) = (None, None, None);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        // Both "--name value" and "--name=value".
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if matches!(name, "--help" | "-h") {
            return Ok(None);
        }
        if !matches!(name, "--addr" | "--workers" | "--backend" | "--connections") {
            return Err(format!("{name} is no option"));
        }
        let value = value.or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a value"))?;
        match name {
            "--addr" => address = value,
            "--workers" => workers = Some(number(name, &value)?),
            "--backend" => backend = Some(value.parse::<Backend>().map_err(|error| error.to_string())?),
            _ => connections = Some(number(name, &value)?),
        }
    }
    let mut server = Server::bind(address.as_str()).map_err(|error| error.to_string())?;
    if let Some(workers) = workers {
        server = server.workers(workers);
    }
    if let Some(backend) = backend {
        server = server.backend(backend);
    }
    if let Some(connections) = connections {
        server = server.connections(connections);
    }
    Ok(Some(server))
}

fn number<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|error| format!("{name} {value}: {error}; give a number, such as {name} 4"))
}
