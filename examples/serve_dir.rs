//! Serves a folder: `cargo run --release --example serve_dir -- DIR`, then open http://127.0.0.1:8080/ in a browser.
//!
//! Requests and the progress of long downloads go to the standard error, one line each.

#[allow(dead_code)] // it has options of its own
mod support;

use std::error::Error;
use std::path::PathBuf;

use aurora_http::compress::{Budget, Compress};
use aurora_http::{Limits, Resumer};
use aurora_http_files::{Files, Progress, ServeFiles};
use aurora_http_web::middleware::{AccessLog, Cors, Entry, Wrap};

const ABOUT: &str = "serve_dir [DIR]: serves a folder, the current one by default";

const OPTIONS: &str = "\
Options:
  --bind HOST         where to listen: 0.0.0.0 for every interface [default: 127.0.0.1]
  --port PORT         0 lets the system choose [default: 8080]
  --spa               send index.html for paths that name nothing, as applications in the browser need it
  --cors              let pages of any origin read the files
  --precompressed     send NAME.br, NAME.zst or NAME.gz for NAME to clients that accept it
  --compress          compress text and the like while it is sent, for clients that accept it
  --hidden            also names that begin with a dot
  --no-links          follow no symbolic links
  --no-listing        404 for a folder without index.html
  --no-index          list folders even if they have an index.html
  --cache SECONDS     how long clients may use a file without asking again
  --quiet             no line per request
  --workers N         threads that serve [default: one per CPU]
  --backend NAME      auto, epoll, uring or kqueue [default: auto]
  --connections N     most connections per worker [default: 1024]
  --help              print this";

/// Downloads from this length on are reported while they last.
const LONG: u64 = 16 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = support::Asked::default();
    let (mut folder, mut host, mut port) = (PathBuf::from("."), "127.0.0.1".to_owned(), 8080_u16);
    let (mut spa, mut cors, mut quiet, mut cache) = (false, false, false, None);
    let mut switches = Switches::default();
    support::read(ABOUT, OPTIONS, |name, value| {
        match name {
            "--bind" => host = value.text()?,
            "--port" => port = value.number()?,
            "--spa" => spa = true,
            "--cors" => cors = true,
            "--quiet" => quiet = true,
            "--cache" => cache = Some(value.number::<u32>()?),
            name if switches.take(name) => {}
            name if !name.starts_with("--") => folder = name.into(),
            _ => return server.take(name, value),
        }
        Ok(true)
    });
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let mut files = Files::new(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .precompressed(switches.precompressed)
        .dot_files(switches.hidden)
        .follow_links(!switches.no_links)
        .listings(!switches.no_listing);
    if switches.no_index {
        files = files.index(None);
    }
    if spa {
        files = files.fallback("index.html");
    }
    if let Some(seconds) = cache {
        files = files.cache_control(&format!("max-age={seconds}"));
    }
    if !quiet {
        files = files.on_progress(LONG, report);
    }
    eprintln!("serving {}", folder.canonicalize().unwrap_or(folder).display());
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let server = support::or_exit(server.server(&format!("{host}:{port}"))).limits(limits);
    let budget = Budget::new(64);
    let handler = move |resumer: Resumer| -> Compress<ServeFiles> {
        let handler = Compress::new(files.handler(resumer)).budget(&budget);
        if switches.compress { handler } else { handler.codings(&[]).types(|_| false) }
    };
    let log = move || {
        AccessLog::new(unix_ms, move |entry: &Entry<'_>| {
            if !quiet {
                eprintln!("{}", entry.combined());
            }
        })
    };
    if cors {
        let cors = Cors::any_origin().methods("GET, HEAD").fields("Range").exposed_fields("Content-Range, ETag");
        server.serve(move |worker| handler(worker.resumer()).wrap(cors).wrap(log()))?;
    } else {
        server.serve(move |worker| handler(worker.resumer()).wrap(log()))?;
    }
    Ok(())
}

/// Options without a value that concern the files.
#[derive(Default)]
struct Switches {
    compress: bool,
    precompressed: bool,
    hidden: bool,
    no_links: bool,
    no_listing: bool,
    no_index: bool,
}

impl Switches {
    fn take(&mut self, name: &str) -> bool {
        let switch = match name {
            "--compress" => &mut self.compress,
            "--precompressed" => &mut self.precompressed,
            "--hidden" => &mut self.hidden,
            "--no-links" => &mut self.no_links,
            "--no-listing" => &mut self.no_listing,
            "--no-index" => &mut self.no_index,
            _ => return false,
        };
        *switch = true;
        true
    }
}

/// A line about a long download.
fn report(progress: &Progress<'_>) {
    let Progress { path, sent, total, elapsed, is_over, .. } = *progress;
    let (percent, seconds) = (sent * 100 / total.max(1), elapsed.as_secs_f64());
    let rate = sent as f64 / seconds.max(0.001) / f64::from(1 << 20);
    let what = match (is_over, progress.is_complete()) {
        (true, true) => "sent",
        (true, false) => "broken off",
        (false, _) if sent == 0 => "begins",
        (false, _) => "under way",
    };
    eprintln!("{path}: {what}, {percent} % of {} MiB, {seconds:.1} s, {rate:.1} MiB/s", total >> 20);
}

fn unix_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
}
