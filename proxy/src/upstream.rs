//! The upstreams: where they are, and which one is next.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::config::ConfigError;

/// The most upstreams of a proxy, and the most targets of tunnels: those that were tried for a request are bits of a word.
pub const UPSTREAMS_MAX: usize = 64;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Address {
    Ip(SocketAddr),
    Unix(PathBuf),
}

/// A server that requests are passed on to.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// As it is called in `Host`, and by clients that ask for a tunnel to it.
    pub(crate) name: String,
    /// At least one. The next one is tried where one cannot be connected to.
    pub(crate) addresses: Vec<Address>,
}

impl Origin {
    /// Reads `HOST:PORT`, with or without `http://` before it, or `unix:PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let addresses = vec![Address::Unix(PathBuf::from(path))];
            return if path.is_empty() {
                Err(ConfigError::Upstream { upstream: text.to_owned(), reason: "the path is missing".to_owned() })
            } else {
                Ok(Self { name: "localhost".to_owned(), addresses })
            };
        }
        Self::parse_ip(text)
    }

    /// Reads `HOST:PORT`, with or without `http://` before it.
    pub(crate) fn parse_ip(text: &str) -> Result<Self, ConfigError> {
        let name = text.strip_prefix("http://").unwrap_or(text);
        let name = name.strip_suffix('/').unwrap_or(name);
        let is_authority = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        let refused = |reason: String| ConfigError::Upstream { upstream: text.to_owned(), reason };
        if !is_authority {
            return Err(refused("give HOST:PORT, such as 127.0.0.1:8081; upstreams can also be unix:PATH".to_owned()));
        }
        let found: Vec<SocketAddr> = name.to_socket_addrs().map_err(|error| refused(error.to_string()))?.collect();
        let addresses: Vec<Address> = found.into_iter().map(Address::Ip).collect();
        if addresses.is_empty() {
            return Err(refused("the name has no address".to_owned()));
        }
        Ok(Self { name: name.to_owned(), addresses })
    }
}

/// All upstreams of a proxy, in turn.
pub(crate) struct Upstreams {
    pub(crate) all: Vec<Origin>,
    health: Vec<Health>,
    next: AtomicUsize,
    began: Instant,
    /// How long one that could not be connected to is left out.
    out_ms: u64,
}

#[derive(Default)]
struct Health {
    /// Until when it is left out, in milliseconds since `began`.
    out_until_ms: AtomicU64,
    /// The address that worked last.
    address: AtomicUsize,
}

/// A connection that is to be made: to which upstream, and to which of its addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Choice {
    pub(crate) upstream: usize,
    pub(crate) address: usize,
    /// How many of its addresses have been tried before.
    attempts: usize,
}

impl Upstreams {
    pub(crate) fn new(all: Vec<Origin>, out: Duration) -> Self {
        let health = all.iter().map(|_| Health::default()).collect();
        Self { all, health, next: AtomicUsize::new(0), began: Instant::now(), out_ms: out.as_millis() as u64 }
    }

    /// The next upstream in turn that is not left out, or else one that is: an attempt costs less than an error. `None` when
    /// all of them were tried for this request.
    pub(crate) fn choose(&self, tried: u64) -> Option<Choice> {
        let (count, now_ms) = (self.all.len(), self.now_ms());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..count).map(|at| first.wrapping_add(at) % count).filter(|at| tried & 1 << at == 0);
        let upstream = in_turn().find(|at| !self.is_out(*at, now_ms)).or_else(|| in_turn().next())?;
        let address = self.health[upstream].address.load(Ordering::Relaxed);
        Some(Choice { upstream, address, attempts: 0 })
    }

    /// The same upstream's next address, if there is one that was not tried.
    pub(crate) fn next_address(&self, choice: Choice) -> Option<Choice> {
        let count = self.all[choice.upstream].addresses.len();
        let attempts = choice.attempts + 1;
        (attempts < count).then(|| Choice { address: (choice.address + 1) % count, attempts, ..choice })
    }

    pub(crate) fn address(&self, choice: Choice) -> &Address {
        &self.all[choice.upstream].addresses[choice.address]
    }

    fn is_out(&self, upstream: usize, now_ms: u64) -> bool {
        self.health[upstream].out_until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// Whether it could not be connected to a short time ago.
    pub(crate) fn is_left_out(&self, upstream: usize) -> bool {
        self.is_out(upstream, self.now_ms())
    }

    /// Could not be connected to.
    pub(crate) fn leave_out(&self, upstream: usize) {
        self.health[upstream].out_until_ms.store(self.now_ms() + self.out_ms, Ordering::Relaxed);
    }

    pub(crate) fn connected(&self, choice: Choice) {
        let health = &self.health[choice.upstream];
        health.out_until_ms.store(0, Ordering::Relaxed);
        health.address.store(choice.address, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Address {
        Address::Ip(text.parse().expect("an address"))
    }

    #[test]
    fn an_upstream_is_a_host_and_a_port_or_a_path() {
        let rows = [
            ("127.0.0.1:80", Some(("127.0.0.1:80", ip("127.0.0.1:80")))),
            ("http://127.0.0.1:80/", Some(("127.0.0.1:80", ip("127.0.0.1:80")))),
            ("[::1]:8080", Some(("[::1]:8080", ip("[::1]:8080")))),
            ("unix:/run/program", Some(("localhost", Address::Unix("/run/program".into())))),
            ("unix:", None),
            ("127.0.0.1", None),
            ("127.0.0.1:80/path", None),
            ("https://127.0.0.1:80", None),
            ("127.0.0.1:80\r\nX: y", None),
            ("127.0.0.1:99999", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let found = Origin::parse(text).ok().map(|origin| (origin.name, origin.addresses));
            assert_eq!(found, expected.map(|(name, address)| (name.to_owned(), vec![address])), "{text}");
        }
    }

    #[test]
    fn upstreams_take_turns_and_those_that_failed_are_left_out() {
        let all = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
        let all = all.map(|text| Origin::parse(text).expect("an upstream")).to_vec();
        let upstreams = Upstreams::new(all, Duration::from_secs(1_000));
        let choose = |tried| upstreams.choose(tried).map(|choice| choice.upstream);
        assert_eq!([0; 4].map(choose), [Some(0), Some(1), Some(2), Some(0)]);
        upstreams.leave_out(1);
        let chosen: Vec<_> = (0..4).filter_map(|_| choose(0)).collect();
        assert!(!chosen.contains(&1) && chosen.contains(&0) && chosen.contains(&2), "{chosen:?}");
        // One that is left out is better than none.
        assert_eq!((choose(0b101), choose(0b111)), (Some(1), None));
        upstreams.connected(Choice { upstream: 1, address: 0, attempts: 0 });
        assert!((0..3).any(|_| choose(0) == Some(1)));
    }

    #[test]
    fn the_addresses_of_an_upstream_are_tried_in_turn() {
        let addresses = vec![ip("[::1]:1"), ip("127.0.0.1:1")];
        let upstreams = Upstreams::new(vec![Origin { name: "a:1".to_owned(), addresses }], Duration::ZERO);
        let first = upstreams.choose(0).expect("an upstream");
        let second = upstreams.next_address(first).expect("another address");
        assert_eq!((upstreams.address(first), upstreams.address(second)), (&ip("[::1]:1"), &ip("127.0.0.1:1")));
        assert_eq!(upstreams.next_address(second), None);
        // The one that worked is the first to be tried from then on.
        upstreams.connected(second);
        assert_eq!(upstreams.choose(0).map(|choice| choice.address), Some(1));
    }
}
