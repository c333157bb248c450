//! `forward_handler!`: the methods of a handler that wraps another one.

/// Forwards the methods of a [`Handler`](crate::handler::Handler) to another one: for types that wrap a handler.
///
/// Logs, authentication and the like need none of this: they implement [`Around`](crate::handler::Around). Use this macro for a
/// wrapper that has to do more, such as change a response after it was written. It goes into the `impl` block, and writes every
/// method that is not named after `except`, so that a wrapper cannot forget one:
///
/// ```
/// use aurora_http_core::forward_handler;
/// use aurora_http_core::handler::{Flow, Handler, Needs};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Answers a fault of the handler with a page of its own.
/// struct Apologise<H>(H);
///
/// impl<H: Handler> Handler for Apologise<H> {
///     const NEEDS: Needs = H::NEEDS;
///     type Exchange = H::Exchange;
///
///     fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
///         let flow = self.0.request(request, response);
///         if matches!(flow, Flow::Finish) && response.status_so_far() == 500 && response.reset().is_ok() {
///             let _ = response.status(500).and_then(|()| response.body("Sorry.\n"));
///         }
///         flow
///     }
///
///     forward_handler!(self => self.0; except request);
/// }
/// ```
///
/// The inner handler is on the right of the arrow. A wrapper's [`NEEDS`](crate::handler::Handler::NEEDS) are those of the inner
/// handler, [together](crate::handler::Needs::and) with its own if it has any; a wrapper that does not mention them needs
/// everything. This one forwards all methods, and only says what a handler made of functions needs, for a device that never stops:
///
/// ```
/// use aurora_http_core::forward_handler;
/// use aurora_http_core::handler::{Handler, Needs};
///
/// struct OnDevice<H>(H);
///
/// impl<H: Handler> Handler for OnDevice<H> {
///     const NEEDS: Needs = Needs { eviction: true, ..Needs::LEAST };
///     type Exchange = H::Exchange;
///
///     forward_handler!(self => self.0);
/// }
/// ```
///
/// # State of its own
/// A wrapper that keeps something for each exchange has another `Exchange` than the inner handler, so it cannot forward the calls
/// in which an exchange continues (`collected`, `receive`, `produce`, `resume` and `stopping`) as they are. It names a method for
/// them after `through`, which gets the state, the response, and a closure that calls the inner handler.
///
/// ```
/// use aurora_http_core::error::CloseReason;
/// use aurora_http_core::forward_handler;
/// use aurora_http_core::handler::{Flow, Handler, Needs};
/// use aurora_http_core::request::Request;
/// use aurora_http_core::writer::ResponseWriter;
///
/// /// Counts the calls of each exchange.
/// struct CountCalls<H> {
///     inner: H,
///     calls_max: u32,
/// }
///
/// impl<H: Handler> CountCalls<H> {
///     fn call_again(
///         &mut self,
///         (calls, state): (u32, H::Exchange),
///         response: &mut ResponseWriter<'_>,
///         call: impl FnOnce(&mut H, H::Exchange, &mut ResponseWriter<'_>) -> Flow<H::Exchange>,
///     ) -> Flow<(u32, H::Exchange)> {
///         self.calls_max = self.calls_max.max(calls + 1);
///         call(&mut self.inner, state, response).map(|state| (calls + 1, state))
///     }
/// }
///
/// impl<H: Handler> Handler for CountCalls<H> {
///     const NEEDS: Needs = H::NEEDS;
///     type Exchange = (u32, H::Exchange);
///
///     fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<(u32, H::Exchange)> {
///         self.inner.request(request, response).map(|state| (1, state))
///     }
///
///     fn half_closed(&mut self, (calls, state): (u32, H::Exchange)) -> Option<(u32, H::Exchange)> {
///         self.inner.half_closed(state).map(|state| (calls, state))
///     }
///
///     fn abandoned(&mut self, (_, state): (u32, H::Exchange), reason: CloseReason) {
///         self.inner.abandoned(state, reason);
///     }
///
///     forward_handler!(self => self.inner; through Self::call_again; except request, half_closed, abandoned);
/// }
/// ```
#[macro_export]
macro_rules! forward_handler {
    ($self:ident => $inner:expr $(; except $($own:ident),+)?) => {
        $crate::__forward_handler_method! { @all $self [$($($own)+)?] [$inner] [] }
    };
    ($self:ident => $inner:expr; through $through:path $(; except $($own:ident),+)?) => {
        $crate::__forward_handler_method! { @all $self [$($($own)+)?] [$inner] [$through] }
    };
}

