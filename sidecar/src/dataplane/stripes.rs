//! Striped ownership: memcached executes the writes of a key in the order of their versions, whichever party sends them.
//!
//! Keys are hashed to stripes. A *party* (a worker, or the replicator) takes a stripe in the step that writes its bytes
//! upstream and keeps it while such bytes are unanswered. As each party has one ordered connection to memcached, what one
//! party sends is executed in order, and two parties are never on their way with the same stripe at once. A version is
//! taken while the stripe is held, so the order of versions is the order of execution.
//!
//! Fairness: a party that has to wait leaves its mark; from the next turn on the owner takes no new write, and when its last one
//! is answered the stripe is handed to a waiter. In the turn in which it took the stripe it goes on taking: a key that all
//! parties write would else be handed over for each write.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Version;

/// The most stripes, and how many a program has; a power of two. 16 bytes each.
pub const STRIPES: usize = 1 << 16;
/// The most parties that can share the stripes.
pub const MAX_PARTIES: usize = 24;

/// The index of a stripe.
pub type Stripe = u16;

/// A worker or the replicator, by number below [`MAX_PARTIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party(u8);

impl Party {
    /// `None` from [`MAX_PARTIES`] on.
    pub fn new(number: usize) -> Option<Self> {
        (number < MAX_PARTIES).then_some(Self(number as u8))
    }
    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// How a stripe is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For one command, or several written at once: others of the same party may follow on the same connection.
    Single,
    /// For a conversation with memcached: nobody else's write may come in between.
    Exclusive,
}

/// What a party writes between two looks of the shell at its output; see [`Stripes::acquire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u8);

impl Turn {
    /// No turn: with a waiter nothing more is taken.
    pub const NONE: Self = Self(0);

    /// The next one. Of 255 turns each has another number: who holds a stripe for longer may go on once more.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 % u8::MAX + 1)
    }
}

/// State word: `waiters:24 | owner+1:5 | exclusive:1 | turn:8 | count:26`.
#[derive(Clone, Copy)]
struct Word(u64);

const COUNT: u64 = (1 << TURN_SHIFT) - 1;
const TURN_SHIFT: u32 = 26;
const EXCLUSIVE: u64 = 1 << 34;
const OWNER_SHIFT: u32 = 35;
const WAITERS_SHIFT: u32 = 40;
const OWNER: u64 = (1 << (WAITERS_SHIFT - OWNER_SHIFT)) - 1;

/// An owner and what it holds.
#[derive(Clone, Copy)]
struct Held {
    party: Party,
    mode: Mode,
    turn: Turn,
    count: u64,
}

impl Word {
    fn owner(self) -> Option<Party> {
        match (self.0 >> OWNER_SHIFT & OWNER) as u8 {
            0 => None,
            n => Some(Party(n - 1)),
        }
    }
    fn count(self) -> u64 {
        self.0 & COUNT
    }
    fn exclusive(self) -> bool {
        self.0 & EXCLUSIVE != 0
    }
    fn turn(self) -> Turn {
        Turn((self.0 >> TURN_SHIFT) as u8)
    }
    fn waiters(self) -> u64 {
        self.0 >> WAITERS_SHIFT
    }
    fn build(held: Held, waiters: u64) -> Self {
        let Held { party, mode, turn, count } = held;
        let exclusive = if mode == Mode::Exclusive { EXCLUSIVE } else { 0 };
        let owner = (u64::from(party.0) + 1) << OWNER_SHIFT;
        Word(waiters << WAITERS_SHIFT | owner | exclusive | u64::from(turn.0) << TURN_SHIFT | count)
    }
    /// The word after `party` took the stripe, or `None` where it has to wait.
    fn taken(self, party: Party, mode: Mode, turn: Turn) -> Option<Word> {
        let first = Held { party, mode, turn, count: 1 };
        match self.owner() {
            None => Some(Self::build(first, self.waiters())),
            Some(owner) if owner != party => None,
            Some(_) if self.count() == 0 => Some(Self::build(first, self.waiters())),
            Some(_) if mode == Mode::Exclusive || self.exclusive() || self.count() == COUNT => None,
            Some(_) if self.waiters() != 0 && (turn == Turn::NONE || turn != self.turn()) => None,
            Some(_) => Some(Self::build(Held { count: self.count() + 1, ..first }, self.waiters())),
        }
    }
    /// The word after one hold of the owner ended, and the party that now has the stripe reserved.
    fn released(self) -> (Word, Option<Party>) {
        if self.count() > 1 {
            return (Word(self.0 - 1), None);
        }
        if self.waiters() == 0 {
            return (Word(0), None);
        }
        // The next waiter in circular order, so that no party is passed over for ever.
        let after = self.owner().map_or(0, |p| u32::from(p.0) + 1);
        let rotated = (self.waiters() >> after) << after;
        let bits = if rotated != 0 { rotated } else { self.waiters() };
        let next = Party(bits.trailing_zeros() as u8);
        let waiters = self.waiters() & !(1 << next.0);
        (Self::build(Held { party: next, mode: Mode::Single, turn: Turn::NONE, count: 0 }, waiters), Some(next))
    }
}

