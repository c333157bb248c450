//! Authentication.

use core::ops::ControlFlow;
use core::str;

use aurora_http_core::handler::Around;
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;
use base64ct::{Base64, Encoding};

/// Calls a function for each request, and answers 401 with a challenge if it returns `false` (RFC 9110 §11).
///
/// ```
/// use aurora_http_web::Routes;
/// use aurora_http_web::middleware::{Authenticate, Wrap, basic_credentials, is_same_secret};
///
/// let guard = Authenticate::new("Basic realm=\"shop\"", |request| {
///     let mut scratch = [0; 128];
///     basic_credentials(request, &mut scratch).is_some_and(|login| {
///         login.user == "me" && is_same_secret(login.password.as_bytes(), b"sesame")
///     })
/// });
/// let admin = Routes::<(), _>::new().get("/", |_, _, response| response.body("come in\n")).behind(guard);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Authenticate<F> {
    challenge: &'static str,
    allows: F,
}

impl<F: FnMut(&Request<'_>) -> bool> Authenticate<F> {
    /// `challenge` is the value of `WWW-Authenticate`, such as `Basic realm="shop"` or `Bearer`; `allows` returns whether a
    /// request is authorised.
    pub const fn new(challenge: &'static str, allows: F) -> Self {
        Self { challenge, allows }
    }
}

impl<F: FnMut(&Request<'_>) -> bool> Around for Authenticate<F> {
    type Note = ();

    fn before(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        if (self.allows)(request) {
            return ControlFlow::Continue(());
        }
        let _ = response.add_field("WWW-Authenticate", self.challenge);
        let _ = response.fail(401);
        ControlFlow::Break(())
    }
}

/// A user name and a password: see [`basic_credentials`].
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct BasicCredentials<'s> {
    /// The user name.
    pub user: &'s str,
    /// The password.
    pub password: &'s str,
}

/// Without the password.
impl core::fmt::Debug for BasicCredentials<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BasicCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The credentials of the scheme `Basic` (RFC 7617), decoded into `scratch`. `None` if there are none, or if they do not fit.
pub fn basic_credentials<'s>(request: &Request<'_>, scratch: &'s mut [u8]) -> Option<BasicCredentials<'s>> {
    let encoded = credentials(request, "Basic")?;
    let decoded = str::from_utf8(Base64::decode(encoded, scratch).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(BasicCredentials { user, password })
}

/// The token of the scheme `Bearer` (RFC 6750). `None` if there is none.
#[must_use]
pub fn bearer_token<'a>(request: &Request<'a>) -> Option<&'a str> {
    credentials(request, "Bearer")
}

/// The credentials after the name of the scheme. Several fields count as none, because it is undefined which one applies.
fn credentials<'a>(request: &Request<'a>, scheme: &str) -> Option<&'a str> {
    let mut values = request.fields().get_all("Authorization");
    let value = values.next().filter(|_| values.next().is_none())?;
    let (name, token) = str::from_utf8(value).ok()?.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| token.trim_start_matches(' '))
}

/// Compares two secrets in a time that only depends on their lengths, so that the time does not tell how much of a guess is
/// right.
#[must_use]
pub fn is_same_secret(given: &[u8], secret: &[u8]) -> bool {
    if given.len() != secret.len() {
        return false;
    }
    let differences = given.iter().zip(secret).fold(0, |found, (a, b)| found | (a ^ b));
    core::hint::black_box(differences) == 0
}
