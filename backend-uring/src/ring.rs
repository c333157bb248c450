//! The two queues and the one system call.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::time::Duration;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::io_uring::{
    IoringEnterFlags, IoringRegisterOp, Timespec, io_uring_enter, io_uring_enter_arg, io_uring_getevents_arg,
    io_uring_ptr, io_uring_register, io_uring_rsrc_update,
};
use rustix_uring::{IoUring, Probe, cqueue, squeue};

use crate::ops;
use crate::refusal::{Refusal, Rungs, refusal};

/// Submissions queued between two turns before one is submitted early: 64 KiB of entries, warm in a cache.
const SUBMISSIONS: u32 = 1024;

/// How long a no-op may take at the start.
const NOP_PATIENCE: Duration = Duration::from_secs(1);

/// The queue of submissions is full, and the kernel takes none just now.
pub(crate) struct Full;

pub(crate) struct Ring {
    ring: IoUring,
    /// Where the thread's own table has the ring, to be named by that.
    registered: Option<u32>,
    deferred_work: bool,
    /// It has a table of sockets of its own.
    pub(crate) fixes: bool,
}

impl Ring {
    /// Sets it up with a queue of at least `completions` and a table of `sockets`, as well as this system can, and has it answer once.
    pub(crate) fn new(completions: u32, sockets: u32) -> Result<Self, Refusal> {
        let completions = completions.max(2);
        let (ring, deferred_work) = build(completions).map_err(refusal)?;
        let params = ring.params();
        if !params.is_feature_ext_arg() || !params.is_feature_nodrop() || !params.is_feature_submit_stable() {
            return Err(Refusal::TooOld("timeouts in the system call, or completions that are never lost"));
        }
        if !params.is_feature_fast_poll() || !params.is_feature_skip_cqe_on_success() {
            return Err(Refusal::TooOld("waiting without threads, or silent successes"));
        }
        // Beyond the kernel's maximum completions wait in its own memory (NODROP), but none is lost.
        debug_assert!(params.cq_entries() >= completions || params.cq_entries() == COMPLETIONS_MAX);
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(refusal)?;
        if let Some((_, what)) = ops::NEEDED.iter().find(|(op, _)| !probe.is_supported(*op)) {
            return Err(Refusal::TooOld(what));
        }
        let fixes = sockets > 0 && ring.submitter().register_files_sparse(sockets).is_ok();
        let mut ring = Self { ring, registered: None, deferred_work, fixes };
        ring.registered = ring.register();
        ring.answers()?;
        Ok(ring)
    }

    pub(crate) const fn rungs(&self) -> Rungs {
        Rungs { deferred_work: self.deferred_work, registered_ring: self.registered.is_some(), fixed_files: self.fixes }
    }