#[derive(Debug, Default)]
struct Slot {
    word: AtomicU64,
    newest: AtomicU64,
}

/// What the stripes take, in bytes.
pub(crate) const MEMORY: usize = STRIPES * size_of::<Slot>();

/// All stripes of a replica.
#[derive(Debug)]
pub struct Stripes {
    slots: Box<[Slot]>,
}

impl Stripes {
    /// `count` free stripes (rounded to a power of two, at most [`STRIPES`]), in each of which nothing newer than `newest`
    /// was ever written.
    pub fn new(count: usize, newest: Version) -> Self {
        let count = count.clamp(1, STRIPES).next_power_of_two();
        let slot = || Slot { word: AtomicU64::new(0), newest: AtomicU64::new(newest.raw()) };
        Self { slots: std::iter::repeat_with(slot).take(count).collect() }
    }

    /// The stripe of a key, by its hash.
    pub fn of(&self, hash: u64) -> Stripe {
        (hash >> 48) as Stripe & (self.slots.len() - 1) as Stripe
    }

    /// All stripes.
    pub fn all(&self) -> std::ops::Range<usize> {
        0..self.slots.len()
    }

    fn slot(&self, stripe: Stripe) -> &Slot {
        // In bounds: the number of slots is a power of two.
        &self.slots[usize::from(stripe) & (self.slots.len() - 1)]
    }

    /// Takes a stripe, once more where the party has it. With a waiter that is only done in the `turn` in which it took it
    /// last. On `false` the party's mark is left: it will be woken by somebody's [`Stripes::release`], and must then try
    /// again or [`Stripes::relinquish`].
    pub fn acquire(&self, stripe: Stripe, party: Party, mode: Mode, turn: Turn) -> bool {
        let word = &self.slot(stripe).word;
        let mut seen = Word(word.load(Ordering::Relaxed));
        loop {
            let (next, taken) = match seen.taken(party, mode, turn) {
                Some(next) => (next, true),
                None => (Word(seen.0 | 1 << (WAITERS_SHIFT + u32::from(party.0))), false),
            };
            match word.compare_exchange_weak(seen.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return taken,
                Err(now) => seen = Word(now),
            }
        }
    }

    /// Ends one hold. Returns the party that the stripe is now reserved for; the caller wakes it (it may be the caller's own).
    #[must_use = "the returned party waits to be woken"]
    pub fn release(&self, stripe: Stripe) -> Option<Party> {
        self.update(stripe, |word| Some(word.released()))
    }

    /// Gives up a stripe that was reserved for `party` and that it no longer wants, and its mark as a waiter.
    #[must_use = "the returned party waits to be woken"]
    pub fn relinquish(&self, stripe: Stripe, party: Party) -> Option<Party> {
        self.update(stripe, |word| {
            let waiters = word.waiters() & !(1 << party.0);
            let unmarked = Word(word.0 & !(1 << (WAITERS_SHIFT + u32::from(party.0))));
            if word.owner() == Some(party) && word.count() == 0 {
                return Some(unmarked.released());
            }
            (waiters != word.waiters()).then_some((unmarked, None))
        })
    }

    fn update(&self, stripe: Stripe, change: impl Fn(Word) -> Option<(Word, Option<Party>)>) -> Option<Party> {
        let word = &self.slot(stripe).word;
        let mut seen = Word(word.load(Ordering::Relaxed));
        loop {
            let (next, wake) = change(seen)?;
            match word.compare_exchange_weak(seen.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return wake,
                Err(now) => seen = Word(now),
            }
        }
    }

    /// A bound: no item, delete or flush newer than this was ever written in the stripe. Meaningful while it is held.
    pub fn newest(&self, stripe: Stripe) -> Version {
        Version::of_item(self.slot(stripe).newest.load(Ordering::Acquire))
    }

    /// Notes a write, while the stripe is held.
    pub fn wrote(&self, stripe: Stripe, version: Version) {
        self.slot(stripe).newest.fetch_max(version.raw(), Ordering::AcqRel);
    }

    /// The greatest of all bounds.
    pub fn newest_of_all(&self) -> Version {
        let newest = self.slots.iter().map(|s| s.newest.load(Ordering::Acquire)).max();
        Version::of_item(newest.unwrap_or_default())
    }

