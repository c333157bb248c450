//! The configuration of a served folder.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aurora_http::Resumer;

use crate::found::is_segment;
use crate::handler::ServeFiles;
use crate::media::MediaType;
use crate::root::Root;
use crate::source::Kernel;
use crate::threads::Threads;
use crate::transfer::Progress;

/// A folder to be served, and how. Make it once, and a [`handler`](Self::handler) of it for each worker.
///
/// See the [crate](crate) for an example, and for what is answered.
#[derive(Clone, Debug)]
pub struct Files {
    pub(crate) root: Arc<Root>,
    pub(crate) threads: Threads,
    pub(crate) options: Arc<Options>,
}

pub(crate) type Observer = Arc<dyn Fn(&Progress<'_>) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) prefix: String,
    pub(crate) index: Option<String>,
    pub(crate) listings: bool,
    pub(crate) fallback: Option<String>,
    pub(crate) precompressed: bool,
    pub(crate) dot_files: bool,
    pub(crate) follow_links: bool,
    pub(crate) cache_control: Option<String>,
    pub(crate) observer: Option<(u64, Observer)>,
    pub(crate) kernel: Kernel,
}

impl Options {
    pub(crate) fn media_type(&self, name: &[u8]) -> MediaType {
        MediaType::of(name)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("listings", &self.listings).finish_non_exhaustive()
    }
}

impl Files {
    /// The files below a folder. It stays the same folder if it is renamed.
    ///
    /// # Errors
    /// Those of opening it, and [`io::ErrorKind::NotADirectory`].
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Self> {
        let options = Options {
            prefix: String::new(),
            index: Some("index.html".into()),
            listings: false,
            fallback: None,
            precompressed: false,
            dot_files: false,
            follow_links: true,
            cache_control: None,
            observer: None,
            kernel: Kernel { sends: ignores_sigpipe(), tells_cached: cfg!(target_os = "linux") },
        };
        let root = Arc::new(Root::open(folder.as_ref())?);
        Ok(Self { root, threads: Threads::new(), options: Arc::new(options) })
    }

    /// As on a system that neither resolves paths beneath a folder nor tells what is in its caches.
    #[cfg(test)]
    pub(crate) fn portable(folder: &Path) -> io::Result<Self> {
        let root = Arc::new(Root::open_portably(folder)?);
        let files = Self { root, ..Self::new(folder)? };
        Ok(files.with(|options| options.kernel.tells_cached = false))
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }

    /// Serves the folder at this path instead of at `/`: `/static` or `static` for `/static/…`. Other paths are 404.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        self.with(|options| options.prefix = prefix)
    }

    /// The name of the file that is sent for a folder, `index.html` by default; `None` if there is no such file. Anything but a
    /// plain file name counts as `None`.
    #[must_use]
    pub fn index(self, name: Option<&str>) -> Self {
        let name = name.filter(|name| is_segment(name)).map(str::to_owned);
        self.with(|options| options.index = name)
    }

    /// Whether folders without an index are answered with a page that lists them; the default is 404. A page is made in memory: some
    /// 200 bytes for each entry, of which there are 10 000 at most.
    #[must_use]
    pub fn listings(self, on: bool) -> Self {
        self.with(|options| options.listings = on)
    }

    /// The file that is sent, with status 200, for paths that name nothing and whose last segment has no dot: the page of an
    /// application that routes in the browser, such as `index.html`.
    #[must_use]
    pub fn fallback(self, path: &str) -> Self {
        let path = path.trim_start_matches('/').to_owned();
        self.with(|options| options.fallback = Some(path))
    }

    /// Whether a sibling that ends in `.br`, `.zst` or `.gz` is sent to clients that accept its coding, unless it is older than the
    /// file. Responses have `Vary: Accept-Encoding` then. The default is not to look for siblings.
    #[must_use]
    pub fn precompressed(self, on: bool) -> Self {
        self.with(|options| options.precompressed = on)
    }

    /// Whether names that begin with a dot are served and listed; by default only `.well-known` is.
    #[must_use]
    pub fn dot_files(self, on: bool) -> Self {
        self.with(|options| options.dot_files = on)
    }

    /// Whether symbolic links to files inside of the folder are followed, where the kernel can tell. The default is yes.
    #[must_use]
    pub fn follow_links(self, on: bool) -> Self {
        self.with(|options| options.follow_links = on)
    }

    /// The value of `Cache-Control`, such as `max-age=3600`; none by default. An invalid value is answered with 500.
    #[must_use]
    pub fn cache_control(self, value: &str) -> Self {
        let value = value.to_owned();
        self.with(|options| options.cache_control = Some(value))
    }

    /// Reports the progress of responses with at least `bytes_min` bytes of a file, or of one range of it: when they begin, after
    /// each tenth, but at most once per second, and at their end. Such a response allocates. Responses to HEAD, listings and
    /// several ranges at once are not reported.
    #[must_use]
    pub fn on_progress(self, bytes_min: u64, report: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        let report: Observer = Arc::new(report);
        self.with(|options| options.observer = Some((bytes_min, report)))
    }

    /// A handler for one worker. It needs the [`Resumer`] of its server, because what is not in the kernel's caches is read by other
    /// threads.
    #[must_use]
    pub fn handler(&self, resumer: Resumer) -> ServeFiles {
        ServeFiles::new(self.clone(), resumer)
    }
}

/// Whether a send to a client that is gone is an error rather than the end of the process. sendfile(2) has no flag for that on Linux;
/// elsewhere it is an option of the socket.
fn ignores_sigpipe() -> bool {
    const SIGPIPE: u32 = 13;
    if !cfg!(target_os = "linux") {
        return true;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGPIPE - 1) & 1 == 1)
}
