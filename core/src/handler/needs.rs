//! What a program needs of the engine.

/// What a handler and its program need of the engine: [`Handler::NEEDS`](super::Handler::NEEDS).
///
/// It is a constant, so the compiler leaves out what is not needed: on a microcontroller up to a fifth of the engine's code
/// (`docs/sizes.md` has the figures). Everything is needed by default, and nothing about messages can be left out: whatever
/// docs/wire.md says of heads, content and responses holds for every program.
///
/// A handler that is made of functions, or of routes, needs everything; [`forward_handler!`](crate::forward_handler) has an example
/// of a wrapper that says otherwise.
///
/// ```
/// use aurora_http_core::handler::{Flow, Handler, Needs};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Tells the temperature, and never leaves an answer for later.
/// struct Thermometer;
///
/// impl Handler for Thermometer {
///     const NEEDS: Needs = Needs { eviction: true, ..Needs::LEAST };
///     type Exchange = core::convert::Infallible;
///
///     fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
///         let _ = response.body("21.5 C\n");
///         Flow::Finish
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Needs {
    /// [`Flow::Defer`](super::Flow::Defer), [`Flow::ReceiveOrResume`](super::Flow::ReceiveOrResume), tokens, and the times of
    /// [`ResponseWriter::wake_after`](crate::writer::ResponseWriter::wake_after). Without it, an exchange that returns one of
    /// these flows is answered with 500, no token is given out
    /// ([`WriteError::Unsupported`](crate::writer::WriteError::Unsupported)), and a time is not kept.
    pub deferral: bool,
    /// Other protocols: [`Flow::Upgrade`](super::Flow::Upgrade), [`Flow::Detach`](super::Flow::Detach), 101 and tunnels.
    /// Without it, a response that switches protocols is replaced by 500.
    pub upgrades: bool,
    /// Files that the reactor sends by itself. Without it,
    /// [`sends_files`](crate::writer::ResponseWriter::sends_files) is `false`, as on a reactor that cannot.
    pub files: bool,
    /// Trailer fields of requests. Without it, [`Content::trailers`](super::Content::trailers) is always `None`; they are
    /// checked all the same.
    pub trailers: bool,
    /// Ending a connection for another one that waits for its slot or its buffer, and with
    /// [`Overload::Refuse`](crate::limits::Overload::Refuse), answering 503 in place of that. Without it newcomers wait until
    /// a connection ends by itself, at the latest by its timeouts, of which then none should be disabled. It suits programs
    /// with few clients that belong together.
    pub eviction: bool,
    /// A graceful stop, and an abort. Without it the program serves until the power fails:
    /// [`Engine::stop`](crate::engine::Engine::stop) and a [`StopFlag`](crate::stop::StopFlag) have no effect. A
    /// [`Solo`](crate::adapter) ends its connection all the same, but no handler is told.
    pub stop: bool,
}

impl Needs {
    /// Everything: the default.
    pub const ALL: Self =
        Self { deferral: true, upgrades: true, files: true, trailers: true, eviction: true, stop: true };

    /// Nothing but requests and their responses, of any length, and their content.
    pub const LEAST: Self =
        Self { deferral: false, upgrades: false, files: false, trailers: false, eviction: false, stop: false };

    /// What both need together: for a wrapper that has needs of its own.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            deferral: self.deferral || other.deferral,
            upgrades: self.upgrades || other.upgrades,
            files: self.files || other.files,
            trailers: self.trailers || other.trailers,
            eviction: self.eviction || other.eviction,
            stop: self.stop || other.stop,
        }
    }
}
