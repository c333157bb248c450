//! Makes a failing plan smaller, as long as it still fails.

use std::time::{Duration, Instant};

use aurora_http_core::sim::Faults;

use crate::plan::{NEVER, Pace, Plan};
use crate::{Violation, run};

/// The smallest failing plan found in the given time, and its violation.
#[must_use]
pub fn shrink(plan: &Plan, violation: &Violation, time: Duration) -> (Plan, Violation) {
    let end = Instant::now() + time;
    let mut best = (plan.clone(), violation.clone());
    loop {
        let mut smaller = false;
        for candidate in candidates(&best.0) {
            if Instant::now() > end {
                return best;
            }
            if let Err(found) = run(&candidate)
                && kind(&found) == kind(violation)
            {
                best = (candidate, found);
                smaller = true;
                break;
            }
        }
        if !smaller {
            return best;
        }
    }
}

/// The beginning of a violation's text, without numbers. A smaller plan that fails in another way has another fault.
fn kind(violation: &Violation) -> String {
    let words = violation.what.split(": ").find(|part| !part.starts_with("client ")).unwrap_or_default();
    words.chars().filter(|character| !character.is_ascii_digit()).take(20).collect()
}

/// Plans with less in them, the largest reductions first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut less = |change: &dyn Fn(&mut Plan)| {
        let mut candidate = plan.clone();
        change(&mut candidate);
        all.push(candidate);
    };
    // Clients keep their numbers, from which their bytes derive: a client that is left out does nothing.
    let busy: Vec<_> = (0..plan.clients.len()).filter(|at| plan.clients[*at].comes_ms != NEVER).collect();
    for part in [2, 4, 8] {
        let size = busy.len().div_ceil(part);
        for absent in busy.chunks(size.max(1)).filter(|absent| absent.len() < busy.len()) {
            less(&|plan| absent.iter().for_each(|at| plan.clients[*at].comes_ms = NEVER));
        }
    }
    for &at in busy.iter().filter(|_| busy.len() > 1) {
        less(&|plan| plan.clients[at].comes_ms = NEVER);
    }
    if !plan.troubles.is_empty() {
        less(&|plan| plan.troubles.clear());
        for at in 0..plan.troubles.len() {
            less(&|plan| plan.troubles.truncate(at));
        }
    }
    if plan.world.faults != Faults::default() {
        less(&|plan| plan.world.faults = Faults::default());
        for without in FAULTS {
            let mut faults = plan.world.faults;
            without(&mut faults);
            if faults != plan.world.faults {
                less(&|plan| plan.world.faults = faults);
            }
        }
    }
    if plan.world.work_ms_max > 0 {
        less(&|plan| plan.world.work_ms_max = 0);
    }
    for &at in &busy {
        let there: Vec<_> =
            (0..plan.clients[at].exchanges.len()).filter(|one| !plan.clients[at].exchanges[*one].is_left_out).collect();
        for part in [2, 4, there.len()] {
            let size = there.len().div_ceil(part.max(1));
            for absent in there.chunks(size.max(1)).filter(|absent| absent.len() < there.len()) {
                less(&|plan| absent.iter().for_each(|one| plan.clients[at].exchanges[*one].is_left_out = true));
            }
        }
        if plan.clients[at].depth > 1 {
            less(&|plan| plan.clients[at].depth = 1);
        }
        let prompt = Pace { bytes_max: usize::MAX, gap_ms_max: 0 };
        if plan.clients[at].sends.gap_ms_max > 0 {
            less(&|plan| plan.clients[at].sends = prompt);
        }
        if plan.clients[at].reads.gap_ms_max > 0 {
            less(&|plan| plan.clients[at].reads = prompt);
        }
    }
    all
}

/// Each removes one fault.
const FAULTS: [fn(&mut Faults); 12] = [
    |faults| faults.short_recv = 0,
    |faults| faults.short_send = 0,
    |faults| faults.would_block = 0,
    |faults| faults.delay = 0,
    |faults| faults.reorder = 0,
    |faults| faults.spurious_event = 0,
    |faults| faults.file_limit = 0,
    |faults| faults.accept_reset = 0,
    |faults| faults.no_buffers = 0,
    |faults| faults.full_queue = 0,
    |faults| faults.partial_wait = 0,
    |faults| faults.lost_cancel = 0,
];
