//! Answers every request alike.

use core::convert::Infallible;

use aurora_http_core::handler::{Flow, Handler, Needs};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

/// Tells the temperature.
pub struct Smallest;

/// The handler.
pub const fn new() -> Smallest {
    Smallest
}

impl Handler for Smallest {
    const NEEDS: Needs = super::NEEDS;
    type Exchange = Infallible;

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Infallible> {
        // If it does not fit, the engine answers.
        let _ = response.body("21.5 C\n");
        Flow::Finish
    }
}