    /// Queues a submission; submits what is queued when there is no room.
    ///
    /// # Safety
    /// Memory that `entry` names stays valid, and nobody else uses it, until its completion.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> Result<(), Full> {
        // SAFETY: the caller's promise.
        if unsafe { self.ring.submission().push(entry) }.is_ok() {
            return Ok(());
        }
        self.submit();
        // SAFETY: the caller's promise.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| Full)
    }

    /// Submits what is queued, between two turns. What the kernel does not take stays queued.
    #[cold]
    pub(crate) fn submit(&mut self) {
        let queued = self.queued();
        let (ring, flags) = self.name(IoringEnterFlags::empty());
        // SAFETY: what is queued was promised to be valid.
        let submitted = unsafe { io_uring_enter(ring, queued, 0, flags) };
        // Whatever keeps it from taking more is found out by the next turn, which can also do something about it.
        let _ = submitted;
    }

    /// Submits what is queued, and waits for `completions_min` completions or until `timeout` (`None`: for ever). As many
    /// as the queue holds, without time, has the kernel do all the work it has and return.
    pub(crate) fn enter(&mut self, completions_min: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        let queued = self.queued();
        // What is too long for the kernel is for ever.
        let time = timeout.and_then(|timeout| {
            let tv_sec = i64::try_from(timeout.as_secs()).ok()?;
            Some(Timespec { tv_sec, tv_nsec: timeout.subsec_nanos().into() })
        });
        let ts = time
            .as_ref()
            .map_or(io_uring_ptr::null(), |time| io_uring_ptr::new((&raw const *time).cast_mut().cast::<c_void>()));
        let arg = io_uring_getevents_arg { ts, ..io_uring_getevents_arg::default() };
        let (ring, flags) = self.name(IoringEnterFlags::GETEVENTS | IoringEnterFlags::EXT_ARG);
        // SAFETY: what is queued was promised to be valid, and the timeout outlives the call.
        unsafe { io_uring_enter_arg(ring, queued, completions_min, flags, Some(&arg)) }.map(drop)
    }

    /// Submissions that the kernel has not taken.
    #[inline]
    pub(crate) fn queued(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    /// Whether the kernel has more than one turn takes: work that it left for the next call, or completions beyond the
    /// queue.
    #[inline]
    pub(crate) fn is_behind(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Whether completions wait beyond the queue.
    pub(crate) fn is_overflown(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Has `eventfd` written to by whatever there is to do for this ring.
    pub(crate) fn announce_on(&self, eventfd: BorrowedFd<'_>) -> Result<(), Errno> {
        self.ring.submitter().register_eventfd(eventfd.as_raw_fd())
    }

    /// Completions that are there.
    #[inline]
    pub(crate) fn completed(&mut self) -> u32 {
        self.ring.completion().len() as u32
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// Puts a socket into the ring's own table; -1 takes out what is there. No operation may be in flight by that name.
    pub(crate) fn fix(&mut self, index: u32, socket: RawFd) -> bool {
        let fixed = self.ring.submitter().register_files_update(index, &[socket]).is_ok();
        // What is refused once is not worth asking again for each connection.
        self.fixes &= fixed || socket == -1;
        fixed
    }

    /// Empties the ring's own table.
    pub(crate) fn fix_nothing(&mut self) {
        // It fails when there is none.
        let _ = self.ring.submitter().unregister_files();
        self.fixes = false;
    }

    /// Lets the kernel take buffers from a ring of them.
    ///
    /// # Safety
    /// The ring stays valid until [`hide_lent`](Self::hide_lent) or the end of this one, and so does what it names.
    pub(crate) unsafe fn show_lent(&self, start: NonNull<u8>, entries: u16, group: u16) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.submitter().register_buf_ring(start.as_ptr().cast(), entries, group) }
    }

    /// The kernel takes no buffer any more.
    pub(crate) fn hide_lent(&self, group: u16) -> Result<(), Errno> {
        self.ring.submitter().unregister_buf_ring(group)
    }

    fn register(&self) -> Option<u32> {
        let data = io_uring_ptr::new(self.ring.as_raw_fd() as usize as *mut c_void);
        let mut update = io_uring_rsrc_update::default();
        (update.offset, update.data) = (u32::MAX, data);
        let (op, updates) = (IoringRegisterOp::RegisterRingFds, (&raw mut update).cast());
        // SAFETY: one update, which the kernel may write to, and which outlives the call.
        let done = unsafe { io_uring_register(&self.ring, op, updates, 1) };
        (done == Ok(1)).then_some(update.offset)
    }

    /// What names the ring in the system call.
    #[inline]
    fn name(&self, flags: IoringEnterFlags) -> (BorrowedFd<'_>, IoringEnterFlags) {
        let Some(place) = self.registered else { return (self.ring.as_fd(), flags) };
        // SAFETY: it is not used as a descriptor: the flag makes it a place in the thread's table, which holds the ring
        // until it is dropped.
        let place = unsafe { BorrowedFd::borrow_raw(place as RawFd) };
        (place, flags | IoringEnterFlags::REGISTERED_RING)
    }

    /// Setting up may be allowed, and entering not.
    fn answers(&mut self) -> Result<(), Refusal> {
        // SAFETY: a no-op names no memory.
        let queued = unsafe { self.push(&ops::nop()) };
        self.enter(1, Some(NOP_PATIENCE)).map_err(refusal)?;
        match (queued, self.pop()) {
            (Ok(()), Some(answer)) if answer.raw_result() == 0 => Ok(()),
            _ => Err(Refusal::Mute),
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let Some(offset) = self.registered else { return };
        let mut update = io_uring_rsrc_update::default();
        update.offset = offset;
        let (op, updates) = (IoringRegisterOp::UnregisterRingFds, (&raw const update).cast());
        // SAFETY: one update that outlives the call.
        let undone = unsafe { io_uring_register(&self.ring, op, updates, 1) };
        debug_assert!(undone.is_ok(), "it was registered by this thread");
    }
}

/// The most completions that a kernel's queue holds.
const COMPLETIONS_MAX: u32 = 65_536;

/// What the two queues take.
pub(crate) const fn bytes(completions: u32) -> usize {
    let completions = if completions < COMPLETIONS_MAX { completions.next_power_of_two() } else { COMPLETIONS_MAX };
    let submissions = if completions < SUBMISSIONS { completions } else { SUBMISSIONS };
    submissions as usize * (size_of::<squeue::Entry>() + size_of::<u32>())
        + completions as usize * size_of::<cqueue::Entry>()
}

/// The best queues that the kernel will set up, and whether it defers work to us.
fn build(completions: u32) -> Result<(IoUring, bool), Errno> {
    let submissions = SUBMISSIONS.min(completions);
    let mut builder = IoUring::builder();
    builder.setup_cqsize(completions).setup_clamp().setup_submit_all();
    builder.setup_coop_taskrun().setup_taskrun_flag().dontfork();
    let mut best = builder.clone();
    match best.setup_single_issuer().setup_defer_taskrun().build(submissions) {
        Err(Errno::INVAL) => builder.build(submissions).map(|ring| (ring, false)),
        built => built.map(|ring| (ring, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(completions: u32) -> Option<Ring> {
        match Ring::new(completions, 0) {
            Ok(ring) => Some(ring),
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Missing | Refusal::Disabled(_) | Refusal::Forbidden), "{refusal}");
                None
            }
        }
    }

    #[test]
    fn what_the_queue_cannot_hold_waits_and_is_not_lost() {
        let Some(mut ring) = ring(2) else { return };
        for _ in 0..50 {
            // SAFETY: a no-op names no memory.
            let queued = unsafe { ring.push(&ops::nop()) };
            assert!(queued.is_ok(), "a full queue is submitted");
            ring.submit();
        }
        let mut answers = 0;
        for _ in 0..50 {
            match ring.enter(1, Some(Duration::from_millis(10))) {
                Ok(()) | Err(Errno::TIME | Errno::BUSY) => {}
                Err(error) => panic!("{error}"),
            }
            while ring.pop().is_some() {
                answers += 1;
            }
        }
        assert_eq!(answers, 50);
    }

    #[test]
    fn what_was_found_can_be_told() {
        let Some(ring) = ring(64) else { return };
        let said = std::format!("{}", ring.rungs());
        assert_eq!(said.contains("registered-ring"), ring.registered.is_some());
        assert_eq!(said.contains("deferred-work"), ring.deferred_work);
        assert!(!said.contains("fixed-files"), "there is nothing to fix");
        assert_eq!(std::format!("{}", Rungs::NONE), "basic");
    }
}
