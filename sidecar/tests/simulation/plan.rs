//! What a history consists of, drawn from its seed.

use sidecar::rules::Rules;

/// Sizes and probabilities of one history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Everything is drawn from this.
    pub(crate) seed: u64,
    /// Requests of clients.
    pub(crate) requests: u32,
    /// Workers of each replica.
    pub(crate) workers: usize,
    /// Clients of each replica.
    pub(crate) clients: usize,
    /// Keys in use.
    pub(crate) keys: u8,
    /// So many of a hundred requests are meta commands.
    pub(crate) meta: u32,
    /// So many of a hundred requests are touches.
    pub(crate) touches: u32,
    /// Stripes of each replica.
    pub(crate) stripes: usize,
    /// Slots of the table.
    pub(crate) entries: u32,
    /// Bytes of the log.
    pub(crate) backlog: usize,
    /// Bytes that may wait to be sent to the peer.
    pub(crate) link_output: usize,
    /// Bytes per second of a resync.
    pub(crate) resync_rate: Option<u64>,
    /// The end of so many dumps overwrites what was not read of them.
    pub(crate) overwrites: u32,
    /// Faults are this frequent, per 1000 steps of the world.
    pub(crate) faults: u32,
    /// Which kinds of faults there are.
    pub(crate) kinds: Kinds,
    /// Which rule is broken.
    pub(crate) rules: Rules,
    /// Print what happens.
    pub(crate) verbose: bool,
}

/// Kinds of faults, each with its weight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kinds {
    pub(crate) cut: u32,
    pub(crate) partition: u32,
    pub(crate) one_sided: u32,
    pub(crate) upstream_lost: u32,
    pub(crate) sidecar: u32,
    pub(crate) memcached: u32,
    pub(crate) pod: u32,
    pub(crate) state_lost: u32,
    pub(crate) clock_step: u32,
    pub(crate) evict: u32,
    pub(crate) out_of_memory: u32,
    pub(crate) crawler: u32,
    pub(crate) jump: u32,
}

impl Plan {
    /// A history of this seed. Half of them lack some kinds of faults, so that the others show more clearly.
    pub(crate) fn of(seed: u64, rules: Rules) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
        let mut weight = |most: u32| if rng.bool() { rng.u32(0..=most) } else { 0 };
        let kinds = Kinds {
            cut: weight(6),
            partition: weight(4),
            one_sided: weight(3),
            upstream_lost: weight(3),
            sidecar: weight(3),
            memcached: weight(2),
            pod: weight(1),
            state_lost: weight(1),
            clock_step: weight(3),
            evict: weight(8),
            out_of_memory: weight(3),
            crawler: weight(3),
            jump: weight(4),
        };
        Self {
            seed,
            requests: rng.u32(20..=250),
            workers: rng.usize(1..=3),
            clients: rng.usize(1..=4),
            keys: rng.u8(1..=10),
            stripes: 1 << rng.u32(0..=6),
            entries: *rng.choice(&[3, 8, 64, 4096]).unwrap_or(&64),
            backlog: *rng.choice(&[4 << 10, 16 << 10, 1 << 20]).unwrap_or(&4096),
            link_output: *rng.choice(&[1 << 10, 1 << 20]).unwrap_or(&1024),
            resync_rate: *rng.choice(&[None, None, Some(1000), Some(20_000)]).unwrap_or(&None),
            faults: rng.u32(0..=30),
            meta: *rng.choice(&[0, 0, 20]).unwrap_or(&0),
            overwrites: *rng.choice(&[0, 1, 5]).unwrap_or(&0),
            touches: 0,
            kinds,
            rules,
            verbose: false,
        }
    }

    /// The same with hardly anything but meta commands.
    pub(crate) fn full_of_meta(seed: u64, rules: Rules) -> Self {
        Self { meta: 80, ..Self::of(seed, rules) }
    }

    /// Items whose ends change all the time, and tables that forget most of that.
    pub(crate) fn full_of_touches(seed: u64, rules: Rules) -> Self {
        let plan = Self::of(seed, rules);
        Self { touches: 60, meta: 0, keys: plan.keys.max(5), entries: 3, ..plan }
    }
}

/// Draws an index by weights; `None` where all are 0.
pub(crate) fn weighted(rng: &mut fastrand::Rng, weights: &[u32]) -> Option<usize> {
    let total: u32 = weights.iter().sum();
    if total == 0 {
        return None;
    }
    let mut draw = rng.u32(0..total);
    weights.iter().position(|weight| {
        let hit = draw < *weight;
        draw = draw.wrapping_sub(*weight);
        hit
    })
}
