//! Faults that can be planted, each a line that was forgotten once, or could be: the simulator has to find every one.
//!
//! They exist under `--cfg planted` alone. In code, `planted!(NAME)` is whether that one is planted, and `false` in any
//! other build. `cargo run --release --example planted` looks for all of them.

use core::sync::atomic::{AtomicUsize, Ordering};

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(usize)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// In words.
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
    /// A kept trailer section is cut out each time that held content is offered.
    TrailersCutTwice,
    /// Content has no limit where trailers are kept.
    TrailersUnlimited,
    /// Who waits for more is not called when more is there.
    HungerKept,
    /// What a partial send left is forgotten.
    RestForgotten,
    /// A FIN ends a connection whose answer is deferred.
    FinVanishes,
    /// A FIN ends a connection whose response is going out.
    HalfCloseEnds,
    /// What is received is not counted.
    ReceivedUncounted,
    /// A refused HEAD is answered with a body.
    HeadAnsweredWithBody,
    /// One request too many on a connection.
    RequestLimitOffByOne,
    /// What follows a refused CONNECT is taken for a request.
    ConnectKept,
    /// Some requests count twice.
    RequestsCountedTwice,
    /// 100 (Continue) is sent to a client that did not wait for it.
    ContinueUnasked,
    /// 100 (Continue) is never sent.
    ContinueUnsaid,
    /// Exchanges that ended still count as under way.
    InFlightKept,
    /// The connection goes on behind its last response.
    LastForgotten,
    /// An empty line counts as the beginning of a head.
    BlankLineBegins,
    /// A send that a full reactor refuses forgets where its response begins.
    RejectedSendLosesPlace,
    /// What arrives while the last response goes out is left in the kernel.
    LateInputKept,
    /// A handle is closed with operations in flight.
    ClosedUnderOperations,
    /// The connection is closed right behind its last response.
    NoLingering,
    /// Lingering does not wait for what is on its way.
    UnacknowledgedIgnored,
    /// A streamed response does not say that the connection ends.
    CloseNotAnnounced,
    /// A window of the minimum rate forgets what was before an interruption.
    InterruptionsForgotten,
    /// Two timeouts are swapped.
    TimeoutsSwapped,
    /// A deadline does not begin anew behind progress.
    DeadlineNotRenewed,
    /// Idle connections have no deadline.
    DeadlineNotArmed,
    /// A token that its own handler resolves at once rings no bell.
    OwnResolveUnheard,
    /// The token of an exchange that is over stays valid.
    TokensKept,
    /// The count of lent buffers is not lowered.
    LentCountKept,
    /// Behind one operation the connection's next one is forgotten.
    FurtherActionForgotten,
    /// A slot that a detached connection leaves is not accepted into.
    NoAcceptAfterDetach,
    /// Accepting rests on although descriptors are free again.
    NoAcceptAfterClose,
    /// What had arrived behind the request of a detached connection is dropped.
    LeftoverDropped,
    /// Some closed connections count twice.
    ClosedCountedTwice,
    /// Accepting that rests does not go on when its time is over.
    AcceptPausesForever,
    /// Deadlines count until now, whatever has been looked at.
    JudgedBeforeLooked,
    /// An engine begins on the list nodes of the one before.
    NodesKept,
    /// Buffers in the slots of an engine that was dropped are lost.
    SlotBuffersLost,
    /// Famine cannot reach who holds a buffer behind a deferred answer or another protocol.
    AnswersSpared,
    /// Famine cannot reach who reads content.
    ContentSpared,
    /// Who waits on for a buffer counts once more.
    StarvedCountedTwice,
    /// Slow heads stay, however long others wait.
    NoPressure,
    /// A slot stays promised when it is free.
    PromiseKept,
    /// A connection still counts as leaving when it is gone.
    LeavingKept,
    /// A stop closes listeners before it has looked into their backlogs.
    BacklogForgotten,
    /// What had its share of a turn is not looked at in the next one.
    TurnLost,
    /// A lent buffer is taken before there is anything to receive.
    LentTakenEarly,
    /// A reactor does not tell that it holds work for the next turn.
    WorkUntold,
    /// A receive that can be tried at once is not queued.
    ReceiveForgotten,
    /// A slot is used again under the same generation.
    GenerationKept,
    /// A deferral gets the number of the one before it.
    SerialKept,
    /// A resolved token does not ring the bell of its group.
    GroupUnheard,
    /// The size of a chunk may have 17 digits.
    SeventeenDigits,
    /// There is no room left for 100 (Continue) when a response grows.
    RoomForContinueLost,
    /// A 426 cannot say what to upgrade to.
    UpgradeRefused,
    /// A stop that comes in a wait is not known before the program sleeps.
    StopUntold,
    /// Submissions are not handed on before the program sleeps.
    FlushForgotten,
    /// A deferred answer that is there is forgotten when a FIN comes in place of a cancelled receive.
    AnswerForgotten,
    /// A stop closes an idle connection whose client is still receiving.
    StopDestroys,
    /// Who waits for a buffer is not looked at when one comes back.
    LinesForgotten,
    /// Who was given a buffer to receive into, and received nothing, keeps it from the next one.
    UnusedTurnKept,
    /// A 100 (Continue) leaves together with the response behind it.
    ContinueNotAlone,
    /// A handler is not called at the time that it set.
    WakeNotArmed,
    /// A handler is called before the time that it set.
    WakeEarly,
    /// A token is stale when the handler was called for another reason.
    TokenEndsWithTime,
    /// The state of an exchange is dropped without a word when its connection breaks.
    AbandonedUnheard,
    /// The time that was noted for a line outlives it.
    LineGoneSpins,
    /// A newcomer ends connections whose clients are still receiving.
    NewcomerDestroys,
}

/// None.
const SOUND: usize = usize::MAX;

static PLANTED: AtomicUsize = AtomicUsize::new(SOUND);

/// Plants one, instead of the one that was planted before.
pub fn plant(fault: Fault) {
    PLANTED.store(fault as usize, Ordering::Relaxed);
}

/// Whether this one is planted.
#[inline]
pub(crate) fn is_planted(fault: Fault) -> bool {
    PLANTED.load(Ordering::Relaxed) == fault as usize
}
