//! How a proxy is configured.

use std::time::Duration;
use std::{fmt, io};

use crate::upstream::{Origin, UPSTREAMS_MAX};

/// Upstreams, and what is passed on to them.
///
/// ```
/// use aurora_http_proxy::{Chain, Config, ProxyLimits};
///
/// # fn main() -> Result<(), aurora_http_proxy::ConfigError> {
/// let config = Config::new(["127.0.0.1:8081", "127.0.0.1:8082"])?
///     .limits(ProxyLimits { response_timeout_ms: 10_000, ..ProxyLimits::default() })
///     .x_forwarded(Chain::Append); // behind another proxy that is trusted
/// # let _ = config;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) upstreams: Vec<Origin>,
    pub(crate) tunnels: Vec<Origin>,
    pub(crate) upgrades: Vec<String>,
    pub(crate) limits: ProxyLimits,
    pub(crate) replaces_host: bool,
    pub(crate) x_forwarded: Chain,
    pub(crate) forwarded: Chain,
    pub(crate) via: Via,
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
}

/// The values of `Via`, by the version of the message that came.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    pub(crate) http10: String,
    pub(crate) http11: String,
}

impl Via {
    fn new(name: &str) -> Self {
        Self { http10: format!("1.0 {name}"), http11: format!("1.1 {name}") }
    }
}

/// What happens to the fields that tell who the client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Chain {
    /// The proxy writes them, and what the client sent is removed: at the edge, where clients could claim anything.
    Replace,
    /// The proxy adds the client's address to those that the request had: behind another proxy that is trusted. Host and
    /// protocol stay as the first proxy has written them.
    Append,
    /// They are removed.
    Remove,
    /// They are passed on as they came.
    Pass,
}

/// The version of the header before the first byte of a connection that tells who the client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// Version 1: a line of text.
    V1,
    /// Version 2: binary.
    V2,
}

/// Bounds of memory, connections and time. All timeouts are in milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyLimits {
    /// Exchanges and tunnels at the same time, of all workers together; beyond it the answer is 503. Default: 1024.
    pub in_flight_max: usize,
    /// Connections to each upstream that are kept open while no exchange uses them. Default: 128.
    pub kept_max: usize,
    /// How long one is kept. It should be less than what the upstream allows. Default: 30 s.
    pub kept_timeout_ms: u32,
    /// The head of an upstream's response in bytes, its interim responses included; beyond it the answer is 502. Default:
    /// 32 KiB.
    pub head_bytes_max: usize,
    /// The content of a request in bytes; beyond it the answer is 413. It replaces
    /// [`Limits::content_bytes_max`](aurora_http::Limits::content_bytes_max). Default: 1 GiB.
    pub content_bytes_max: u64,
    /// Connecting; then the next upstream is tried, or the answer is 504. Default: 5 s.
    pub connect_timeout_ms: u32,
    /// From the end of the request to the end of the response's head, in however many pieces and with however many interim
    /// responses it comes; then the answer is 504. Default: 60 s.
    pub response_timeout_ms: u32,
    /// For the upstream to take, or to send, the next bytes; then the response is cut off. Default: 60 s.
    pub transfer_timeout_ms: u32,
    /// How long a client with `Expect: 100-continue` waits for the upstream's 100 before it is asked for the content anyway.
    /// Default: 1 s.
    pub continue_timeout_ms: u32,
    /// Silence in both directions of a tunnel, after which it ends. Default: 5 min.
    pub tunnel_timeout_ms: u32,
    /// How long an upstream that could not be connected to gets no requests, unless no other is left. Default: 10 s.
    pub out_ms: u32,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
            kept_max: 128,
            kept_timeout_ms: 30_000,
            head_bytes_max: 32 * 1024,
            content_bytes_max: 1 << 30,
            connect_timeout_ms: 5_000,
            response_timeout_ms: 60_000,
            transfer_timeout_ms: 60_000,
            continue_timeout_ms: 1_000,
            tunnel_timeout_ms: 300_000,
            out_ms: 10_000,
        }
    }
}

impl ProxyLimits {
    pub(crate) const fn kept_timeout(&self) -> Duration {
        Duration::from_millis(self.kept_timeout_ms as u64)
    }
}

impl Config {
    /// Upstreams in the form `HOST:PORT` (with or without `http://` before it) or `unix:PATH`, which get requests in turn.
    /// Names are looked up now, and not again.
    ///
    /// # Errors
    /// [`ConfigError`] if there is none, there are more than [`UPSTREAMS_MAX`], or a name cannot be looked up.
    pub fn new<I>(upstreams: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let upstreams: Result<Vec<_>, _> = upstreams.into_iter().map(|text| Origin::parse(text.as_ref())).collect();
        let upstreams = upstreams?;
        if upstreams.is_empty() || upstreams.len() > UPSTREAMS_MAX {
            return Err(ConfigError::Count(upstreams.len()));
        }
        Ok(Self {
            upstreams,
            tunnels: Vec::new(),
            upgrades: vec!["websocket".to_owned()],
            limits: ProxyLimits::default(),
            replaces_host: false,
            x_forwarded: Chain::Replace,
            forwarded: Chain::Remove,
            via: Via::new("aurora"),
            proxy_protocol: None,
        })
    }

