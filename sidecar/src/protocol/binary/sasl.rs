//! SASL as memcached `-S` with the mechanism PLAIN (RFC 4616) speaks it; measured on 1.6.38 and 1.6.45.

use super::answer::Status;

/// The mechanisms that there are.
pub const MECHANISMS: &[u8] = b"PLAIN";
/// The body of the answer to who is let in.
pub const WELCOME: &[u8] = b"Authenticated";
/// Longest name of a mechanism, in bytes; a longer one is not looked at (`MAX_SASL_MECH_LEN`).
pub const MAX_MECHANISM: usize = 32;
/// Longest response that is waited for, in bytes: three words of at most 255 and what divides them. A longer one is
/// thrown away and is wrong, so that who is not let in yet takes no memory.
pub const MAX_RESPONSE: u32 = 1024;
/// memcached itself has no memory for a response from so many bytes on (`slab_chunk_max`, by default).
pub const HUGE_RESPONSE: u32 = 512 * 1024;

/// Stands for a response over [`MAX_RESPONSE`]: it is as wrong.
pub const TOO_LONG: &[u8] = b"\0";

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sasl {
    /// Nobody is asked; the opcodes are unknown, as without `-S`.
    #[default]
    Off,
    /// It may only ask for the version and say who it is.
    Locked,
    /// The same, and it has named the mechanism without a response: that comes in a step.
    Begun,
    /// It may do everything.
    Granted,
}

/// What a client says to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    /// `auth`.
    Auth {
        /// Its name, in any case.
        mechanism: &'a [u8],
        /// May be empty.
        response: &'a [u8],
    },
    /// `step`; the mechanism is not looked at.
    Step {
        /// The response.
        response: &'a [u8],
    },
}

impl Sasl {
    /// Whether everything may be asked.
    #[must_use]
    #[inline]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Off | Self::Granted)
    }

    /// What becomes of a connection that lists the mechanisms: it is not let in any more.
    #[must_use]
    pub fn listed(self) -> Self {
        if self == Self::Granted { Self::Locked } else { self }
    }

    /// What becomes of a connection by what it says, and the status of the answer. Whoever was let in and says something
    /// wrong is let in no more. `check` is told the user and the password.
    #[must_use]
    pub fn claimed(self, claim: Claim<'_>, check: impl FnOnce(&[u8], &[u8]) -> bool) -> (Self, Status) {
        let (response, otherwise) = match (self, claim) {
            (_, Claim::Auth { mechanism, response }) if mechanism.eq_ignore_ascii_case(MECHANISMS) => {
                if response.is_empty() {
                    return (Self::Begun, Status::AuthContinue);
                }
                (response, Self::Locked)
            }
            (Self::Begun, Claim::Step { response }) => (response, Self::Begun),
            _ => return (Self::Locked, Status::AuthError),
        };
        match plain(response) {
            Some((user, password)) if check(user, password) => (Self::Granted, Status::Ok),
            _ => (otherwise, Status::AuthError),
        }
    }
}

/// User and password of `[authzid] NUL authcid NUL password`. Nobody may act for another: an authzid that is another
/// name is wrong.
fn plain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = response.split(|byte| *byte == 0);
    let (authorized, user, password) = (words.next()?, words.next()?, words.next()?);
    let own = authorized.is_empty() || authorized == user;
    (own && !user.is_empty() && words.next().is_none()).then_some((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"\0user\0secret";
    const BAD: &[u8] = b"\0user\0nope";

    fn auth(response: &[u8]) -> Claim<'_> {
        Claim::Auth { mechanism: b"PLAIN", response }
    }

    /// Each claim in turn, from a connection that is locked.
    fn play(claims: &[Claim<'_>]) -> (Sasl, Vec<Status>) {
        let mut state = Sasl::Locked;
        let answer = |claim: &Claim<'_>| {
            let (next, status) = state.claimed(*claim, |user, password| user == b"user" && password == b"secret");
            state = next;
            status
        };
        let answers = claims.iter().map(answer).collect();
        (state, answers)
    }

    #[test]
    fn who_is_let_in() {
        use Status::{AuthContinue, AuthError, Ok};
        let step = |response| Claim::Step { response };
        for (claims, state, answers) in [
            (&[auth(GOOD)][..], Sasl::Granted, &[Ok][..]),
            (&[auth(BAD), auth(GOOD)], Sasl::Granted, &[AuthError, Ok]),
            (&[auth(GOOD), auth(BAD)], Sasl::Locked, &[Ok, AuthError]),
            (&[auth(b""), step(GOOD)], Sasl::Granted, &[AuthContinue, Ok]),
            (&[auth(b""), step(BAD), step(GOOD)], Sasl::Granted, &[AuthContinue, AuthError, Ok]),
            (&[step(GOOD)], Sasl::Locked, &[AuthError]),
            (&[auth(GOOD), step(GOOD)], Sasl::Locked, &[Ok, AuthError]),
            (&[auth(b"user\0user\0secret")], Sasl::Granted, &[Ok]),
            (&[auth(b"other\0user\0secret")], Sasl::Locked, &[AuthError]),
            (&[auth(b"\0user\0secret\0")], Sasl::Locked, &[AuthError]),
            (&[auth(b"\0user")], Sasl::Locked, &[AuthError]),
            (&[auth(b"\0\0secret")], Sasl::Locked, &[AuthError]),
            (&[auth(b"nonul")], Sasl::Locked, &[AuthError]),
            (&[auth(b""), step(TOO_LONG), step(GOOD)], Sasl::Granted, &[AuthContinue, AuthError, Ok]),
        ] {
            assert_eq!(play(claims), (state, answers.to_vec()), "{claims:?}");
        }
    }

    #[test]
    fn mechanisms_have_no_case_and_there_is_one() {
        let claim = |mechanism| Claim::Auth { mechanism, response: GOOD };
        assert_eq!(play(&[claim(b"plain")]).0, Sasl::Granted);
        assert_eq!(play(&[claim(b"CRAM-MD5")]).0, Sasl::Locked);
        assert_eq!(Sasl::Granted.listed(), Sasl::Locked);
    }
}
