//! The next action of a connection, as a function of its state.

use super::exchange::Output;
use super::{Action, Connection, flag, release};
use crate::pool::{Buf, BufferPool};
use crate::reactor::{FileRange, Op, Shutdown};
use crate::state::State;

/// The next action, without its buffers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Want {
    /// Nothing until the next event.
    Nothing,
    Send,
    /// To receive, after the bytes that are there.
    Recv,
    /// To receive and drop.
    RecvToDrop,
    Shutdown(Shutdown),
    CancelRecv,
    CancelSend,
    Close,
}

/// The next action is a control.
pub(crate) struct ControlIsNext;

impl Want {
    /// Whether it is carried out at once and has no completion.
    const fn is_control(self) -> bool {
        matches!(self, Self::Shutdown(_) | Self::CancelRecv | Self::CancelSend)
    }
}

/// The next action.
impl<'p, E> Connection<'p, E> {
    /// The next operation to carry out; `None` if there is none until the next event. Call it again after each
    /// operation.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn next_action(&mut self, pool: &mut BufferPool<'_, 'p>) -> Option<Action<'p>> {
        match self.want() {
            Want::Nothing => None,
            Want::Send => self.send(),
            Want::Recv => Some(self.recv(pool)),
            want => Some(self.act(pool, want)),
        }
    }

    /// Like [`next_action`](Self::next_action), but leaves a control (a shutdown or a cancel), which has no completion,
    /// to that: [`ControlIsNext`].
    #[cfg_attr(not(feature = "small"), inline)]
    pub(crate) fn next_operation(
        &mut self,
        pool: &mut BufferPool<'_, 'p>,
    ) -> Result<Option<Action<'p>>, ControlIsNext> {
        match self.want() {
            Want::Nothing => Ok(None),
            Want::Send => Ok(self.send()),
            Want::Recv => Ok(Some(self.recv(pool))),
            want if want.is_control() => Err(ControlIsNext),
            want => Ok(Some(self.act(pool, want))),
        }
    }

    /// Whether [`next_action`](Self::next_action) would return an operation: for a caller that can take only one.
    #[inline]
    #[must_use]
    pub fn has_action(&self) -> bool {
        self.want() != Want::Nothing
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn want(&self) -> Want {
        let exchange = &self.exchange;
        match exchange.state {
            State::Writing if exchange.wants_send() => Want::Send,
            State::Writing if exchange.wants_to_drop() && !planted!(LateInputKept) => Want::RecvToDrop,
            State::New | State::KeepAlive | State::ReadingHead | State::ReadingContent
                if !exchange.has(flag::RECV | flag::STARVED) =>
            {
                Want::Recv
            }
            State::ReadingContent | State::Processing | State::Switched => self.want_parked(),
            State::Lingering => self.want_lingering(),
            State::Closing => self.want_closing(),
            _ => Want::Nothing,
        }
    }

    /// While an answer is deferred, one receive is in flight to notice that the client has gone, after whatever it has
    /// sent, as far as that fits into the buffer. While another protocol is spoken, it receives the bytes.
    #[cold]
    fn want_parked(&self) -> Want {
        let exchange = &self.exchange;
        let receives = !exchange.has(flag::RECV | flag::STARVED | flag::FIN_RECEIVED);
        match exchange.state {
            _ if exchange.wants_inbound_back() => Want::CancelRecv,
            State::Switched if exchange.has(flag::DETACHED) => {
                let holds = exchange.has(flag::RECV) && !exchange.has(flag::RECV_CANCELED);
                if holds { Want::CancelRecv } else { Want::Nothing }
            }
            State::Switched if receives => Want::Recv,
            State::Processing if receives && exchange.is_deferred() && !exchange.is_woken() => {
                let has_room = self.inbound.as_ref().is_none_or(|inbound| inbound.len() < inbound.capacity());
                if has_room { Want::Recv } else { Want::Nothing }
            }
            _ => Want::Nothing,
        }
    }

    #[cold]
    fn want_lingering(&self) -> Want {
        let exchange = &self.exchange;
        if !exchange.has(flag::SHUT | flag::CUT_OFF) {
            Want::Shutdown(Shutdown::Write)
        } else if exchange.pins_buffer() {
            // Input is dropped, for which a lent buffer suffices.
            Want::CancelRecv
        } else if exchange.has(flag::RECV | flag::STARVED | flag::FIN_RECEIVED) {
            Want::Nothing
        } else {
            Want::RecvToDrop
        }
    }

    /// Shut down, join, close: never a close with an operation in flight. An orderly end says so (see
    /// [`Shutdown::Write`]), and so does the end of a response that a FIN would seem to complete.
    fn want_closing(&self) -> Want {
        let exchange = &self.exchange;
        let is_running = |operation, canceled| exchange.has(operation) && !exchange.has(canceled);
        if exchange.has(flag::CLOSE) {
            Want::Nothing
        } else if exchange.has(flag::ORDERLY) && !exchange.has(flag::SHUT) {
            Want::Shutdown(Shutdown::Write)
        } else if exchange.has(flag::CUT_OFF) && !exchange.has(flag::SHUT) {
            Want::Shutdown(Shutdown::Reset)
        } else if !exchange.has(flag::RECV | flag::SEND) || planted!(ClosedUnderOperations) {
            Want::Close
        } else if !exchange.has(flag::SHUT) {
            Want::Shutdown(Shutdown::Both)
        } else if is_running(flag::RECV, flag::RECV_CANCELED) {
            Want::CancelRecv
        } else if is_running(flag::SEND, flag::SEND_CANCELED) {
            Want::CancelSend
        } else {
            Want::Nothing
        }
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn send(&mut self) -> Option<Action<'p>> {
        let exchange = &mut self.exchange;
        let (mut head, mut body) = match core::mem::take(&mut exchange.output) {
            Output::Unsent { head, body } => (head, body),
            Output::File { head, file, offset, len } => {
                let range = FileRange { file, offset, len };
                exchange.send_file(&head, range);
                return Some(Action::SendFile { head, range });
            }
            _ => return None,
        };
        exchange.set(flag::SEND);
        if exchange.has(flag::CONTINUE) && !planted!(ContinueNotAlone) {
            exchange.hold_back(&mut head, &mut body);
        }
        exchange.leave(head.len(), body.len());
        Some(Action::Send { head, body })
    }

    #[cfg_attr(not(feature = "small"), inline)]
    fn recv(&mut self, pool: &mut BufferPool<'_, 'p>) -> Action<'p> {
        let into = match self.inbound.take() {
            Some(mut buf) if !buf.is_empty() => {
                if buf.spare_len() == 0 {
                    buf.compact();
                }
                Some(buf)
            }
            Some(buf) => {
                release(pool, buf);
                self.exchange.bulk_buffer(pool)
            }
            None if self.exchange.state == State::ReadingContent => self.exchange.bulk_buffer(pool),
            None => None,
        };
        self.exchange.set(if into.is_some() { flag::RECV } else { flag::RECV | flag::LENT });
        Action::Recv { into }
    }

    /// All actions except the frequent ones, a send and an ordinary receive.
    #[cold]
    fn act(&mut self, pool: &mut BufferPool<'_, 'p>, want: Want) -> Action<'p> {
        if self.exchange.state == State::Closing {
            self.release_inbound(pool); // pipelined requests after a response that was cut off
        }
        match want {
            Want::Shutdown(how) => {
                self.exchange.set(flag::SHUT);
                Action::Shutdown(how)
            }
            Want::CancelRecv => {
                self.exchange.set(flag::RECV_CANCELED);
                Action::CancelRecv
            }
            Want::CancelSend => {
                self.exchange.set(flag::SEND_CANCELED);
                Action::CancelSend
            }
            Want::RecvToDrop => {
                self.release_inbound(pool);
                self.exchange.set(flag::RECV | flag::LENT);
                Action::Recv { into: None }
            }
            // The others are handled by the caller.
            Want::Close | Want::Nothing | Want::Send | Want::Recv => {
                self.exchange.set(flag::CLOSE);
                Action::Close
            }
        }
    }

    /// Makes the rest of a send of which `sent` bytes were sent the output again.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn put_back(&mut self, mut head: Buf<'p>, mut body: &'p [u8], sent: usize) {
        let exchange = &mut self.exchange;
        if exchange.has(flag::HELD_BACK) {
            exchange.join_held_back(&mut head, &mut body, sent);
        } else {
            let of_head = sent.min(head.len());
            head.consume(of_head);
            body = body.get(sent - of_head..).unwrap_or_default();
            if !planted!(RejectedSendLosesPlace) || sent > 0 {
                exchange.keep_rest(head.len() + body.len());
            }
        }
        exchange.output = Output::Unsent { head, body };
    }

    /// Returns its buffers to the pool. Afterwards it must only be dropped.
    pub(crate) fn release_buffers(&mut self, pool: &mut BufferPool<'_, 'p>) {
        let output = match core::mem::take(&mut self.exchange.output) {
            Output::Unsent { head: buf, .. } | Output::File { head: buf, .. } | Output::Collected(buf) => Some(buf),
            Output::Empty | Output::HeldBack { .. } | Output::FileInFlight { .. } | Output::Lingering(_) => None,
        };
        for buf in self.inbound.take().into_iter().chain(output) {
            // Refused only if the pool already has all its buffers, so that this one is not the pool's.
            let _ = pool.release(buf);
        }
    }

    fn release_inbound(&mut self, pool: &mut BufferPool<'_, 'p>) {
        if let Some(buf) = self.inbound.take() {
            release(pool, buf);
        }
    }

    /// The reactor rejected the operation of an action: restores the state before it.
    #[cold]
    pub fn handle_rejected(&mut self, pool: &mut BufferPool<'_, 'p>, op: Op<'p>) {
        match op {
            Op::Recv { into, .. } => {
                self.exchange.clear(flag::RECV | flag::LENT);
                match into {
                    Some(buf) if buf.is_empty() => release(pool, buf),
                    into => self.inbound = into,
                }
            }
            Op::Send { head, body, .. } => {
                self.exchange.clear(flag::SEND);
                self.put_back(head, body, 0);
            }
            Op::SendFile { head, .. } => {
                self.exchange.clear(flag::SEND);
                if planted!(RejectedFileForgotten) {
                    return self.put_back(head, &[], 0);
                }
                if let Some(head) = self.exchange.file_sent(head, 0) {
                    release(pool, head);
                }
            }
            Op::Close { .. } => self.exchange.clear(flag::CLOSE),
            Op::Accept { .. } => {}
        }
    }
}
