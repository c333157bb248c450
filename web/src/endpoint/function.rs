//! Endpoints that are functions.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Exchange, Flow, Respond};
use aurora_http_core::request::BodyLength;
use aurora_http_core::writer::ResponseWriter;

use super::Endpoint;
use crate::call::Call;

/// A function that is called when all the content has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Function<F>(pub(crate) F);

/// Several functions of the same type.
#[derive(Clone, Copy, Debug)]
pub struct Each<F, const M: usize>(pub(crate) [F; M]);

/// A function that is called as soon as the head has arrived. It can take the content in pieces, with
/// [`receiving`](aurora_http_core::handler::receiving) or its own [`Exchange`].
///
/// ```
/// use aurora_http_core::handler::receiving;
/// use aurora_http_core::request::Method;
/// use aurora_http_core::writer::{ResponseWriter, WriteError};
/// use aurora_http_web::{Call, Routes, streaming};
///
/// let count = streaming(|_: &mut (), _: &Call<'_>, _: &mut ResponseWriter<'_>| {
///     let mut bytes = 0;
///     receiving(move |content, response| {
///         bytes += content.bytes().len();
///         if content.ended() {
///             response.body_fmt(format_args!("{bytes} bytes\n"))?;
///         }
///         Ok::<_, WriteError>(())
///     })
/// });
/// let handler = Routes::new().on(Method::Put, "/count", count).with_state(());
/// ```
pub const fn streaming<S, F, R>(function: F) -> Streaming<F>
where
    F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    Streaming(function)
}

/// The endpoint that [`streaming`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Streaming<F>(F);

/// What continues by itself continues without the endpoint.
macro_rules! exchanges_go_on {
    () => {
        fn receive(
            &mut self,
            exchange: Self::Exchange,
            _: &mut S,
            content: &mut Content<'_>,
            response: &mut ResponseWriter<'_>,
        ) -> Flow<Self::Exchange> {
            exchange.receive(content, response)
        }

        fn produce(
            &mut self,
            exchange: Self::Exchange,
            _: &mut S,
            response: &mut ResponseWriter<'_>,
        ) -> Flow<Self::Exchange> {
            exchange.produce(response)
        }

        fn resume(
            &mut self,
            exchange: Self::Exchange,
            _: &mut S,
            response: &mut ResponseWriter<'_>,
        ) -> Flow<Self::Exchange> {
            exchange.resume(response)
        }

        fn stopping(
            &mut self,
            flow: Flow<Self::Exchange>,
            _: &mut S,
            response: &mut ResponseWriter<'_>,
        ) -> Flow<Self::Exchange> {
            Exchange::stopping(flow, response)
        }

        fn half_closed(&mut self, exchange: Self::Exchange, _: &mut S) -> Option<Self::Exchange> {
            exchange.half_closed()
        }

        fn abandoned(&mut self, exchange: Self::Exchange, _: &mut S, reason: CloseReason) {
            exchange.abandoned(reason);
        }
    };
}

/// Calls the function, or waits for the content.
#[inline]
fn collect<S, R: Respond>(
    mut function: impl FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
    state: &mut S,
    call: &Call<'_>,
    response: &mut ResponseWriter<'_>,
) -> Flow<Option<R::Exchange>> {
    match call.body_length() {
        BodyLength::None | BodyLength::Length(0) => function(state, call, response).respond(response).map(Some),
        BodyLength::Length(_) | BodyLength::Chunked => Flow::Collect(None),
    }
}

impl<S, F, R> Endpoint<S> for Function<F>
where
    F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    /// `None` while the content arrives.
    type Exchange = Option<R::Exchange>;

    #[inline]
    fn call(&mut self, state: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        collect(&mut self.0, state, call, response)
    }

    fn collected(
        &mut self,
        _: Self::Exchange,
        state: &mut S,
        call: &Call<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        (self.0)(state, call, response).respond(response).map(Some)
    }

    exchanges_go_on!();
}

impl<S, F, R, const M: usize> Endpoint<S> for Each<F, M>
where
    F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    type Exchange = Option<R::Exchange>;
    const ROUTES: usize = M;

    #[inline]
    fn call(&mut self, state: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        collect(&mut self.0[call.route as usize], state, call, response)
    }

    fn collected(
        &mut self,
        _: Self::Exchange,
        state: &mut S,
        call: &Call<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        (self.0[call.route as usize])(state, call, response).respond(response).map(Some)
    }

    exchanges_go_on!();
}

impl<S, F, R> Endpoint<S> for Streaming<F>
where
    F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
    R: Respond,
{
    type Exchange = R::Exchange;

    #[inline]
    fn call(&mut self, state: &mut S, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        (self.0)(state, call, response).respond(response)
    }

    exchanges_go_on!();
}
