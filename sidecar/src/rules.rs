//! The rules of replication that a test can break on purpose, to see that the simulation finds it.

/// One rule; its name says what holds while it is not broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// A write takes its stripe before its version and its bytes.
    StripesOrderWrites,
    /// The record is in the log before the stripe is released.
    LogBeforeRelease,
    /// A counter or append is read back and its value is logged.
    ReadBack,
    /// When the connection to memcached breaks, the keys in flight on it are read back.
    ReadBackAfterLoss,
    /// A remote record older than the item is not applied.
    LastWriterWins,
    /// A remote record older than a delete that is remembered is not applied.
    TombstonesWin,
    /// A remote record older than our own unconfirmed write is not applied.
    PendingWins,
    /// A remote record older than the flush is not applied.
    FlushWins,
    /// An applied delete of the peer is remembered.
    RemoteDeleteIsRemembered,
    /// Only a record newer than everything in its stripe is stored blindly.
    BlindOnlyAboveNewest,
    /// Of two touches the greater version wins.
    GreaterTouchWins,
    /// A touch goes only to the item it was meant for.
    TouchOnlyItsItem,
    /// The state is there after a restart of the sidecar.
    StateSurvives,
    /// Versions after a restart are above the ceiling.
    ClockAboveCeiling,
    /// The clock observes the peer's versions.
    ClockObserves,
    /// After a restart the clock is above the peer's versions, too.
    ObservedIsBelowCeiling,
    /// A pending key whose item was evicted is sent as a delete.
    EvictedPendingIsDeleted,
    /// A key that was in the dump and is gone when fetched is sent as a delete.
    GoneFromDumpIsDeleted,
    /// What is below the floor and not confirmed is refused.
    FloorRefuses,
    /// A replica that lost its content clears its floor.
    EmptyClearsFloor,
    /// A dump counts only if nothing is missing at its end.
    DumpIsWhole,
    /// A flush is not replaced by an older one.
    FlushOnlyRises,
    /// A flush sweeps what `flush_all` left.
    FlushSweeps,
    /// Until the sweep ends, reads hide what is flushed.
    ReadsHideFlushed,
    /// A receiver sends `flush_all` only where nothing newer was written.
    ReceiverFlushSparesNewer,
    /// The watermark is below everything in flight.
    WatermarkBelowInFlight,
    /// An acknowledgement means applied by memcached.
    AckMeansApplied,
    /// Entries are freed only when the peer has also sent all that it queued before.
    FreeInStreamOrder,
    /// Where the log has a gap, a resync brings what was dropped.
    GapResyncs,
    /// A new incarnation of the peer gets everything.
    NewIncarnationGetsAll,
    /// Items of a resync are queued before their stripe is released.
    BulkUnderStripe,
    /// Expiry travels as remaining life.
    RemainingLife,
    /// A set that memcached refused is a delete.
    FailedSetIsDelete,
    /// A stale mark is set on both sides.
    StaleTravels,
    /// A win token that a client got is given away on both sides.
    TokenTravels,
    /// That is so for an item without an end, too.
    EndlessTokenTravels,
    /// A win token is told of behind the write of its item.
    TokenFollowsItsItem,
    /// Who takes the other side's later end of an item tells it.
    AgreedEndIsTold,
    /// Nobody else writes between an item of the peer and its marks.
    MarksAreExclusive,
    /// A win token that a read of ours took is given back.
    TokenGivenBack,
    /// An item that a read makes is logged.
    VivifyIsWrite,
}

/// Which rules are broken. Without the feature `simulation` none can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(feature = "simulation")]
    broken: u64,
}

impl Rules {
    /// All rules hold.
    pub const HOLD: Rules = Rules {
        #[cfg(feature = "simulation")]
        broken: 0,
    };

    /// All rules but one hold.
    #[cfg(feature = "simulation")]
    pub fn without(rule: Rule) -> Self {
        Self { broken: 1 << rule as u8 }
    }

    /// Whether this one does not hold.
    #[inline]
    pub fn broken(self, rule: Rule) -> bool {
        #[cfg(feature = "simulation")]
        return self.broken & 1 << rule as u8 != 0;
        #[cfg(not(feature = "simulation"))]
        {
            let _ = rule;
            false
        }
    }
}
