//! The steps of histories that are told and not drawn.

use crate::memcached::Memcached;
use crate::world::World;

impl World {
    /// Which senders' bytes do not arrive.
    pub(crate) fn block(&mut self, blocked: [bool; 2]) {
        self.link.blocked = blocked;
    }

    /// Something ails memcached until [`World::heal`].
    pub(crate) fn trouble(&mut self, side: usize, begin: impl FnOnce(&mut Memcached)) {
        begin(&mut self.replicas[side].memcached);
    }

    /// The clocks of the two sides agree, so what is done later is newer.
    pub(crate) fn same_clocks(&mut self) {
        self.replicas[1].wall_offset_us = self.replicas[0].wall_offset_us;
    }

    /// memcached of one side dies and comes back empty.
    pub(crate) fn restart_memcached(&mut self, side: usize) {
        self.replicas[side].restart_memcached(self.now_us, &mut self.rng);
        self.drop_clients(side);
    }

    /// The value of a key in the memcached of one side.
    pub(crate) fn value(&self, side: usize, key: &str) -> Option<String> {
        let item = self.replicas[side].memcached.peek(key.as_bytes());
        item.map(|item| String::from_utf8_lossy(item.value).into_owned())
    }

    /// A client sends a request that nobody goes on with.
    pub(crate) fn ask_only(&mut self, side: usize, request: &str) {
        let now = self.replicas[side].now(self.now_us);
        let open = self.clients[side][0].session.or_else(|| self.replicas[side].open(0));
        self.clients[side][0].session = open;
        if let (Some(session), Some(sidecar)) = (open, &mut self.replicas[side].sidecar) {
            sidecar.workers[0].client_input(session, request.as_bytes(), now);
        }
    }

    /// The same of a client that is not heard of again.
    pub(crate) fn ask_by_another(&mut self, side: usize, request: &str) {
        let known = self.clients[side][0].session.take();
        self.ask_only(side, request);
        self.clients[side][0].session = known;
    }

    /// A client's request: its answer, without the last line end. Nothing travels between the sides.
    pub(crate) fn answer(&mut self, side: usize, request: &str) -> Result<String, String> {
        self.ask_only(side, request);
        self.run_all(side)?;
        let received = std::mem::take(&mut self.clients[side][0].received);
        Ok(String::from_utf8_lossy(&received).trim_end().to_owned())
    }

    /// A client's request and its answer; nothing travels between the sides.
    pub(crate) fn tell(&mut self, side: usize, request: &str, answer: &str) -> Result<(), String> {
        let received = self.answer(side, request)?;
        let wrong = || Err(format!("{request:?} on replica {side} was answered {received:?}"));
        if received == answer { Ok(()) } else { wrong() }
    }

    /// What this side has for the other one travels, unless it is blocked, and is worked off there.
    pub(crate) fn exchange(&mut self, from: usize) -> Result<(), String> {
        self.run_all(from)?;
        for _ in 0..16 {
            self.carry(from)?;
        }
        self.run_all(1 - from)
    }

    /// The replicator of a side gets an answer of memcached that is none to what it sent last.
    pub(crate) fn wrong_answer(&mut self, side: usize, answer: &[u8]) -> Result<(), String> {
        let (now, world, workers) = (self.replicas[side].now(self.now_us), self.now_us, self.plan.workers);
        let Some(sidecar) = &mut self.replicas[side].sidecar else { return Err("no sidecar".to_owned()) };
        if sidecar.replicator.upstream_output().is_empty() {
            return Err("nothing is sent".to_owned());
        }
        if let Ok(taken) = sidecar.replicator.upstream_input(answer, now) {
            return Err(format!("{taken} bytes of a wrong answer are taken"));
        }
        self.replicas[side].lose_upstream(workers, world, &mut self.rng);
        Ok(())
    }

    /// Everything of one side is told to the other one's sidecar, whose memcached does nothing.
    pub(crate) fn hand_over(&mut self, from: usize) -> Result<(), String> {
        self.run_all(from)?;
        (0..16).try_for_each(|_| self.carry(from))
    }

    /// memcached carries out so many commands of a side's replicator, and then that sidecar is killed.
    pub(crate) fn kill_after(&mut self, side: usize, commands: usize) -> Result<(), String> {
        let (party, now) = (self.plan.workers, self.now_us);
        for done in 0..commands {
            self.replicas[side].send(party);
            if !self.replicas[side].execute(party) {
                // The answer to the one before is out now.
                self.replicas[side].receive(party, 4, now)?;
                self.replicas[side].send(party);
                if !self.replicas[side].execute(party) {
                    return Err(format!("after {done} commands there is none"));
                }
            }
        }
        self.restart_sidecar(side, false, false);
        Ok(())
    }

    /// The link goes on, but memcached does nothing.
    pub(crate) fn exchange_link_only(&mut self) -> Result<(), String> {
        for side in 0..2 {
            let now = self.replicas[side].now(self.now_us);
            if let Some(sidecar) = &mut self.replicas[side].sidecar {
                sidecar.replicator.turn(now);
            }
            for _ in 0..16 {
                self.carry(side)?;
            }
        }
        Ok(())
    }
}
