//! Output that ends with a part of a file.

use super::exchange::{Exchange, Output};
use super::window::Progress;
use super::{Connection, Context, flag, release};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::pool::Buf;
use crate::reactor::FileRange;
use crate::state::Event;

impl<'p, E> Connection<'p, E> {
    /// The send in flight, which had a part of a file, has completed.
    #[cold]
    pub(super) fn handle_file_sent<H: Handler<Exchange = E>>(
        &mut self,
        cx: &mut Context<'_, '_, 'p, H>,
        count: u32,
        head: Buf<'p>,
    ) {
        match self.exchange.file_sent(head, count) {
            Some(head) => {
                release(cx.pool, head);
                self.count_sent(cx, count);
                self.advance(cx);
            }
            None if self.count_sent(cx, count) == Progress::TooSlow => self.close(cx, CloseReason::WriteTimeout),
            None => {}
        }
    }

    /// The file has become shorter than announced, or cannot be read: the client is to see that the response is not
    /// complete. What was in the buffer has been sent, and with it the responses before this one.
    #[cold]
    pub(super) fn break_off_file<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, head: Buf<'p>) {
        release(cx.pool, head);
        if planted!(FileEndIgnored) {
            return self.advance(cx);
        }
        self.exchange.clear(flag::FILE);
        self.exchange.release_output(cx.pool);
        cx.counters.failed += 1;
        self.exchange.go(Event::CallHandler);
        if planted!(FileEndDestroys) {
            self.exchange.cut_off(cx, CloseReason::ResponseFailed);
        } else {
            self.exchange.break_off(cx, CloseReason::ResponseFailed);
        }
        self.advance(cx);
    }
}

impl<'p, E> Exchange<'p, E> {
    /// The output continues with a part of a file.
    #[cold]
    pub(super) fn append_file(&mut self, FileRange { file, offset, len }: FileRange) {
        if let Output::Unsent { head, .. } = core::mem::take(&mut self.output) {
            self.output = Output::File { head, file, offset, len };
        }
    }

    /// Passes the output to a send. It remembers the range, which does not come back with the completion.
    pub(super) fn send_file(&mut self, head: &Buf<'p>, range: FileRange) {
        let FileRange { file, offset, len } = range;
        self.set(flag::SEND | flag::FILE);
        self.output = Output::FileInFlight { file, offset, len };
        self.leave(head.len(), len as usize);
    }

    /// The send of a part of a file has completed: makes what is left of it the output again, or returns the buffer if
    /// nothing is left.
    pub(super) fn file_sent(&mut self, mut head: Buf<'p>, sent: u32) -> Option<Buf<'p>> {
        if !planted!(FileFlagKept) {
            self.clear(flag::FILE);
        }
        let Output::FileInFlight { file, offset, len } = core::mem::take(&mut self.output) else { return Some(head) };
        let of_head = (sent as usize).min(head.len());
        if !planted!(FileHeadSentTwice) {
            head.consume(of_head);
        }
        let rest = FileRange { file, offset, len }.after(sent - of_head as u32);
        let FileRange { file, offset, len } =
            FileRange { offset: if planted!(FileOffsetKept) { offset } else { rest.offset }, ..rest };
        if head.is_empty() && (len == 0 || planted!(FileRestForgotten)) {
            return Some(head);
        }
        self.keep_rest(head.len() + len as usize);
        self.output = Output::File { head, file, offset, len };
        None
    }
}
