//! Most recently used items first: a resync that takes long brings in several passes over the dump what is likely to be
//! read next. What was accessed is kept only as a histogram of ages.

/// A resync shorter than this takes items in the order of the dump, in milliseconds.
const LONG_MS: u64 = 10_000;
/// The most passes over the dump.
const PASSES: usize = 8;
/// Four buckets for each doubling of the age in seconds.
const BUCKETS: usize = 4 * 32;

/// Bytes by age.
#[derive(Clone, Debug)]
pub(super) struct Recency {
    /// Ages count from here, in Unix seconds of memcached's clock; what is younger is of age 0.
    reference: i64,
    bytes: Box<[u64; BUCKETS]>,
    items: u64,
}

impl Recency {
    /// Nothing is counted yet. `reference` is a Unix second that memcached's clock has reached: an item that is accessed
    /// from now on never shows an older one, so the last pass finds it. One that is ahead of that clock would lose items.
    pub(super) fn new(reference: i64) -> Self {
        Self { reference, bytes: Box::new([0; BUCKETS]), items: 0 }
    }

    /// Counts an item of the dump by its last access and its size in bytes.
    pub(super) fn add(&mut self, last_access: i64, size: u64) {
        if let Some(bytes) = self.bytes.get_mut(bucket(age(self.reference, last_access))) {
            *bytes = bytes.saturating_add(size);
        }
        self.items += 1;
    }

    /// Items counted.
    pub(super) fn items(&self) -> u64 {
        self.items
    }

    /// The passes for a rate of so many bytes per second.
    pub(super) fn passes(&self, rate: u64) -> Passes {
        let total: u64 = self.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes));
        let mut passes = Passes { reference: self.reference, from: Vec::new(), now: 0 };
        if total.saturating_mul(1000) / rate.max(1) < LONG_MS {
            return passes;
        }
        let share = total.div_ceil(PASSES as u64);
        let mut gathered = 0_u64;
        for (number, bytes) in self.bytes.iter().enumerate() {
            // A bucket is never divided: every pass but the last has at least its share.
            if gathered >= share && passes.from.len() + 1 < PASSES {
                passes.from.push(number);
                gathered = 0;
            }
            gathered = gathered.saturating_add(*bytes);
        }
        passes
    }
}

/// Which items are taken when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passes {
    reference: i64,
    /// The bucket with which every pass but the first begins.
    from: Vec<usize>,
    now: usize,
}

impl Passes {
    /// Whether an item of the dump belongs to this pass.
    pub(super) fn takes(&self, last_access: i64) -> bool {
        let last = self.now == self.from.len();
        // Accessed since the ages were counted: it may have left a pass that was still to come.
        if last && last_access >= self.reference {
            return true;
        }
        let bucket = bucket(age(self.reference, last_access));
        let begins = self.now.checked_sub(1).and_then(|before| self.from.get(before)).copied().unwrap_or(0);
        bucket >= begins && self.from.get(self.now).is_none_or(|end| bucket < *end)
    }

    /// Goes on to the next pass; `false`: that was the last.
    pub(super) fn advance(&mut self) -> bool {
        let more = self.now < self.from.len();
        self.now += usize::from(more);
        more
    }
}

fn age(reference: i64, last_access: i64) -> u64 {
    u64::try_from(reference.saturating_sub(last_access)).unwrap_or(0)
}

fn bucket(age: u64) -> usize {
    let age = age + 4;
    let octave = age.ilog2() as usize - 2;
    let quarter = (age >> octave) as usize & 3;
    (4 * octave + quarter).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_grow_with_the_age_and_leave_none_out() {
        let mut before = 0;
        for age in (0..100_000).chain([1 << 31, 1 << 40, u64::MAX - 4]) {
            let now = bucket(age);
            assert!(now >= before, "age {age}");
            before = now;
        }
        assert_eq!((0..9).map(bucket).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 4, 5, 5, 6]);
    }

    #[test]
    fn what_is_short_goes_in_one_pass() {
        let mut recency = Recency::new(1000);
        recency.add(10, 9999);
        let mut passes = recency.passes(1000);
        assert!(passes.takes(10) && passes.takes(1000) && !passes.advance());
    }

    proptest! {
        /// Every item is taken, also one that is accessed while the passes run, and the young ones are taken first.
        #[test]
        fn nothing_is_left_out(
            items in prop::collection::vec((0..1_000_000_i64, 1..10_000_u64, prop::option::of(0..PASSES)), 1..200),
        ) {
            let reference = 2_000_000;
            let mut recency = Recency::new(reference);
            for (age, size, _) in &items {
                recency.add(reference - age, *size);
            }
            let mut passes = recency.passes(1);
            let mut taken = vec![None; items.len()];
            for pass in 0.. {
                for ((age, _, accessed), taken) in items.iter().zip(&mut taken) {
                    let last_access = if accessed.is_some_and(|at| at <= pass) { reference + 5 } else { reference - age };
                    if passes.takes(last_access) {
                        taken.get_or_insert(pass);
                    }
                }
                if !passes.advance() {
                    prop_assert!(pass < PASSES);
                    break;
                }
            }
            prop_assert!(taken.iter().all(Option::is_some));
            for ((a, _, moved_a), pass_a) in items.iter().zip(&taken) {
                for ((b, _, moved_b), pass_b) in items.iter().zip(&taken) {
                    prop_assert!(a > b || moved_a.is_some() || moved_b.is_some() || pass_a <= pass_b);
                }
            }
        }
    }
}
