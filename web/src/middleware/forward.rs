//! Methods that wrappers of a handler forward unchanged.

/// Forwards all methods of [`Handler`](aurora_http_core::handler::Handler) except `request` and `resume` to `self.inner`.
macro_rules! passes_on_the_rest {
    () => {
        fn collected(
            &mut self,
            exchange: Self::Exchange,
            request: &Request<'_>,
            content: &[u8],
            response: &mut ResponseWriter<'_>,
        ) -> Flow<Self::Exchange> {
            self.inner.collected(exchange, request, content, response)
        }

        fn receive(
            &mut self,
            exchange: Self::Exchange,
            content: &mut Content<'_>,
            response: &mut ResponseWriter<'_>,
        ) -> Flow<Self::Exchange> {
            self.inner.receive(exchange, content, response)
        }

        fn produce(&mut self, exchange: Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
            self.inner.produce(exchange, response)
        }

        fn stopping(&mut self, flow: Flow<Self::Exchange>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
            self.inner.stopping(flow, response)
        }

        fn half_closed(&mut self, exchange: Self::Exchange) -> Option<Self::Exchange> {
            self.inner.half_closed(exchange)
        }

        fn abandoned(&mut self, exchange: Self::Exchange, reason: CloseReason) {
            self.inner.abandoned(exchange, reason);
        }

        fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
            self.inner.refused(refusal, response);
        }

        fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
            self.inner.accepted(connection)
        }

        fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
            self.inner.closed(id, reason, requests_served);
        }
    };
}

pub(super) use passes_on_the_rest;
