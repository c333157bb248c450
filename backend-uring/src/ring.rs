//! The submission and completion queues, and the system calls on them.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::time::Duration;

use aurora_http_core::reactor::Seen;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::io_uring::{
    IoringEnterFlags, IoringRegisterOp, Timespec, io_uring_enter, io_uring_enter_arg, io_uring_getevents_arg,
    io_uring_ptr, io_uring_register, io_uring_rsrc_update,
};
use rustix_uring::{IoUring, Probe, cqueue, squeue};

use crate::ops;
use crate::refusal::{Refusal, Rungs, refusal};

/// The length of the submission queue; a full one is submitted before the turn ends. 64 KiB of entries stay in cache.
const SUBMISSIONS: u32 = 1024;

/// How long the no-op at set-up may take.
const NOP_PATIENCE: Duration = Duration::from_secs(1);

/// How many waits in a row may leave work with the kernel; the one after them makes the kernel finish it all.
const PARTIAL_WAITS_MAX: u8 = 16;

/// As the least number of completions of a call with a zero timeout: makes the kernel do all its pending work without waiting for
/// more. It takes this for a signed number, so that `u32::MAX` would ask for less than none.
pub(crate) const EVERYTHING: u32 = i32::MAX as u32;

/// The submission queue is full, and the kernel is not taking any at the moment.
pub(crate) struct Full;

pub(crate) struct Ring {
    ring: IoUring,
    /// The ring's index in the thread's table of registered rings, to be passed instead of its descriptor.
    registered: Option<u32>,
    deferred_work: bool,
    /// It has a table of fixed files, and the kernel accepts updates of it.
    pub(crate) has_file_table: bool,
    /// Waits in a row that left work with the kernel.
    partial_waits: u8,
}

impl Ring {
    /// Sets up a completion queue of at least `completions` entries and a table of `sockets` fixed files, with all optional
    /// features that this kernel has, and checks that a no-op completes.
    pub(crate) fn new(completions: u32, sockets: u32) -> Result<Self, Refusal> {
        let completions = completions.max(2);
        let (ring, deferred_work) = build(completions).map_err(refusal)?;
        let params = ring.params();
        if !params.is_feature_ext_arg() || !params.is_feature_nodrop() || !params.is_feature_submit_stable() {
            return Err(Refusal::TooOld("IORING_FEAT_EXT_ARG, IORING_FEAT_NODROP or IORING_FEAT_SUBMIT_STABLE"));
        }
        if !params.is_feature_fast_poll() || !params.is_feature_skip_cqe_on_success() {
            return Err(Refusal::TooOld("IORING_FEAT_FAST_POLL or IORING_FEAT_CQE_SKIP"));
        }
        // Completions beyond the kernel's maximum queue length wait in its own memory (NODROP); none is lost.
        debug_assert!(params.cq_entries() >= completions || params.cq_entries() == COMPLETIONS_MAX);
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(refusal)?;
        if let Some((_, what)) = ops::NEEDED.iter().find(|(op, _)| !probe.is_supported(*op)) {
            return Err(Refusal::TooOld(what));
        }
        let has_file_table = sockets > 0 && ring.submitter().register_files_sparse(sockets).is_ok();
        let mut ring = Self { ring, registered: None, deferred_work, has_file_table, partial_waits: 0 };
        ring.registered = ring.register();
        ring.try_nop()?;
        Ok(ring)
    }

    pub(crate) const fn rungs(&self) -> Rungs {
        Rungs {
            deferred_work: self.deferred_work,
            registered_ring: self.registered.is_some(),
            fixed_files: self.has_file_table,
        }
    }

    /// Queues a submission; if the queue is full, submits it first.
    ///
    /// # Safety
    /// Memory that `entry` references stays valid and exclusively the kernel's until its completion.
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

    /// Submits what is queued, in the middle of a turn. Entries that the kernel does not take stay queued.
    #[cold]
    pub(crate) fn submit(&mut self) {
        let queued = self.queued();
        let (ring, flags) = self.enter_fd(IoringEnterFlags::empty());
        // SAFETY: the callers of `push` promised that the queued entries are valid.
        let submitted = unsafe { io_uring_enter(ring, queued, 0, flags) };
        // If the kernel could not take everything, the next `enter` reports why, where the error can be handled.
        let _ = submitted;
    }