    /// Replaces the limits.
    #[must_use]
    pub const fn limits(mut self, limits: ProxyLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends the upstream's own name as `Host`. Without it the upstream sees the client's.
    #[must_use]
    pub const fn replace_host(mut self) -> Self {
        self.replaces_host = true;
        self
    }

    /// What happens to `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`; by default they are replaced. No other
    /// field is: `X-Real-IP` and the like reach the upstream as the client has sent them.
    #[must_use]
    pub const fn x_forwarded(mut self, chain: Chain) -> Self {
        self.x_forwarded = chain;
        self
    }

    /// What happens to `Forwarded` (RFC 7239); by default it is removed, since what a client claims there must not reach an
    /// upstream that believes it.
    #[must_use]
    pub const fn forwarded(mut self, chain: Chain) -> Self {
        self.forwarded = chain;
        self
    }

    /// The proxy's name in `Via` (RFC 9110 §7.6.3); `aurora` by default.
    ///
    /// # Errors
    /// [`ConfigError::Via`] if it is not a token.
    pub fn via(mut self, name: &str) -> Result<Self, ConfigError> {
        if !is_token(name) {
            return Err(ConfigError::Via(name.to_owned()));
        }
        self.via = Via::new(name);
        Ok(self)
    }

    /// The protocols that clients may switch to; only `websocket` by default. Whatever is said after the switch passes
    /// through unseen, so a protocol belongs here only if the upstreams expect strangers to speak it (`h2c` does not: requests
    /// in it would escape every rule of the proxy).
    ///
    /// # Errors
    /// [`ConfigError::Upgrade`] if one is not a token.
    pub fn upgrades<I>(mut self, protocols: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.upgrades.clear();
        for protocol in protocols {
            let protocol = protocol.as_ref();
            if !protocol.split('/').all(is_token) {
                return Err(ConfigError::Upgrade(protocol.to_owned()));
            }
            self.upgrades.push(protocol.to_owned());
        }
        Ok(self)
    }

    /// Where clients may have a tunnel to by CONNECT, each as `HOST:PORT` in exactly the form in which clients ask for it (in
    /// any case). Without this the answer to CONNECT is 403. Names are looked up now, and not again.
    ///
    /// # Errors
    /// [`ConfigError::Upstream`] if a name cannot be looked up, or a target is a Unix-domain socket, which CONNECT cannot name;
    /// [`ConfigError::Tunnels`] if there are more than [`UPSTREAMS_MAX`].
    pub fn tunnels<I>(mut self, targets: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let targets: Result<Vec<_>, _> = targets.into_iter().map(|text| Origin::parse_ip(text.as_ref())).collect();
        let targets = targets?;
        if targets.len() > UPSTREAMS_MAX {
            return Err(ConfigError::Tunnels(targets.len()));
        }
        self.tunnels = targets;
        Ok(self)
    }

    /// Tells the upstream who the client is in a header before the first byte of each connection
    /// ([the PROXY protocol](https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt)). A connection then belongs to one
    /// client, so none is kept. The targets of [tunnels](Self::tunnels) get no such header.
    #[must_use]
    pub const fn proxy_protocol(mut self, version: ProxyProtocol) -> Self {
        self.proxy_protocol = Some(version);
        self
    }
}

fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Why there is no proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// There are no upstreams, or more than [`UPSTREAMS_MAX`].
    Count(usize),
    /// There are more targets of tunnels than [`UPSTREAMS_MAX`].
    Tunnels(usize),
    /// An upstream or the target of a tunnel cannot be used.
    Upstream {
        /// What was given.
        upstream: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name for `Via` is not a token.
    Via(String),
    /// The name of a protocol is not a token.
    Upgrade(String),
    /// A limit is 0, or too large.
    Limit(&'static str),
    /// The system has no poller, or no thread.
    System(io::Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(0) => f.write_str("there is no upstream: give at least one, such as 127.0.0.1:8081"),
            Self::Count(count) => write!(f, "{count} upstreams are more than {UPSTREAMS_MAX}"),
            Self::Tunnels(count) => write!(f, "{count} targets of tunnels are more than {UPSTREAMS_MAX}"),
            Self::Upstream { upstream, reason } => write!(f, "upstream {upstream}: {reason}"),
            Self::Via(name) => write!(f, "{name:?} cannot be a name in Via: use letters and digits"),
            Self::Upgrade(name) => write!(f, "{name:?} is not the name of a protocol"),
            Self::Limit(name) => write!(f, "ProxyLimits::{name} is 0 or too large"),
            Self::System(error) => write!(f, "the proxy cannot be started: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            _ => None,
        }
    }
}
