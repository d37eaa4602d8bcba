//! Each rule is broken on purpose, and the simulation must notice: a rule whose breaking nobody sees is not tested.
//!
//! Not here yet, since no history of the first thousands shows them or they are slow to find: StripesOrderWrites, TombstonesWin, RemoteDeleteIsRemembered, TouchOnlyItsItem, StateSurvives, EvictedPendingIsDeleted, GoneFromDumpIsDeleted, EmptyClearsFloor, ReadsHideFlushed, ReceiverFlushSparesNewer, WatermarkBelowInFlight, GapResyncs, RemainingLife.

use sidecar::rules::{Rule, Rules};

use crate::plan::Plan;
use crate::world::World;

/// So many histories are tried at the most.
const TRIES: u64 = 4000;

/// The seed of the first history that fails without the rule.
fn found(rule: Rule) -> Option<(u64, String)> {
    (1..=TRIES).find_map(|seed| {
        let outcome = World::run(Plan::of(seed, Rules::without(rule)));
        outcome.failure.map(|failure| (seed, failure))
    })
}

#[test]
#[ignore]
fn probe() {
    use Rule::*;
    for rule in [
        StripesOrderWrites,
        TombstonesWin,
        RemoteDeleteIsRemembered,
        TouchOnlyItsItem,
        StateSurvives,
        EvictedPendingIsDeleted,
        GoneFromDumpIsDeleted,
        EmptyClearsFloor,
        ReadsHideFlushed,
        ReceiverFlushSparesNewer,
        WatermarkBelowInFlight,
        GapResyncs,
        RemainingLife,
    ] {
        let t = std::time::Instant::now();
        println!("{rule:?} {:?} {:?}", found(rule), t.elapsed());
    }
}

macro_rules! found_when_broken {
    ($($name:ident: $rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let (seed, failure) = found(Rule::$rule).expect("no history shows that the rule is broken");
                println!("{:?} is missed by seed {seed}: {failure}", Rule::$rule);
            }
        )*
    };
}

found_when_broken! {
    log_before_release: LogBeforeRelease,
    read_back: ReadBack,
    read_back_after_loss: ReadBackAfterLoss,
    last_writer_wins: LastWriterWins,
    pending_wins: PendingWins,
    flush_wins: FlushWins,
    blind_only_above_newest: BlindOnlyAboveNewest,
    greater_touch_wins: GreaterTouchWins,
    clock_above_ceiling: ClockAboveCeiling,
    clock_observes: ClockObserves,
    floor_refuses: FloorRefuses,
    flush_sweeps: FlushSweeps,
    ack_means_applied: AckMeansApplied,
    free_in_stream_order: FreeInStreamOrder,
    new_incarnation_gets_all: NewIncarnationGetsAll,
    bulk_under_stripe: BulkUnderStripe,
    failed_set_is_delete: FailedSetIsDelete,
}
