//! Start-up: where to listen, and until when. What is served is in `site.rs`.

mod site;

use std::env;

use aurora_http::{Server, ServerError};

fn main() -> Result<(), ServerError> {
    // A service manager that has opened the sockets says so in the environment.
    let server = if env::var_os("LISTEN_FDS").is_some() {
        Server::inherit()?
    } else {
        Server::bind(env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:8080".to_owned()))?
    };
    // SIGTERM and SIGINT finish the exchanges under way; a second signal cuts them off.
    let report = server.announce().signals(true).serve(|worker| site::site(worker.id() as u32))?;
    println!("{report}");
    Ok(())
}