    /// memcached is empty and nobody is writing: the bounds start again.
    pub fn forget_writes(&self) {
        for slot in &self.slots {
            slot.newest.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Party = Party(0);
    const B: Party = Party(1);

    #[test]
    fn a_party_shares_with_itself_until_another_waits() {
        let stripes = Stripes::new(16, Version::ZERO);
        assert!(stripes.acquire(7, A, Mode::Single, Turn::NONE));
        assert!(stripes.acquire(7, A, Mode::Single, Turn::NONE));
        assert!(!stripes.acquire(7, B, Mode::Single, Turn::NONE));
        assert!(!stripes.acquire(7, A, Mode::Single, Turn::NONE), "with a waiter the owner takes no new write");
        assert_eq!(stripes.release(7), None);
        assert_eq!(stripes.release(7), Some(B), "handed to the one who waits");
        assert!(!stripes.acquire(7, A, Mode::Single, Turn::NONE));
        assert!(stripes.acquire(7, B, Mode::Single, Turn::NONE));
        assert_eq!(stripes.release(7), Some(A));
        assert_eq!(stripes.relinquish(7, A), None);
        assert!(stripes.acquire(7, B, Mode::Exclusive, Turn::NONE));
    }

    #[test]
    fn in_its_turn_the_owner_goes_on_though_another_waits() {
        let stripes = Stripes::new(16, Version::ZERO);
        let (first, second) = (Turn::NONE.next(), Turn::NONE.next().next());
        assert!(stripes.acquire(7, A, Mode::Single, first));
        assert!(!stripes.acquire(7, B, Mode::Single, first));
        assert!(stripes.acquire(7, A, Mode::Single, first));
        assert!(!stripes.acquire(7, A, Mode::Exclusive, first));
        assert!(!stripes.acquire(7, A, Mode::Single, second), "the other one's turn");
        assert_eq!(stripes.release(7), None);
        assert_eq!(stripes.release(7), Some(B));
        assert!(!stripes.acquire(7, A, Mode::Single, first));
        assert!(stripes.acquire(7, B, Mode::Single, first), "a turn is that of one party");
        assert!(stripes.acquire(7, B, Mode::Single, first), "also of one that was waited for");
        assert_eq!(stripes.release(7), None);
        assert_eq!(stripes.release(7), Some(A));
    }

    #[test]
    fn without_a_waiter_the_turn_goes_on() {
        let stripes = Stripes::new(16, Version::ZERO);
        let mut turn = Turn::NONE;
        for _ in 0..1000 {
            turn = turn.next();
            assert_ne!(turn, Turn::NONE);
            assert!(stripes.acquire(7, A, Mode::Single, turn));
        }
        assert!(!stripes.acquire(7, B, Mode::Single, turn));
        assert!(stripes.acquire(7, A, Mode::Single, turn));
        assert!((0..1000).all(|_| stripes.release(7).is_none()));
        assert_eq!(stripes.release(7), Some(B));
    }

    #[test]
    fn the_parts_of_the_word_do_not_meet() {
        let parties = (0..MAX_PARTIES).filter_map(Party::new);
        for (party, mode) in parties.flat_map(|party| [(party, Mode::Single), (party, Mode::Exclusive)]) {
            let word = Word::build(Held { party, mode, turn: Turn(u8::MAX), count: COUNT }, (1 << MAX_PARTIES) - 1);
            assert_eq!((word.owner(), word.exclusive()), (Some(party), mode == Mode::Exclusive));
            assert_eq!((word.turn(), word.count(), word.waiters()), (Turn(u8::MAX), COUNT, (1 << MAX_PARTIES) - 1));
            assert!(word.taken(party, Mode::Single, Turn(u8::MAX)).is_none(), "no more than can be counted");
        }
    }

    #[test]
    fn exclusive_shares_with_nobody() {
        let stripes = Stripes::new(16, Version::ZERO);
        assert!(stripes.acquire(1, A, Mode::Exclusive, Turn::NONE));
        assert!(!stripes.acquire(1, A, Mode::Single, Turn::NONE));
        assert_eq!(stripes.release(1), Some(A));
        assert!(stripes.acquire(1, A, Mode::Single, Turn::NONE));
        assert!(!stripes.acquire(1, A, Mode::Exclusive, Turn::NONE));
        assert_eq!(stripes.release(1), Some(A));
    }

    #[test]
    fn relinquish_takes_back_a_mark() {
        let stripes = Stripes::new(16, Version::ZERO);
        assert!(stripes.acquire(1, A, Mode::Single, Turn::NONE));
        assert!(!stripes.acquire(1, B, Mode::Single, Turn::NONE));
        assert_eq!(stripes.relinquish(1, B), None);
        assert_eq!(stripes.release(1), None);
    }
}
