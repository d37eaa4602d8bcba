//! Certificates of a pair: its own CA, one leaf for both sidecars, and a leaf of the operator that is kept nowhere.
//!
//! [`decide`] is pure, as is [`given`], for certificates of the user's own; [`issue`] makes keys; [`secrets`] are the Secrets that all is kept in.

pub mod given;
pub mod issue;
pub mod secrets;

use jiff::{SignedDuration, Timestamp};

/// How long a CA is good.
pub const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// How long a leaf is good.
pub const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Certificates are good since so long before they were made, for clocks that are behind.
pub const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Validity {
    /// Whether so many percent of it are over.
    fn is_spent(&self, percent: i64, now: Timestamp) -> bool {
        let life = self.until.duration_since(self.from).as_secs();
        now.duration_since(self.from).as_secs() >= life / 100 * percent
    }
}

/// The CA, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityView {
    /// Of the one that signs.
    pub validity: Validity,
    /// There is one that will take its place.
    pub has_next: bool,
    /// There is one whose place it took.
    pub has_previous: bool,
}

/// The leaf, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafView {
    /// When it is good.
    pub validity: Validity,
    /// The CA that signs now has signed it.
    pub signed: bool,
    /// `ca.crt` beside it has every CA, and no other.
    pub bundled: bool,
}

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The CA.
    pub authority: Option<AuthorityView>,
    /// The leaf.
    pub leaf: Option<LeafView>,
    /// Both sidecars use the `ca.crt` and the leaf that are in the Secret.
    pub in_use: bool,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// A CA for a pair that has none.
    NewAuthority,
    /// A second CA, which everybody is to know before it signs.
    IntroduceNext,
    /// Everybody knows the second CA: it signs from now on.
    SwitchToNext,
    /// Everybody uses a leaf of the new CA: the old one goes.
    DropPrevious,
    /// A leaf, with all CAs beside it.
    NewLeaf,
}

/// Decides on one step; after it is taken, the next one is to be asked for.
#[must_use]
pub fn decide(view: &View, now: Timestamp) -> Step {
    let Some(authority) = view.authority else { return Step::NewAuthority };
    let Some(leaf) = view.leaf else { return Step::NewLeaf };
    if !leaf.signed || !leaf.bundled || leaf.validity.is_spent(66, now) {
        return Step::NewLeaf;
    }
    match authority {
        AuthorityView { has_next: true, .. } if view.in_use => Step::SwitchToNext,
        AuthorityView { has_next: true, .. } => Step::Nothing,
        AuthorityView { has_previous: true, .. } if view.in_use => Step::DropPrevious,
        AuthorityView { has_previous: true, .. } => Step::Nothing,
        AuthorityView { validity, .. } if validity.is_spent(80, now) => Step::IntroduceNext,
        _ => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn view() -> View {
        View {
            authority: Some(AuthorityView {
                validity: Validity { from: at(0), until: at(3650) },
                has_next: false,
                has_previous: false,
            }),
            leaf: Some(LeafView { validity: Validity { from: at(0), until: at(90) }, signed: true, bundled: true }),
            in_use: true,
        }
    }

    fn with(change: impl Fn(&mut AuthorityView, &mut LeafView), in_use: bool) -> View {
        let mut view = View { in_use, ..view() };
        if let (Some(authority), Some(leaf)) = (&mut view.authority, &mut view.leaf) {
            change(authority, leaf);
        }
        view
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_old_renewed() {
        assert_eq!(decide(&View { authority: None, ..view() }, at(0)), Step::NewAuthority);
        assert_eq!(decide(&View { leaf: None, ..view() }, at(0)), Step::NewLeaf);
        assert_eq!(decide(&view(), at(59)), Step::Nothing);
        assert_eq!(decide(&view(), at(60)), Step::NewLeaf);
        assert_eq!(decide(&with(|_, leaf| leaf.signed = false, true), at(0)), Step::NewLeaf);
        assert_eq!(decide(&with(|_, leaf| leaf.bundled = false, true), at(0)), Step::NewLeaf);
    }

    #[test]
    fn an_authority_is_replaced_without_a_moment_in_which_somebody_is_not_trusted() {
        let young = |leaf: &mut LeafView| leaf.validity = Validity { from: at(2919), until: at(3009) };
        let old = |change: fn(&mut AuthorityView), in_use| {
            with(
                |authority, leaf| {
                    young(leaf);
                    change(authority);
                },
                in_use,
            )
        };
        assert_eq!(decide(&old(|_| {}, true), at(2919)), Step::Nothing);
        assert_eq!(decide(&old(|_| {}, true), at(2920)), Step::IntroduceNext);
        assert_eq!(decide(&old(|ca| ca.has_next = true, false), at(2920)), Step::Nothing, "not everybody knows it");
        assert_eq!(decide(&old(|ca| ca.has_next = true, true), at(2920)), Step::SwitchToNext);
        assert_eq!(decide(&old(|ca| ca.has_previous = true, false), at(2920)), Step::Nothing, "an old leaf is in use");
        assert_eq!(decide(&old(|ca| ca.has_previous = true, true), at(2920)), Step::DropPrevious);
    }
}
