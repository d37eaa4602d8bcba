//! Each rule is broken on purpose, and the simulation must notice: a rule whose breaking nobody sees is not tested.
//!
//! Some are shown by a story of their own (`scenarios`). One rule is not needed: `GoneFromDumpIsDeleted` tells the peer that
//! an item of the dump was gone when it was to be read. Whatever the peer lacks of it is in the table (then
//! `EvictedPendingIsDeleted` tells it) or below the floor (then `FloorRefuses` does); 20,000 histories without it fail in
//! none. It stays, since it costs nothing and makes no assumption about the table.
//!
//! Two are not shown here yet: `EndlessTokenTravels` (a touch and a token that cross) and `TokenFollowsItsItem` (a token given
//! between a write and its answer).

use sidecar::rules::{Rule, Rules};

use crate::plan::Plan;
use crate::world::World;

/// So many histories of each kind are tried at the most.
const TRIES: u64 = 20_000;

/// The seed of the first history that fails without the rule.
fn found(rule: Rule) -> Option<(u64, String)> {
    let of_marks = matches!(
        rule,
        Rule::StaleTravels | Rule::TokenTravels | Rule::MarksAreExclusive | Rule::TokenGivenBack | Rule::VivifyIsWrite
    );
    let kinds: &[fn(u64, Rules) -> Plan] = match rule {
        Rule::AgreedEndIsTold => &[Plan::full_of_touches],
        _ if of_marks => &[Plan::full_of_meta],
        _ => &[Plan::full_of_touches, Plan::full_of_meta, Plan::of],
    };
    kinds.iter().find_map(|plan| found_in(rule, *plan))
}

fn found_in(rule: Rule, plan: fn(u64, Rules) -> Plan) -> Option<(u64, String)> {
    (1..=TRIES).find_map(|seed| {
        let failure = World::run(plan(seed, Rules::without(rule))).failure?;
        // It must be the rule that was missing.
        World::run(plan(seed, Rules::HOLD)).failure.is_none().then_some((seed, failure))
    })
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
    stripes_order_writes: StripesOrderWrites,
    log_before_release: LogBeforeRelease,
    read_back: ReadBack,
    read_back_after_loss: ReadBackAfterLoss,
    last_writer_wins: LastWriterWins,
    tombstones_win: TombstonesWin,
    pending_wins: PendingWins,
    flush_wins: FlushWins,
    blind_only_above_newest: BlindOnlyAboveNewest,
    greater_touch_wins: GreaterTouchWins,
    touch_only_its_item: TouchOnlyItsItem,
    state_survives: StateSurvives,
    clock_above_ceiling: ClockAboveCeiling,
    clock_observes: ClockObserves,
    evicted_pending_is_deleted: EvictedPendingIsDeleted,
    floor_refuses: FloorRefuses,
    flush_sweeps: FlushSweeps,
    dump_is_whole: DumpIsWhole,
    ack_means_applied: AckMeansApplied,
    free_in_stream_order: FreeInStreamOrder,
    new_incarnation_gets_all: NewIncarnationGetsAll,
    bulk_under_stripe: BulkUnderStripe,
    remaining_life: RemainingLife,
    stale_travels: StaleTravels,
    token_travels: TokenTravels,
    marks_are_exclusive: MarksAreExclusive,
    token_given_back: TokenGivenBack,
    vivify_is_write: VivifyIsWrite,
    agreed_end_is_told: AgreedEndIsTold,
}
