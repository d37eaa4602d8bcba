//! Histories told step by step, for rules that random ones meet too seldom or whose breaking they cannot see.

use sidecar::rules::{Rule, Rules};

use crate::plan::{Kinds, Plan};
use crate::world::World;

/// Nothing happens by itself; a table of 64 entries and a large backlog.
pub(crate) fn plan(rules: Rules) -> Plan {
    Plan {
        seed: 1,
        requests: 0,
        workers: 1,
        clients: 1,
        keys: 10,
        meta: 0,
        touches: 0,
        stripes: 8,
        entries: 64,
        backlog: 1 << 20,
        link_output: 1 << 20,
        resync_rate: None,
        overwrites: 0,
        faults: 0,
        kinds: Kinds::default(),
        rules,
        verbose: false,
    }
}

/// A story: what went wrong in it, if anything did.
pub(crate) type Story = fn(Rules) -> Result<(), String>;

/// Runs a story with all rules, and without one: that one must be missed.
pub(crate) fn needs(rule: Rule, story: Story) {
    assert_eq!(story(Rules::HOLD), Ok(()));
    let without = story(Rules::without(rule));
    assert!(without.is_err(), "nothing shows that {rule:?} is broken");
    println!("{rule:?} is missed: {without:?}");
}

pub(crate) fn expect(world: &World, side: usize, key: &str, wanted: Option<&str>) -> Result<(), String> {
    let found = world.value(side, key);
    if found.as_deref() == wanted { Ok(()) } else { Err(format!("replica {side}: {key} is {found:?}, not {wanted:?}")) }
}

/// The floor of a replica whose table overflowed must not refuse what the peer has when its own cache is empty.
fn empty_replica(rules: Rules) -> Result<(), String> {
    let mut world = World::new(Plan { entries: 3, stripes: 1, ..plan(rules) });
    world.same_clocks();
    world.heal()?;
    for key in 0..5 {
        world.tell(1, &format!("set k{key} 0 0 1\r\n{key}\r\n"), "STORED")?;
    }
    world.heal()?;
    world.cut();
    world.block([true; 2]);
    for key in 5..10 {
        world.tell(0, &format!("delete k{key}\r\n"), "NOT_FOUND")?;
    }
    world.restart_memcached(0);
    world.heal()?;
    (0..5).try_for_each(|key| {
        (0..2).try_for_each(|side| expect(&world, side, &format!("k{key}"), Some(&key.to_string())))
    })
}

#[test]
fn an_empty_replica_never_wins() {
    needs(Rule::EmptyClearsFloor, empty_replica);
}