    /// Submits what is queued, and waits for `completions_min` completions, at most for `timeout` (`None`: no limit).
    pub(crate) fn enter(&mut self, completions_min: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        let queued = self.queued();
        // A timeout the kernel cannot represent means no timeout.
        let time = timeout.and_then(|timeout| {
            let tv_sec = i64::try_from(timeout.as_secs()).ok()?;
            Some(Timespec { tv_sec, tv_nsec: timeout.subsec_nanos().into() })
        });
        let ts = time
            .as_ref()
            .map_or(io_uring_ptr::null(), |time| io_uring_ptr::new((&raw const *time).cast_mut().cast::<c_void>()));
        let arg = io_uring_getevents_arg { ts, ..io_uring_getevents_arg::default() };
        let (ring, flags) = self.enter_fd(IoringEnterFlags::GETEVENTS | IoringEnterFlags::EXT_ARG);
        // SAFETY: the callers of `push` promised that the queued entries are valid; the timeout outlives the call.
        unsafe { io_uring_enter_arg(ring, queued, completions_min, flags, Some(&arg)) }.map(drop)
    }

    /// The system call of a turn: submits what is queued; unless completions are `pending`, waits for one, at most for
    /// `timeout` (`None`: no limit). Tells whether the completions of everything that could complete are in the queue now.
    #[inline]
    pub(crate) fn wait(&mut self, pending: bool, timeout: Option<Duration>) -> Result<Seen, Errno> {
        let entered = if self.partial_waits == PARTIAL_WAITS_MAX {
            self.enter(EVERYTHING, Some(Duration::ZERO))
        } else if pending || timeout == Some(Duration::ZERO) {
            self.enter(0, None)
        } else {
            self.enter(1, timeout)
        };
        match entered {
            Ok(()) | Err(Errno::TIME) => Ok(self.seen()),
            // The kernel is backed up: drain completions before submitting more.
            Err(Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(Seen::Part),
            Err(error) => Err(error),
        }
    }

    /// How much a successful wait has seen. Newer kernels do a bounded amount of work per call (20 operations in Linux 6.13),
    /// in order of arrival, and on a busy server more is always left. So after [`PARTIAL_WAITS_MAX`] such waits, one makes
    /// the kernel finish everything, and deadlines can expire.
    #[inline]
    fn seen(&mut self) -> Seen {
        let is_left = if self.partial_waits == PARTIAL_WAITS_MAX { self.has_overflowed() } else { self.is_behind() };
        if is_left {
            self.partial_waits = PARTIAL_WAITS_MAX.min(self.partial_waits + 1);
            return Seen::Part;
        }
        self.partial_waits = 0;
        Seen::All
    }

    /// How many submissions the kernel has not taken.
    #[inline]
    pub(crate) fn queued(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    /// Whether the kernel has more than it returned in this turn: work left for the next call, or completions that did not
    /// fit in the queue.
    #[inline]
    pub(crate) fn is_behind(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Whether completions wait outside the queue because it was full.
    pub(crate) fn has_overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Has the kernel write to `eventfd` whenever this ring has something to do.
    pub(crate) fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> Result<(), Errno> {
        self.ring.submitter().register_eventfd(eventfd.as_raw_fd())
    }

    /// How many completions are in the queue.
    #[inline]
    pub(crate) fn completed(&mut self) -> u32 {
        self.ring.completion().len() as u32
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// Registers a socket as the fixed file `index`.
    pub(crate) fn register_file(&mut self, index: u32, socket: RawFd) -> bool {
        let registered = self.ring.submitter().register_files_update(index, &[socket]).is_ok();
        // Once the kernel has refused, do not ask again for each connection.
        self.has_file_table &= registered;
        registered
    }

    /// Removes the fixed file `index`. No operation may be in flight on it.
    pub(crate) fn unregister_file(&mut self, index: u32) -> bool {
        self.ring.submitter().register_files_update(index, &[-1]).is_ok()
    }

    /// Removes the table of fixed files.
    pub(crate) fn unregister_files(&mut self) {
        // It fails when there is no table.
        let _ = self.ring.submitter().unregister_files();
        self.has_file_table = false;
    }

    /// Registers a ring of provided buffers.
    ///
    /// # Safety
    /// That ring and the buffers in it stay valid until [`unregister_buf_ring`](Self::unregister_buf_ring), or until `self`
    /// is dropped.
    pub(crate) unsafe fn register_buf_ring(&self, start: NonNull<u8>, entries: u16, group: u16) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.submitter().register_buf_ring(start.as_ptr().cast(), entries, group) }
    }

    /// Unregisters it: the kernel picks no more buffers.
    pub(crate) fn unregister_buf_ring(&self, group: u16) -> Result<(), Errno> {
        self.ring.submitter().unregister_buf_ring(group)
    }

    fn register(&self) -> Option<u32> {
        let data = io_uring_ptr::new(self.ring.as_raw_fd() as usize as *mut c_void);
        let mut update = io_uring_rsrc_update::default();
        (update.offset, update.data) = (u32::MAX, data);
        let (op, updates) = (IoringRegisterOp::RegisterRingFds, (&raw mut update).cast());
        // SAFETY: the call gets one update, which is writable and outlives the call.
        let done = unsafe { io_uring_register(&self.ring, op, updates, 1) };
        (done == Ok(1)).then_some(update.offset)
    }

    /// The descriptor or registered index to pass to `io_uring_enter`, with the flags that say which.
    #[inline]
    fn enter_fd(&self, flags: IoringEnterFlags) -> (BorrowedFd<'_>, IoringEnterFlags) {
        let Some(place) = self.registered else { return (self.ring.as_fd(), flags) };
        // SAFETY: it is not used as a descriptor: the flag makes it an index into the thread's table, which holds the ring
        // until `self` is dropped.
        let place = unsafe { BorrowedFd::borrow_raw(place as RawFd) };
        (place, flags | IoringEnterFlags::REGISTERED_RING)
    }

    /// Checks that a no-op completes: a system may allow setting up a ring and forbid entering it.
    fn try_nop(&mut self) -> Result<(), Refusal> {
        // SAFETY: a no-op references no memory.
        let queued = unsafe { self.push(&ops::nop()) };
        self.enter(1, Some(NOP_PATIENCE)).map_err(refusal)?;
        match (queued, self.pop()) {
            (Ok(()), Some(answer)) if answer.raw_result() == 0 => Ok(()),
            _ => Err(Refusal::NoAnswer),
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
        // SAFETY: the call gets one update, which outlives it.
        let undone = unsafe { io_uring_register(&self.ring, op, updates, 1) };
        debug_assert!(undone.is_ok(), "it was registered by this thread");
    }
}

/// The longest completion queue: more completions than a turn handles, so that it does not grow with the connections. The kernel
/// keeps the others meanwhile, in order, and gives them with the next calls.
const COMPLETIONS_MAX: u32 = 4_096;

/// Bytes that the two queues occupy.
pub(crate) const fn bytes(completions: u32) -> usize {
    let completions = if completions < COMPLETIONS_MAX { completions.next_power_of_two() } else { COMPLETIONS_MAX };
    let submissions = if completions < SUBMISSIONS { completions } else { SUBMISSIONS };
    submissions as usize * (size_of::<squeue::Entry>() + size_of::<u32>())
        + completions as usize * size_of::<cqueue::Entry>()
}

/// The best ring that the kernel will set up, and whether it defers its work to our calls.
fn build(completions: u32) -> Result<(IoUring, bool), Errno> {
    let submissions = SUBMISSIONS.min(completions);
    let completions = COMPLETIONS_MAX.min(completions);
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
    fn completions_beyond_the_queue_wait_and_are_not_lost() {
        let Some(mut ring) = ring(2) else { return };
        for _ in 0..50 {
            // SAFETY: a no-op references no memory.
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
    fn one_call_makes_the_kernel_do_all_its_pending_work() {
        const POLLS: u32 = 500;
        let Some(mut ring) = ring(POLLS) else { return };
        let eventfd = aurora_http_sockets::Eventfd::new().unwrap();
        for _ in 0..POLLS {
            // SAFETY: a poll references no memory.
            let queued = unsafe { ring.push(&ops::wake(eventfd.as_fd().as_raw_fd())) };
            assert!(queued.is_ok(), "a full queue is submitted");
        }
        ring.submit();
        aurora_http_core::reactor::Wake::wake(&eventfd);
        let entered = ring.enter(EVERYTHING, Some(Duration::ZERO));
        assert!(matches!(entered, Ok(()) | Err(Errno::TIME)), "{entered:?}");
        assert_eq!((ring.completed(), ring.is_behind()), (POLLS, false));
    }

    #[test]
    fn rungs_display_the_features_in_use() {
        let Some(ring) = ring(64) else { return };
        let said = std::format!("{}", ring.rungs());
        assert_eq!(said.contains("registered-ring"), ring.registered.is_some());
        assert_eq!(said.contains("deferred-work"), ring.deferred_work);
        assert!(!said.contains("fixed-files"), "the ring has no file table");
        assert_eq!(std::format!("{}", Rungs::NONE), "basic");
    }
}
