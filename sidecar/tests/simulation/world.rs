//! Two replicas, their clients and the link, stepped at random; then healed and checked.

use std::collections::BTreeMap;

use sidecar::clock::Version;
use sidecar::state::header::Field;
use sidecar::state::table::List;

use crate::client::{self, Asked, Client, Request};
use crate::oracle::Oracle;
use crate::plan::{Plan, weighted};
use crate::replica::Replica;

/// After the faults are over, both sides must be equal within this time of the world, in microseconds.
const HEALING_US: u64 = 60_000_000;
/// memcached counts whole seconds, and a resync rounds up.
const TTL_SLACK: u64 = 4;
/// Bytes that a blocked connection takes before its sender has to wait.
const SOCKET: usize = 4 << 10;

/// The connection between the sidecars: bytes on their way, by sender.
#[derive(Debug, Default)]
pub(crate) struct Link {
    up: bool,
    flying: [Vec<u8>; 2],
    /// Bytes of this sender do not arrive.
    pub(crate) blocked: [bool; 2],
}

/// What was seen of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Hash of everything that happened: the same seed gives the same.
    pub(crate) fingerprint: u64,
    /// Answers that clients got.
    pub(crate) answers: u64,
    /// Items left on both sides.
    pub(crate) items: usize,
    /// What did not hold.
    pub(crate) failure: Option<String>,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: fastrand::Rng,
    pub(crate) now_us: u64,
    pub(crate) replicas: [Replica; 2],
    pub(crate) clients: [Vec<Client>; 2],
    pub(crate) link: Link,
    oracle: Oracle,
    unique: u64,
    answers: u64,
    fingerprint: u64,
    /// Until when memory is short, or the crawler busy, on each replica.
    trouble_until: [u64; 2],
    /// Some replica dropped an entry of its table, or lost all of them; or a read of ours took a token and was cut before it
    /// could give it back.
    tokens_unsure: bool,
    /// Keys whose items up to these versions may end at different times on the two sides.
    ends_unsure: BTreeMap<u8, Version>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let replicas = [Replica::new(0, &plan, &mut rng), Replica::new(1, &plan, &mut rng)];
        let clients = || (0..plan.clients).map(|_| Client::default()).collect();
        let clients = [clients(), clients()];
        let (link, oracle) = (Link::default(), Oracle::default());
        let fingerprint = 0xcbf2_9ce4_8422_2325;
        let trouble_until = [0; 2];
        let mut world = Self {
            plan,
            rng,
            now_us: 0,
            replicas,
            clients,
            link,
            oracle,
            unique: 1000,
            answers: 0,
            fingerprint,
            trouble_until,
            tokens_unsure: false,
            ends_unsure: BTreeMap::new(),
        };
        for replica in &mut world.replicas {
            replica.start(&plan, 0, &mut world.rng);
        }
        world
    }

    /// Runs a history to its end.
    pub(crate) fn run(plan: Plan) -> Outcome {
        let mut world = Self::new(plan);
        let failure = world.play().and_then(|()| world.heal()).and_then(|()| world.check());
        let items = world.replicas.iter().map(|replica| replica.memcached.items().count()).sum();
        Outcome { fingerprint: world.fingerprint, answers: world.answers, items, failure: failure.err() }
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.plan.verbose {
            println!("{:>10} us  {}", self.now_us, what());
        }
    }

    fn mix(&mut self, value: u64) {
        self.fingerprint = (self.fingerprint ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    fn play(&mut self) -> Result<(), String> {
        let mut left = self.plan.requests;
        let mut steps = 0;
        while left > 0 && steps < 60 * u64::from(self.plan.requests) {
            steps += 1;
            if self.rng.u32(0..1000) < self.plan.faults {
                self.fault()?;
            }
            let side = self.rng.usize(0..2);
            if self.rng.u32(0..10) == 0 && self.ask(side) {
                left -= 1;
            }
            self.step(side)?;
        }
        Ok(())
    }

    /// One small thing happens on one side.
    fn step(&mut self, side: usize) -> Result<(), String> {
        let workers = self.plan.workers;
        let (now, party) = (self.now_us, self.rng.usize(0..=workers));
        match self.rng.u32(0..20) {
            0..=3 => self.replicas[side].send(party),
            4..=8 => {
                for _ in 0..self.rng.usize(1..6) {
                    let which = self.rng.usize(0..workers + 2);
                    self.replicas[side].execute(which);
                }
            }
            9..=12 => {
                let share = self.rng.usize(1..=4);
                self.replicas[side].receive(party, share, now)?;
                self.collect(side)?;
            }
            13 => self.replicas[side].dump(now)?,
            14..=15 => {
                self.replicas[side].wake(now);
                self.collect(side)?;
            }
            16..=17 => self.carry(side)?,
            18 => {
                let us = 1 << self.rng.u32(4..17);
                self.pass_time(us);
            }
            _ => {
                let now = self.replicas[side].now(self.now_us);
                if let Some(sidecar) = &mut self.replicas[side].sidecar {
                    sidecar.replicator.turn(now);
                }
                self.tend_link();
            }
        }
        Ok(())
    }

    pub(crate) fn pass_time(&mut self, us: u64) {
        self.now_us += us;
        for replica in &mut self.replicas {
            replica.follow(self.now_us);
        }
        for side in 0..2 {
            if self.trouble_until[side] > 0 && self.now_us >= self.trouble_until[side] {
                self.end_trouble(side);
            }
        }
    }

    fn end_trouble(&mut self, side: usize) {
        self.trouble_until[side] = 0;
        let memcached = &mut self.replicas[side].memcached;
        memcached.set_out_of_memory(false);
        memcached.set_crawler_busy(false);
        memcached.set_hash_growing(false);
    }

    /// A client sends something.
    fn ask(&mut self, side: usize) -> bool {
        let index = self.rng.usize(0..self.plan.clients);
        let worker = self.rng.usize(0..self.plan.workers);
        let (now, unix) = (self.replicas[side].now(self.now_us), self.replicas[side].memcached.time());
        let client = &mut self.clients[side][index];
        if client.asked.len() >= 3 {
            return false;
        }
        if client.session.is_none() {
            client.session = self.replicas[side].open(worker);
            client.worker = worker;
            client.received.clear();
            client.asked.drain(..).for_each(|request| self.oracle.marks.unheard(request.key));
        }
        let Some(session) = client.session else { return false };
        self.unique += 1;
        let (asked, key, bytes) = client::request(&mut self.rng, client, &self.plan, self.unique, unix);
        let Some(sidecar) = &mut self.replicas[side].sidecar else { return false };
        let low = sidecar.shared.clock.last();
        let known = self.oracle.known(side, key);
        client.asked.push_back(Request { asked, key, low, known });
        if let Some(worker) = sidecar.workers.get_mut(client.worker)
            && worker.session(session).is_some_and(|open| !open.closing())
        {
            worker.client_input(session, &bytes, now);
        }
        self.say(|| format!("client {side}/{index}: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)])));
        true
    }

    /// Answers reach the clients.
    fn collect(&mut self, side: usize) -> Result<(), String> {
        let now = self.replicas[side].now(self.now_us);
        for index in 0..self.plan.clients {
            let Some(session) = self.clients[side][index].session else { continue };
            let Some(sidecar) = &mut self.replicas[side].sidecar else { continue };
            let client = &mut self.clients[side][index];
            let Some(worker) = sidecar.workers.get_mut(client.worker) else { continue };
            worker.take_touched();
            let Some(open) = worker.session(session) else {
                client.session = None;
                client.asked.drain(..).for_each(|request| self.oracle.marks.unheard(request.key));
                continue;
            };
            client.received.append(&mut sidecar.direct[client.worker].take(session));
            client.received.append(open.output());
            if open.closing() {
                client.session = None;
                worker.close(session);
            } else {
                worker.output_taken(session, now);
            }
            let closed = self.clients[side][index].session.is_none();
            while let Some((request, answer)) = self.clients[side][index].take() {
                self.answers += 1;
                if let Some(token) = answer.token() {
                    self.clients[side][index].tokens.insert(request.key, token);
                    self.mix(token);
                }
                self.say(|| format!("client {side}/{index}: k{} {:?} -> {answer:?}", request.key, request.asked));
                self.oracle
                    .answered(side, &request, &answer)
                    .map_err(|error| format!("replica {side}, client {index}: {error}"))?;
                self.mix(request.low.raw());
            }
            if closed {
                let unheard = self.clients[side][index].asked.drain(..);
                unheard.for_each(|request| self.oracle.marks.unheard(request.key));
            }
        }
        Ok(())
    }

    /// Bytes travel from one side to the other.
    pub(crate) fn carry(&mut self, from: usize) -> Result<(), String> {
        if !self.link.up {
            return Ok(());
        }
        let full = self.link.blocked[from] && self.link.flying[from].len() >= SOCKET;
        if let Some(sidecar) = self.replicas[from].sidecar.as_mut().filter(|_| !full) {
            self.link.flying[from].append(sidecar.replicator.link_output());
        }
        if self.link.blocked[from] {
            return Ok(());
        }
        let share = self.rng.usize(1..=4);
        let len = (self.link.flying[from].len() * share).div_ceil(4);
        let bytes: Vec<u8> = self.link.flying[from].drain(..len).collect();
        let to = 1 - from;
        let now = self.replicas[to].now(self.now_us);
        let Some(sidecar) = &mut self.replicas[to].sidecar else { return Ok(()) };
        sidecar.link_in.extend_from_slice(&bytes);
        match sidecar.replicator.link_input(&sidecar.link_in, now) {
            Ok(consumed) => {
                sidecar.link_in.drain(..consumed);
                Ok(())
            }
            Err(error) => Err(format!("replica {to}: link: {error}")),
        }
    }

    /// Makes a connection where there is none, and breaks one that a side gave up.
    pub(crate) fn tend_link(&mut self) {
        let failed = |replica: &mut Replica| {
            replica.sidecar.as_mut().is_none_or(|sidecar| sidecar.replicator.link_failed().is_some())
        };
        let [a, b] = &mut self.replicas;
        let failed = failed(a) | failed(b);
        if self.link.up && failed {
            self.cut();
        }
        let both = self.replicas.iter().all(|replica| replica.sidecar.is_some());
        if !self.link.up && both && self.link.blocked == [false; 2] && self.rng.u32(0..4) == 0 {
            self.say(|| "link is made".to_owned());
            self.link.up = true;
            for side in 0..2 {
                let now = self.replicas[side].now(self.now_us);
                if let Some(sidecar) = &mut self.replicas[side].sidecar {
                    sidecar.link_in.clear();
                    sidecar.replicator.link_opened(now);
                }
            }
        }
    }

    pub(crate) fn cut(&mut self) {
        if !self.link.up {
            return;
        }
        self.say(|| "link is cut".to_owned());
        self.link.up = false;
        self.link.flying = [Vec::new(), Vec::new()];
        for replica in &mut self.replicas {
            if let Some(sidecar) = &mut replica.sidecar {
                sidecar.link_in.clear();
                sidecar.replicator.link_closed();
            }
        }
    }

    pub(crate) fn drop_clients(&mut self, side: usize) {
        for client in &mut self.clients[side] {
            client.session = None;
            client.asked.drain(..).for_each(|request| self.oracle.marks.unheard(request.key));
            client.received.clear();
        }
    }

    fn fault(&mut self) -> Result<(), String> {
        let k = self.plan.kinds;
        let weights = [
            k.cut,
            k.partition,
            k.one_sided,
            k.upstream_lost,
            k.sidecar,
            k.memcached,
            k.pod,
            k.state_lost,
            k.clock_step,
            k.evict,
            k.out_of_memory,
            k.crawler,
            k.jump,
        ];
        let Some(kind) = weighted(&mut self.rng, &weights) else { return Ok(()) };
        let side = self.rng.usize(0..2);
        self.say(|| format!("fault {kind} on side {side}"));
        match kind {
            0 => self.cut(),
            1 => {
                let blocked = !self.link.blocked[0];
                self.link.blocked = [blocked; 2];
            }
            2 => self.link.blocked[side] = !self.link.blocked[side],
            3 => {
                self.tokens_unsure = true;
                let which = self.rng.usize(0..=self.plan.workers);
                let now = self.now_us;
                self.replicas[side].lose_upstream(which, now, &mut self.rng);
            }
            4 => self.restart_sidecar(side, false, false),
            5 => {
                self.lose_content(side);
                let now = self.now_us;
                self.replicas[side].restart_memcached(now, &mut self.rng);
                self.drop_clients(side);
            }
            6 => self.restart_sidecar(side, true, true),
            7 => self.restart_sidecar(side, true, false),
            8 => {
                let step = self.rng.i64(-5_000_000..5_000_000);
                self.replicas[side].wall_offset_us += step;
            }
            9 => {
                let key = self.rng.u8(0..self.plan.keys);
                self.replicas[side].memcached.evict(format!("k{key}").as_bytes());
                self.oracle.marks.forget(side, Some(key));
            }
            10 => {
                self.oracle.marks.forget(side, None);
                self.trouble_until[side] = self.now_us + self.rng.u64(1..300_000);
                self.replicas[side].memcached.set_out_of_memory(true);
            }
            11 => {
                self.trouble_until[side] = self.now_us + self.rng.u64(1..300_000);
                let growing = self.rng.bool();
                let memcached = &mut self.replicas[side].memcached;
                if growing { memcached.set_hash_growing(true) } else { memcached.set_crawler_busy(true) }
            }
            // What is held up tells the clocks of the sides apart only roughly.
            _ if self.link.blocked != [false; 2] => {}
            _ => {
                // Relative times count from when memcached and the sidecar read them: nothing may be on its way for seconds.
                for side in 0..2 {
                    self.run_all(side)?;
                    for _ in 0..40 {
                        self.carry(side)?;
                    }
                }
                let us = self.rng.u64(500_000..4_000_000);
                self.pass_time(us);
            }
        }
        Ok(())
    }

    fn has_overflown(&self, side: usize) -> bool {
        self.replicas[side]
            .journal(|journal| journal.overflowed > 0 || journal.number(Field::Floor) > 0)
            .unwrap_or(true)
    }

    fn lose_content(&mut self, side: usize) {
        let overflown = self.has_overflown(side);
        self.tokens_unsure |= overflown;
        self.oracle.content_lost(side, overflown);
    }

    pub(crate) fn restart_sidecar(&mut self, side: usize, state_lost: bool, memcached_too: bool) {
        self.cut();
        self.lose_touches(side);
        self.drop_clients(side);
        let overflown = self.has_overflown(side);
        self.replicas[side].kill();
        self.tokens_unsure = true;
        if state_lost {
            self.replicas[side].lose_state(&self.plan);
            self.oracle.state_lost(side);
        }
        let now = self.now_us;
        if memcached_too {
            self.oracle.content_lost(side, overflown);
            self.replicas[side].restart_memcached(now, &mut self.rng);
        }
        self.replicas[side].start(&self.plan, now, &mut self.rng);
    }

    /// A touch leaves no trace in memcached. One that is under way when the sidecar is killed, so that nobody was told of it,
    /// may have been made on this side only.
    fn lose_touches(&mut self, side: usize) {
        let Some(sidecar) = &self.replicas[side].sidecar else { return };
        let newest = sidecar.shared.clock.last();
        let asked = self.clients[side].iter().flat_map(|client| &client.asked);
        for request in asked.filter(|request| matches!(request.asked, Asked::Touch | Asked::Gat)) {
            self.ends_unsure.insert(request.key, newest);
        }
    }

    /// No more faults and requests: everything in flight arrives.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.say(|| "healing".to_owned());
        self.link.blocked = [false; 2];
        for side in 0..2 {
            self.end_trouble(side);
        }
        let start = self.now_us;
        while !self.is_quiet() {
            if self.now_us > start + HEALING_US {
                return Err(format!("not equal after {} s: {}", HEALING_US / 1_000_000, self.unrest()));
            }
            self.tend_link();
            for side in 0..2 {
                self.run_all(side)?;
                self.carry(side)?;
            }
            self.pass_time(20_000);
        }
        Ok(())
    }

    pub(crate) fn run_all(&mut self, side: usize) -> Result<(), String> {
        let now = self.now_us;
        for _ in 0..8 {
            self.replicas[side].wake(now);
            for party in 0..=self.plan.workers {
                self.replicas[side].send(party);
                while self.replicas[side].execute(party) {}
                self.replicas[side].receive(party, 4, now)?;
            }
            for _ in 0..64 {
                self.replicas[side].execute(self.plan.workers + 1);
            }
            self.replicas[side].dump(now)?;
        }
        self.collect(side)
    }

    fn is_quiet(&self) -> bool {
        self.link.up && self.replicas.iter().all(|replica| self.rest(replica).is_empty())
    }

    /// What a replica still has to do.
    fn rest(&self, replica: &Replica) -> Vec<&'static str> {
        let Some(sidecar) = &replica.sidecar else { return vec!["stopped"] };
        let journal = sidecar.shared.journal();
        let due = journal.flush_due().0 != sidecar::replication::record::Expiry::Never;
        let pending = !journal.table().is_empty();
        let floor = journal.number(Field::Floor) > 0;
        drop(journal);
        let replicator = &sidecar.replicator;
        [
            (!replicator.is_linked(), "not linked"),
            (!replicator.is_synced(), "not synced"),
            (replicator.is_resyncing(), "resyncing"),
            (replicator.unconfirmed() > 0, "unconfirmed log"),
            (sidecar.shared.sweeping(), "sweeping"),
            (due, "flush due"),
            (pending, "entries in the table"),
            (floor, "floor"),
            (sidecar.workers.iter().any(|worker| worker.in_flight() > 0), "requests in flight"),
            (!sidecar.woken.is_empty(), "somebody to wake"),
            (sidecar.workers.iter().any(|worker| worker.waiting() > 0), "clients wait for a stripe"),
        ]
        .into_iter()
        .filter_map(|(is, what)| is.then_some(what))
        .collect()
    }

    fn unrest(&self) -> String {
        let mut text = format!("link up: {}", self.link.up);
        for replica in &self.replicas {
            let rest = self.rest(replica);
            text += &format!("; replica {}: {rest:?}", replica.id);
            if self.plan.verbose {
                println!("{:#?}", replica.sidecar.as_ref().map(|sidecar| &sidecar.replicator));
            }
            if let Some(lists) = replica.journal(|journal| {
                [List::Unsent, List::Sending, List::Sent, List::Remote].map(|list| journal.table().len_of(list))
            }) {
                text += &format!(" (unsent, sending, sent, remote: {lists:?})");
            }
        }
        text
    }

    /// Both sides are equal, and nothing is older than what clients were told.
    fn check(&mut self) -> Result<(), String> {
        self.tokens_unsure |= self.has_overflown(0) || self.has_overflown(1);
        for key in 0..self.plan.keys {
            let name = format!("k{key}");
            let [a, b] = &self.replicas;
            let (here, there) = (a.memcached.peek(name.as_bytes()), b.memcached.peek(name.as_bytes()));
            self.oracle.marks.check_final(key, [here, there], self.tokens_unsure)?;
            for item in [here, there].into_iter().flatten() {
                self.oracle.check_final(key, Version::of_item(item.cas))?;
            }
            let (Some(x), Some(y)) = (here, there) else { continue };
            // A write that nobody was told of ends earlier where it was made: until it ends on the other side too, an older
            // one may show there.
            let newer = if x.cas > y.cas { (a, x) } else { (b, y) };
            if x.cas != y.cas && newer.1.expires.is_some_and(|at| at <= newer.0.memcached.time() + TTL_SLACK) {
                continue;
            }
            if (x.cas, x.value, x.flags) != (y.cas, y.value, y.flags) {
                return Err(format!("{name} differs: {x:?} and {y:?}"));
            }
            let item = Version::of_item(x.cas);
            if self.ends_unsure.get(&key).is_some_and(|newest| item <= *newest) {
                continue;
            }
            let left =
                |replica: &Replica, expires: Option<u64>| expires.map(|at| at.saturating_sub(replica.memcached.time()));
            let (one, other) = (left(a, x.expires), left(b, y.expires));
            let close = match (one, other) {
                (None, None) => true,
                (Some(one), Some(other)) => one.abs_diff(other) <= TTL_SLACK,
                _ => false,
            };
            if !close {
                return Err(format!("{name}: lives differ: {one:?} and {other:?} seconds left"));
            }
        }
        for side in 0..2 {
            let versions: Vec<u64> = self.replicas[side].memcached.items().map(|item| item.cas).collect();
            for version in versions {
                self.mix(version);
            }
        }
        Ok(())
    }
}