/// The methods that [`forward_handler`] writes. Its arguments: what to do, `self`, the inner handler in brackets, and in brackets
/// the function through which an exchange continues, if there is one.
#[doc(hidden)]
#[macro_export]
macro_rules! __forward_handler_method {
    (@all $self:ident $own:tt $inner:tt $through:tt) => {
        $crate::__forward_handler_method! { @unless $own request $self $inner $through }
        $crate::__forward_handler_method! { @unless $own collected $self $inner $through }
        $crate::__forward_handler_method! { @unless $own receive $self $inner $through }
        $crate::__forward_handler_method! { @unless $own produce $self $inner $through }
        $crate::__forward_handler_method! { @unless $own resume $self $inner $through }
        $crate::__forward_handler_method! { @unless $own stopping $self $inner $through }
        $crate::__forward_handler_method! { @unless $own half_closed $self $inner $through }
        $crate::__forward_handler_method! { @unless $own abandoned $self $inner $through }
        $crate::__forward_handler_method! { @unless $own refused $self $inner $through }
        $crate::__forward_handler_method! { @unless $own accepted $self $inner $through }
        $crate::__forward_handler_method! { @unless $own closed $self $inner $through }
    };

    // Nothing for a method that the wrapper has itself: the first of its own methods is this one, or else look at the next.
    (@unless [request $($own:ident)*] request $self:ident $inner:tt $through:tt) => {};
    (@unless [collected $($own:ident)*] collected $self:ident $inner:tt $through:tt) => {};
    (@unless [receive $($own:ident)*] receive $self:ident $inner:tt $through:tt) => {};
    (@unless [produce $($own:ident)*] produce $self:ident $inner:tt $through:tt) => {};
    (@unless [resume $($own:ident)*] resume $self:ident $inner:tt $through:tt) => {};
    (@unless [stopping $($own:ident)*] stopping $self:ident $inner:tt $through:tt) => {};
    (@unless [half_closed $($own:ident)*] half_closed $self:ident $inner:tt $through:tt) => {};
    (@unless [abandoned $($own:ident)*] abandoned $self:ident $inner:tt $through:tt) => {};
    (@unless [refused $($own:ident)*] refused $self:ident $inner:tt $through:tt) => {};
    (@unless [accepted $($own:ident)*] accepted $self:ident $inner:tt $through:tt) => {};
    (@unless [closed $($own:ident)*] closed $self:ident $inner:tt $through:tt) => {};
    (@unless [$other:ident $($own:ident)*] $method:ident $self:ident $inner:tt $through:tt) => {
        $crate::__forward_handler_method! { @unless [$($own)*] $method $self $inner $through }
    };
    (@unless [] $method:ident $self:ident $inner:tt $through:tt) => {
        $crate::__forward_handler_method! { @$method $self $inner $through }
    };

    (@request $self:ident [$inner:expr] $through:tt) => {
        fn request(
            &mut $self,
            request: &$crate::request::Request<'_>,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            $crate::handler::Handler::request(&mut $inner, request, response)
        }
    };
    (@collected $self:ident $inner:tt $through:tt) => {
        fn collected(
            &mut $self,
            state: Self::Exchange,
            request: &$crate::request::Request<'_>,
            content: &[u8],
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            $crate::__forward_handler_method! {
                @call $self $inner $through |inner, state, response| {
                    $crate::handler::Handler::collected(inner, state, request, content, response)
                }
            }
        }
    };
    (@receive $self:ident $inner:tt $through:tt) => {
        fn receive(
            &mut $self,
            state: Self::Exchange,
            content: &mut $crate::handler::Content<'_>,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            $crate::__forward_handler_method! {
                @call $self $inner $through |inner, state, response| $crate::handler::Handler::receive(inner, state, content, response)
            }
        }
    };
    (@produce $self:ident $inner:tt $through:tt) => {
        fn produce(
            &mut $self,
            state: Self::Exchange,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            $crate::__forward_handler_method! {
                @call $self $inner $through |inner, state, response| $crate::handler::Handler::produce(inner, state, response)
            }
        }
    };
    (@resume $self:ident $inner:tt $through:tt) => {
        fn resume(
            &mut $self,
            state: Self::Exchange,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            $crate::__forward_handler_method! {
                @call $self $inner $through |inner, state, response| $crate::handler::Handler::resume(inner, state, response)
            }
        }
    };
    (@stopping $self:ident [$inner:expr] []) => {
        fn stopping(
            &mut $self,
            flow: $crate::handler::Flow<Self::Exchange>,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            $crate::handler::Handler::stopping(&mut $inner, flow, response)
        }
    };
    (@stopping $self:ident $inner:tt [$through:path]) => {
        fn stopping(
            &mut $self,
            flow: $crate::handler::Flow<Self::Exchange>,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) -> $crate::handler::Flow<Self::Exchange> {
            let (flow, ::core::option::Option::Some(state)) = flow.split() else {
                return $crate::handler::Flow::Finish;
            };
            $through($self, state, response, |inner, state, response| {
                $crate::handler::Handler::stopping(inner, flow.map(|()| state), response)
            })
        }
    };
    (@half_closed $self:ident [$inner:expr] $through:tt) => {
        fn half_closed(&mut $self, state: Self::Exchange) -> ::core::option::Option<Self::Exchange> {
            $crate::handler::Handler::half_closed(&mut $inner, state)
        }
    };
    (@abandoned $self:ident [$inner:expr] $through:tt) => {
        fn abandoned(&mut $self, state: Self::Exchange, reason: $crate::error::CloseReason) {
            $crate::handler::Handler::abandoned(&mut $inner, state, reason);
        }
    };
    (@refused $self:ident [$inner:expr] $through:tt) => {
        fn refused(
            &mut $self,
            refusal: &$crate::handler::Refusal<'_>,
            response: &mut $crate::writer::ResponseWriter<'_>,
        ) {
            $crate::handler::Handler::refused(&mut $inner, refusal, response);
        }
    };
    (@accepted $self:ident [$inner:expr] $through:tt) => {
        #[inline]
        fn accepted(&mut $self, connection: &$crate::handler::ConnectionInfo<'_>) -> bool {
            $crate::handler::Handler::accepted(&mut $inner, connection)
        }
    };
    (@closed $self:ident [$inner:expr] $through:tt) => {
        #[inline]
        fn closed(
            &mut $self,
            id: $crate::handler::ConnectionId,
            reason: $crate::error::CloseReason,
            requests_served: u32,
        ) {
            $crate::handler::Handler::closed(&mut $inner, id, reason, requests_served);
        }
    };

    (@call $self:ident [$inner:expr] [] |$handler:ident, $state:ident, $response:ident| $call:expr) => {{
        let $handler = &mut $inner;
        $call
    }};
    (@call $self:ident $inner:tt [$through:path] |$handler:ident, $state:ident, $response:ident| $call:expr) => {
        $through($self, $state, $response, |$handler, $state, $response| $call)
    };
}
