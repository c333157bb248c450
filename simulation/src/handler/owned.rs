//! Who owns the state of an exchange: the handler always gets it back, or is told that the exchange ends.

use std::cell::RefCell;
use std::rc::Rc;

use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Flow, Handler, Needs};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

use super::{Book, Puppet, State};
use crate::exchange::Id;

/// A handler whose states report when they are dropped without being given back to the handler.
pub(crate) struct Owning<'s>(pub(crate) Puppet<'s>);

/// A state that the engine owns.
pub(crate) struct Owned {
    /// `None` once it was given back.
    state: Option<State>,
    /// The body that it would go on with is never asked for.
    is_excused: bool,
    /// The exchange that it belongs to.
    pub(crate) id: Id,
    book: Rc<RefCell<Book>>,
}

impl Owned {
    /// Gives the state back.
    pub(crate) fn take(mut self) -> State {
        self.state.take().expect("it is taken only once")
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut book = self.book.borrow_mut();
        if self.state.is_some() && !self.is_excused && !book.is_over {
            book.fault.get_or_insert(format!("{:?}: its state is dropped without notice", self.id));
        }
    }
}

impl<'s> Owning<'s> {
    fn call_again(
        &mut self,
        owned: Owned,
        response: &mut ResponseWriter<'_>,
        call: impl FnOnce(&mut Puppet<'s>, State, &mut ResponseWriter<'_>) -> Flow<State>,
    ) -> Flow<Owned> {
        let flow = call(&mut self.0, owned.take(), response);
        self.give(flow)
    }

    fn give(&self, flow: Flow<State>) -> Flow<Owned> {
        let goes_on = matches!(flow, Flow::Produce(_) | Flow::Defer(_));
        flow.map(|state| Owned {
            is_excused: goes_on && self.0.may_drop_body(state.id),
            id: state.id,
            state: Some(state),
            book: Rc::clone(&self.0.book),
        })
    }
}

impl<'s> Handler for Owning<'s> {
    const NEEDS: Needs = Puppet::<'s>::NEEDS;
    type Exchange = Owned;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Owned> {
        let flow = self.0.request(request, response);
        self.give(flow)
    }

    fn half_closed(&mut self, owned: Owned) -> Option<Owned> {
        let state = self.0.half_closed(owned.take())?;
        self.give(Flow::Defer(state)).into_state()
    }

    fn abandoned(&mut self, owned: Owned, reason: CloseReason) {
        self.0.abandoned(owned.take(), reason);
    }

    forward_handler!(self => self.0; through Self::call_again; except request, half_closed, abandoned);
}
