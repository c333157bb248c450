//! The clients' requests, and the responses that they must get.

use std::io::Write;

use crate::body::Body;
use crate::dice::Dice;

/// A resource of the server, named after how it answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A body that is copied.
    Whole,
    /// A body that is sent without copying.
    Static,
    /// Pieces that are sent without copying.
    InPlace,
    /// Pieces with a known total length.
    Length,
    /// Pieces in chunks.
    Chunked,
    /// The content, once it is complete.
    Collect,
    /// The content, as it arrives.
    Echo,
    /// A fixed answer; the handler ignores the content.
    Ignore,
    /// A deferred answer that another thread resolves.
    Later,
    /// A deferred answer that is never resolved.
    Never,
    /// No body.
    Empty,
    /// No such resource.
    Missing,
    /// A handler that fails.
    Busy,
    /// Another protocol, which echoes.
    Upgrade,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::Whole,
        Self::Static,
        Self::InPlace,
        Self::Length,
        Self::Chunked,
        Self::Collect,
        Self::Echo,
        Self::Ignore,
        Self::Later,
        Self::Never,
        Self::Empty,
        Self::Missing,
        Self::Busy,
        Self::Upgrade,
    ];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Whole => "/whole",
            Self::Static => "/static",
            Self::InPlace => "/in-place",
            Self::Length => "/length",
            Self::Chunked => "/chunked",
            Self::Collect => "/collect",
            Self::Echo => "/echo",
            Self::Ignore => "/ignore",
            Self::Later => "/later",
            Self::Never => "/never",
            Self::Empty => "/empty",
            Self::Missing => "/missing",
            Self::Busy => "/busy",
            Self::Upgrade => "/upgrade",
        }
    }

    /// The longest body that good clients request or send.
    const fn length_max(self) -> u64 {
        match self {
            Self::Whole | Self::Collect => 60_000,
            Self::Static => 65_536,
            Self::InPlace | Self::Length | Self::Chunked => 400_000,
            Self::Echo => 300_000,
            Self::Ignore => 100_000,
            Self::Later => 5_000,
            Self::Missing => 300,
            Self::Upgrade => 100_000,
            Self::Never | Self::Empty | Self::Busy => 0,
        }
    }
}

/// How content is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    None,
    Length,
    Chunked,
    /// The other protocol's bytes after an upgrade.
    Raw,
}

/// One request; its content, if it has any, is its own pattern.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) method: &'static str,
    pub(crate) client: u32,
    /// Grows with every request of a client.
    pub(crate) serial: u64,
    /// The length of the body, and of content that is echoed.
    pub(crate) length: u64,
    pub(crate) framing: Framing,
    /// How long a deferred answer takes.
    pub(crate) wait_ms: u64,
    pub(crate) http10: bool,
    pub(crate) close: bool,
    pub(crate) expects: bool,
}

impl Request {
    pub(crate) const fn new(kind: Kind, client: u32, serial: u64, length: u64) -> Self {
        let (method, framing) = match kind {
            Kind::Collect | Kind::Echo | Kind::Ignore => ("POST", Framing::Length),
            Kind::Upgrade => ("GET", Framing::Raw),
            _ => ("GET", Framing::None),
        };
        Self { kind, method, client, serial, length, framing, wait_ms: 0, http10: false, close: false, expects: false }
    }

    /// A request that a client may send in the middle of a connection: no upgrade, and nothing that ends it.
    pub(crate) fn random(dice: &mut Dice, client: u32, serial: u64) -> Self {
        const KINDS: [Kind; 12] = [
            Kind::Whole,
            Kind::Whole,
            Kind::Static,
            Kind::InPlace,
            Kind::Length,
            Kind::Chunked,
            Kind::Collect,
            Kind::Echo,
            Kind::Ignore,
            Kind::Later,
            Kind::Empty,
            Kind::Missing,
        ];
        let kind = if dice.percent(2) { Kind::Busy } else { dice.pick(&KINDS) };
        let mut request = Self::new(kind, client, serial, dice.length(kind.length_max()));
        if request.framing == Framing::Length {
            request.framing = dice.pick(&[Framing::Length, Framing::Chunked]);
            request.method = dice.pick(&["POST", "PUT"]);
            request.expects = dice.percent(10);
        } else if kind != Kind::Later && dice.percent(10) {
            request.method = "HEAD";
        }
        if kind == Kind::Later {
            request.wait_ms = dice.below(60);
        }
        request
    }

    /// An upgrade, with a random number of bytes of the other protocol.
    pub(crate) fn upgrade(dice: &mut Dice, client: u32, serial: u64) -> Self {
        Self::new(Kind::Upgrade, client, serial, dice.length(Kind::Upgrade.length_max()))
    }

    /// Makes it the last request of its connection.
    pub(crate) fn make_last(&mut self, dice: &mut Dice) {
        self.close = true;
        // HTTP/1.0 has no chunks to send, and no interim responses.
        if self.framing != Framing::Chunked && dice.percent(30) {
            (self.http10, self.expects) = (true, false);
        }
    }

    pub(crate) const fn content(&self) -> Body {
        Body::pattern(self.client, self.serial)
    }

    /// Whether the server may leave some of the content unread, because its length is unknown or too great.
    pub(crate) fn leaves_content(&self) -> bool {
        self.kind == Kind::Ignore && (self.framing == Framing::Chunked || self.length > 64 * 1024)
    }

    /// Appends the head.
    pub(crate) fn put_head(&self, out: &mut Vec<u8>) {
        let Self { method, client, serial, length, wait_ms, .. } = self;
        let version = if self.http10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let path = self.kind.path();
        let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to memory cannot fail");
        put(format_args!("{method} {path}?c={client}&s={serial}&n={length}&ms={wait_ms} {version}\r\nHost: soak\r\n"));
        match self.framing {
            Framing::None => {}
            Framing::Length => put(format_args!("Content-Length: {length}\r\n")),
            Framing::Chunked => put(format_args!("Transfer-Encoding: chunked\r\n")),
            Framing::Raw => put(format_args!("Connection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n")),
        }
        if self.expects {
            put(format_args!("Expect: 100-continue\r\n"));
        }
        if self.close && !self.http10 {
            put(format_args!("Connection: close\r\n"));
        }
        put(format_args!("\r\n"));
    }

    /// The expected response.
    pub(crate) fn answer(&self) -> Answer {
        let (client, serial, length) = (self.client, self.serial, Some(self.length));
        let pattern = Body::pattern(client, serial);
        let (status, body, length) = match self.kind {
            Kind::Whole | Kind::Length | Kind::Later | Kind::Collect => (200, pattern, length),
            Kind::Static | Kind::InPlace => (200, Body::block(client, serial), length),
            Kind::Chunked => (200, pattern, None),
            Kind::Echo => (200, pattern, if self.framing == Framing::Length { length } else { None }),
            Kind::Ignore => (200, pattern, Some(IGNORED_LEN)),
            Kind::Empty => (204, pattern, Some(0)),
            Kind::Missing => (404, pattern, length),
            Kind::Busy | Kind::Never => (503, pattern, None),
            Kind::Upgrade => (101, pattern, None),
        };
        Answer { status, body, length }
    }
}

/// The protocol after an upgrade.
pub(crate) const PROTOCOL: &str = "soak-echo";
/// The length of the answer to content that is ignored.
pub(crate) const IGNORED_LEN: u64 = 100;

/// The expected response to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// The value of `Content-Length`; `None` for chunks or, on HTTP/1.0, the end of the connection.
    pub(crate) length: Option<u64>,
}