/// Replica 1 knows of a delete by replica 0 only from the link. Then replica 0 forgets it (its table overflows and its
/// cache is lost) before an older write of replica 1 arrives there.
fn delete_known_from_the_peer(rules: Rules) -> Result<(), String> {
    let mut world = World::new(Plan { entries: 3, ..plan(rules) });
    world.heal()?;
    world.block([false, true]);
    world.tell(1, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.exchange(1)?;
    world.pass_time(1000);
    world.tell(0, "delete k0\r\n", "NOT_FOUND")?;
    world.exchange(0)?;
    expect(&world, 1, "k0", None)?;
    world.block([true; 2]);
    for key in 1..8 {
        world.tell(0, &format!("delete k{key}\r\n"), "NOT_FOUND")?;
    }
    world.restart_memcached(0);
    world.heal()?;
    (0..2).try_for_each(|side| expect(&world, side, "k0", None))
}

#[test]
fn a_delete_holds_where_only_the_peer_remembers_it() {
    needs(Rule::RemoteDeleteIsRemembered, delete_known_from_the_peer);
}

/// Replica 0 has flushed what both held, and replica 1 has a newer write when it hears of that.
pub(crate) fn flushed_behind_a_newer_write(rules: Rules) -> Result<World, String> {
    let mut world = World::new(plan(rules));
    world.same_clocks();
    world.heal()?;
    world.tell(1, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.heal()?;
    world.block([true; 2]);
    world.tell(0, "flush_all\r\n", "OK")?;
    world.pass_time(1000);
    world.tell(1, "set k1 0 0 3\r\nnew\r\n", "STORED")?;
    Ok(world)
}

fn write_after_the_flush(rules: Rules) -> Result<(), String> {
    let mut world = flushed_behind_a_newer_write(rules)?;
    world.heal()?;
    (0..2).try_for_each(|side| {
        expect(&world, side, "k0", None)?;
        expect(&world, side, "k1", Some("new"))
    })
}

#[test]
fn a_write_after_a_flush_survives_on_both_sides() {
    needs(Rule::ReceiverFlushSparesNewer, write_after_the_flush);
}

/// A watermark is sent while a write is on its way to memcached, and then table and log forget that write.
/// A side hears of the other one's flush while its own, which is newer, is asked for; then its sidecar is restarted.
fn older_flush_of_the_peer(rules: Rules) -> Result<(), String> {
    let mut world = World::new(plan(rules));
    world.same_clocks();
    world.heal()?;
    world.block([true; 2]);
    world.cut();
    world.tell(0, "flush_all\r\n", "OK")?;
    world.pass_time(1000);
    world.tell(0, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.pass_time(1000);
    // A write in flight holds it up.
    world.ask_by_another(1, "set k1 0 0 1\r\nx\r\n");
    world.ask_only(1, "flush_all\r\n");
    world.block([false; 2]);
    for _ in 0..20 {
        world.tend_link();
        world.exchange_link_only()?;
        world.pass_time(20_000);
    }
    world.block([true; 2]);
    (0..4).try_for_each(|_| world.run_all(1))?;
    world.restart_sidecar(1, false, false);
    world.heal()?;
    (0..2).try_for_each(|side| expect(&world, side, "k0", None))
}

#[test]
fn an_older_flush_of_the_peer_takes_nothing_back() {
    needs(Rule::FlushOnlyRises, older_flush_of_the_peer);
}

fn watermark_with_a_write_in_flight(rules: Rules) -> Result<(), String> {
    let mut world = World::new(Plan { entries: 3, backlog: 4 << 10, ..plan(rules) });
    world.heal()?;
    world.tell(0, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.heal()?;
    world.ask_only(0, "set k0 0 0 3\r\nnew\r\n");
    world.pass_time(1_500_000);
    for _ in 0..4 {
        world.exchange_link_only()?;
    }
    world.block([true; 2]);
    world.cut();
    world.tell(0, "get k9\r\n", "STORED\r\nEND")?;
    let value = "x".repeat(900);
    for key in 1..9 {
        world.tell(0, &format!("set k{key} 0 0 900\r\n{value}\r\n"), "STORED")?;
    }
    world.heal()?;
    (0..2).try_for_each(|side| expect(&world, side, "k0", Some("new")))
}

#[test]
fn a_watermark_stays_below_a_write_in_flight() {
    needs(Rule::WatermarkBelowInFlight, watermark_with_a_write_in_flight);
}

/// The peer takes nothing until the log has dropped what it lacks, but the connection stays.
fn backlog_overflows_while_linked(rules: Rules) -> Result<(), String> {
    let mut world = World::new(Plan { backlog: 4 << 10, link_output: 1 << 10, ..plan(rules) });
    world.heal()?;
    world.block([true, false]);
    let value = "x".repeat(900);
    for key in 0..10 {
        world.tell(0, &format!("set k{key} 0 0 900\r\n{value}\r\n"), "STORED")?;
        world.exchange(0)?;
    }
    world.heal()?;
    (0..10).try_for_each(|key| expect(&world, 1, &format!("k{key}"), Some(&value)))
}

#[test]
fn what_the_backlog_dropped_is_brought_by_a_resync() {
    needs(Rule::GapResyncs, backlog_overflows_while_linked);
}

/// memcached drops an item whose new value it has no memory for; the peer has to drop it too.
fn set_without_memory(rules: Rules) -> Result<(), String> {
    let mut world = World::new(plan(rules));
    world.heal()?;
    world.tell(0, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.heal()?;
    world.trouble(0, |memcached| memcached.set_out_of_memory(true));
    world.tell(0, "set k0 0 0 3\r\nnew\r\n", "SERVER_ERROR out of memory storing object")?;
    world.heal()?;
    (0..2).try_for_each(|side| expect(&world, side, "k0", None))
}

#[test]
fn a_set_that_failed_is_a_delete() {
    needs(Rule::FailedSetIsDelete, set_without_memory);
}

/// A receiver that has newer items only sweeps, and the sweep cannot begin yet.
fn read_before_the_sweep(rules: Rules) -> Result<(), String> {
    let mut world = flushed_behind_a_newer_write(rules)?;
    world.trouble(1, |memcached| memcached.set_crawler_busy(true));
    world.block([false; 2]);
    world.exchange(0)?;
    world.tell(1, "get k0\r\n", "END")?;
    world.tell(1, "get k1\r\n", "VALUE k1 0 3\r\nnew\r\nEND")?;
    world.heal()?;
    (0..2).try_for_each(|side| expect(&world, side, "k0", None))
}

#[test]
fn what_is_flushed_is_not_read_before_it_is_swept() {
    needs(Rule::ReadsHideFlushed, read_before_the_sweep);
}

/// The clock of the peer is ahead, and a client that has read its write writes after a restart of the sidecar.
fn write_after_a_restart(rules: Rules) -> Result<(), String> {
    let mut world = World::new(plan(rules));
    world.same_clocks();
    world.replicas[1].wall_offset_us += 60_000_000;
    world.heal()?;
    world.tell(1, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.heal()?;
    world.tell(0, "get k0\r\n", "VALUE k0 0 3\r\nold\r\nEND")?;
    world.block([true; 2]);
    world.restart_sidecar(0, false, false);
    world.pass_time(3_000_000);
    world.run_all(0)?;
    world.tell(0, "set k0 0 0 3\r\nnew\r\n", "STORED")?;
    world.heal()?;
    (0..2).try_for_each(|side| expect(&world, side, "k0", Some("new")))
}

#[test]
fn what_is_written_after_a_restart_is_newer_than_what_was_read_before() {
    needs(Rule::ObservedIsBelowCeiling, write_after_a_restart);
}
