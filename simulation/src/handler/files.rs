//! Responses from files.

use std::collections::HashMap;

use aurora_http_core::handler::Flow;
use aurora_http_core::reactor::{FileId, FileRange};
use aurora_http_core::sim::Network;
use aurora_http_core::writer::ResponseWriter;

use super::{Puppet, State, write_one_way};
use crate::exchange::{Answer, Id, Method, PATTERN};
use crate::plan::Plan;

/// The most bytes that are copied in front of a range.
const COPIED_MAX: usize = 30;

/// The open files of a network.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// One with the bodies of all exchanges; `None` if the network has no files.
    all: Option<FileId>,
    /// Those that have less than their exchange announces.
    short: HashMap<Id, FileId>,
}

impl Files {
    pub(crate) fn open(plan: &Plan, network: &mut Network) -> Self {
        if !plan.world.has_files {
            return Self::default();
        }
        let all = Some(network.open_file(PATTERN.to_vec()));
        let mut short = HashMap::new();
        for (client, visitor) in plan.clients.iter().enumerate() {
            for (serial, exchange) in visitor.exchanges.iter().enumerate() {
                let id = Id { client, serial };
                if let Some(there) = exchange.short_file() {
                    let file = network.open_file(id.body(0, there).to_vec());
                    if there == 0 {
                        network.close_file(file); // a stale one
                    }
                    short.insert(id, file);
                }
            }
        }
        Self { all, short }
    }

    /// A part of the body of an exchange.
    fn range(&self, id: Id, at: usize, len: usize) -> Option<FileRange> {
        let (file, base) = match self.short.get(&id) {
            Some(file) => (*file, 0),
            None => (self.all?, id.body_at()),
        };
        Some(FileRange { file, offset: (base + at) as u64, len: len as u32 })
    }

    /// Any bytes, which may reach beyond the end.
    pub(crate) fn any(&self, offset: usize, len: usize) -> Option<FileRange> {
        Some(FileRange { file: self.all?, offset: offset as u64, len: len as u32 })
    }
}

impl Puppet<'_> {
    /// Writes the next part of its body: by the system, or as it would be read where that cannot be.
    pub(super) fn send_file(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Answer::File { length, piece, there, at_once, disk_ms, .. } = self.exchange(state.id).answer else {
            return Flow::Finish;
        };
        if disk_ms.is_some() && !std::mem::replace(&mut state.may_take, true) {
            self.take_token(state.id, response);
            return Flow::Defer(state);
        }
        state.may_take = false;
        if !state.id.serial.is_multiple_of(3) && state.written < there {
            self.write_piece(&mut state, there.min(length), COPIED_MAX, response);
        }
        let left = length - state.written;
        let range = self.book.borrow().files.range(state.id, state.written, piece.min(left));
        let taken = range.map_or(Ok(0), |range| response.write_file(range)).unwrap_or(0) as usize;
        state.written += taken;
        if taken == 0 && left > 0 {
            // Nothing is read for HEAD.
            let there = if self.exchange(state.id).method == Method::Head { length } else { there.min(length) };
            if state.written >= there {
                let _ = response.fail(500);
                return Flow::Finish;
            }
            let part = state.id.body(state.written, piece.min(there - state.written));
            state.written += write_one_way(2, part, response);
        }
        let is_over = state.written == length && (taken == 0 || at_once);
        if is_over { Flow::Finish } else { Flow::Produce(state) }
    }
}
