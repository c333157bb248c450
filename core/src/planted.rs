//! Faults that can be planted, to prove that the simulation finds them: lines that were forgotten once, or could have
//! been.
//!
//! They exist only with `--cfg planted`. In code, `planted!(NAME)` tells whether that fault is planted; without the
//! option it is always `false`. `.ci/planted` looks for all of them.

use core::sync::atomic::{AtomicUsize, Ordering};

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A fault.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(usize)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// All faults.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is wrong.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

faults! {
    /// A kept trailer section is removed each time that held content is offered again.
    TrailersCutTwice,
    /// Content has no limit when trailers are kept.
    TrailersUnlimited,
    /// A handler that waits for more content is not called when more arrives.
    HungerKept,
    /// The rest of a partial send is forgotten.
    RestForgotten,
    /// A FIN ends a connection whose answer is deferred.
    FinVanishes,
    /// A FIN ends a connection whose response is being sent.
    HalfCloseEnds,
    /// Received bytes are not counted.
    ReceivedUncounted,
    /// A refused HEAD is answered with a body.
    HeadAnsweredWithBody,
    /// A connection serves one request too many.
    RequestLimitOffByOne,
    /// The bytes after a refused CONNECT are taken for a request.
    ConnectKept,
    /// Some requests count twice.
    RequestsCountedTwice,
    /// 100 (Continue) is sent to a client that did not ask for it.
    ContinueUnasked,
    /// 100 (Continue) is never sent.
    ContinueUnsaid,
    /// Exchanges that have ended still count as under way.
    InFlightKept,
    /// The connection continues after its last response.
    LastForgotten,
    /// An empty line counts as the beginning of a head.
    BlankLineBegins,
    /// When a full reactor rejects a send, the start of its response is forgotten.
    RejectedSendLosesPlace,
    /// Input that arrives while the last response is being sent is left in the kernel.
    LateInputKept,
    /// A handle is closed with operations in flight.
    ClosedUnderOperations,
    /// The connection is closed right after its last response.
    NoLingering,
    /// Lingering does not wait for bytes that are still on their way to the client.
    UnacknowledgedIgnored,
    /// A streamed response does not announce the end of its connection.
    CloseNotAnnounced,
    /// A window of the minimum rate forgets the time before an interruption.
    InterruptionsForgotten,
    /// Two timeouts are swapped.
    TimeoutsSwapped,
    /// A deadline is not renewed after progress.
    DeadlineNotRenewed,
    /// Sends that do not complete in their turn have no deadline.
    SendsNotArmed,
    /// Idle connections have no deadline.
    DeadlineNotArmed,
    /// A token that its own handler resolves at once does not ring the bell.
    OwnResolveUnheard,
    /// The token of an exchange stays valid after its end.
    TokensKept,
    /// The count of lent buffers is not decremented.
    LentCountKept,
    /// After one operation of a connection, its next one is forgotten.
    FurtherActionForgotten,
    /// The slot of a detached connection is not used for accepting.
    NoAcceptAfterDetach,
    /// Accepting stays paused although descriptors are free again.
    NoAcceptAfterClose,
    /// Bytes that arrived after the request of a detached connection are dropped.
    LeftoverDropped,
    /// Some closed connections count twice.
    ClosedCountedTwice,
    /// A pause of accepting does not end.
    AcceptPausesForever,
    /// Deadlines expire although events may not have been seen yet.
    JudgedBeforeLooked,
    /// An engine starts with the list nodes of the previous one.
    NodesKept,
    /// Buffers in the slots of a dropped engine are lost.
    SlotBuffersLost,
    /// A stuck queue for buffers never ends connections that hold one while another protocol is spoken or an answer is
    /// deferred.
    AnswersSpared,
    /// A stuck queue for buffers never ends connections that are reading content.
    ContentSpared,
    /// A connection that continues to wait for a buffer is counted again.
    StarvedCountedTwice,
    /// Slow heads stay, however long others wait.
    NoPressure,
    /// A slot stays marked as promised to a newcomer after it has become free.
    PromiseKept,
    /// A connection still counts as leaving after it is gone.
    LeavingKept,
    /// A stop closes listeners without accepting what is in their backlogs.
    BacklogForgotten,
    /// A handle that had its share of a turn is not tried in the next one.
    TurnLost,
    /// A lent buffer is taken before there is anything to receive.
    LentTakenEarly,
    /// A reactor does not report that it has work for the next turn.
    WorkUntold,
    /// A receive that can be tried at once is not queued.
    ReceiveForgotten,
    /// A slot is reused with the same generation.
    GenerationKept,
    /// A deferral gets the number of the one before it.
    SerialKept,
    /// A resolved token does not ring the bell of its group.
    GroupUnheard,
    /// A chunk size may have 17 digits.
    SeventeenDigits,
    /// When a response grows, no room is left for 100 (Continue).
    RoomForContinueLost,
    /// A 426 cannot name the protocols to upgrade to.
    UpgradeRefused,
    /// A stop that is requested during a wait is not noticed before the program sleeps.
    StopUntold,
    /// Submissions are not passed to the kernel before the program sleeps.
    FlushForgotten,
    /// A resolved answer is forgotten when a cancelled receive completes with a FIN.
    AnswerForgotten,
    /// A stop closes an idle connection whose client is still receiving.
    StopDestroys,
    /// A stop closes a new connection before its client can send a request.
    NewcomersUnheard,
    /// The queues for buffers are not served when a buffer is released.
    LinesForgotten,
    /// A connection that was given a buffer to receive into, and received nothing, keeps its turn from the next one in
    /// the queue.
    UnusedTurnKept,
    /// A 100 (Continue) leaves together with the response after it.
    ContinueNotAlone,
    /// A handler is not called at the time that it set.
    WakeNotArmed,
    /// A handler is called before the time that it set.
    WakeEarly,
    /// A token becomes stale when the handler is called because of the time that it set.
    TokenEndsWithTime,
    /// The state of an exchange is dropped without telling the handler when the connection breaks.
    AbandonedUnheard,
    /// The time that was noted for a queue is kept after the queue has become empty.
    LineGoneSpins,
    /// After a turn that has not seen everything, it waits for an event to decide which connections are ended for others.
    BlindSleeps,
    /// A connection at rest keeps the record that it sat on from others.
    RecordKept,
    /// A connection at rest forgets how many requests it has served.
    RestForgetsRequests,
    /// The rest of a part of a file that was sent in part is forgotten.
    FileRestForgotten,
    /// The rest of a part of a file is sent from where the part began.
    FileOffsetKept,
    /// What precedes a part of a file is sent again with the rest of it.
    FileHeadSentTwice,
    /// The next send is taken for one of a file.
    FileFlagKept,
    /// A full reactor rejects a part of a file, and only what precedes it is sent later.
    RejectedFileForgotten,
    /// A response goes on behind a file that ended early.
    FileEndIgnored,
    /// A response that only the end of the connection completes is cut off by a FIN.
    CutOffSeemsComplete,
    /// A file that ends early ends the connection at once, which destroys what the client has not received.
    FileEndDestroys,
    /// The time between newcomers counts as if they had waited.
    PausesCountAsWaiting,
    /// A newcomer ends connections whose clients are still receiving.
    NewcomerDestroys,
}

/// No fault.
const SOUND: usize = usize::MAX;

static PLANTED: AtomicUsize = AtomicUsize::new(SOUND);

/// Plants a fault in place of the one that was planted before.
pub fn plant(fault: Fault) {
    PLANTED.store(fault as usize, Ordering::Relaxed);
}

/// Whether this fault is planted.
#[inline]
pub(crate) fn is_planted(fault: Fault) -> bool {
    PLANTED.load(Ordering::Relaxed) == fault as usize
}
