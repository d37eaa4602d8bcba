//! PURE but for the making of keys: the Secrets that certificates are kept in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use sidecar::control::protocol::Certificates;
use sidecar::tls::fingerprint;

use super::issue::{self, CertificateError, Certified, Purpose};
use super::{AuthorityView, LeafView, Step, View};

/// Content of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// The CA, and those before and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Signs.
    pub current: Certified,
    /// Will sign.
    pub next: Option<Certified>,
    /// Certificate of the one that signed before.
    pub previous: Option<String>,
}

/// What the pods mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// All CAs.
    pub authorities: String,
    /// Both sidecars'.
    pub leaf: Certified,
}

/// Everything of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the Secret that no pod mounts.
    pub authority: Option<Authority>,
    /// In the Secret that the pods mount.
    pub leaf: Option<Leaf>,
}

impl Authority {
    /// Reads a Secret; one that lacks the essential is as none.
    #[must_use]
    pub fn read(data: &Data) -> Option<Self> {
        let certified = |name: &str| {
            let (certificate, key) = (text(data, &format!("{name}.crt"))?, text(data, &format!("{name}.key"))?);
            Some(Certified { certificate, key })
        };
        let current = certified("ca").filter(|ca| issue::validity(&ca.certificate).is_ok())?;
        Some(Self { current, next: certified("next"), previous: text(data, "previous.crt") })
    }

    /// As a Secret.
    #[must_use]
    pub fn data(&self) -> Data {
        let mut data = Data::new();
        let mut put = |name: &str, text: &str| data.insert(name.to_owned(), ByteString(text.as_bytes().to_vec()));
        put("ca.crt", &self.current.certificate);
        put("ca.key", &self.current.key);
        if let Some(next) = &self.next {
            put("next.crt", &next.certificate);
            put("next.key", &next.key);
        }
        if let Some(previous) = &self.previous {
            put("previous.crt", previous);
        }
        data
    }

    /// Everybody that is trusted.
    fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| next.certificate.as_str());
        [Some(self.current.certificate.as_str()), next, self.previous.as_deref()].into_iter().flatten().collect()
    }
}

impl Leaf {
    /// Reads a Secret; one that lacks the essential is as none.
    #[must_use]
    pub fn read(data: &Data) -> Option<Self> {
        let leaf = Certified { certificate: text(data, "tls.crt")?, key: text(data, "tls.key")? };
        Some(Self { authorities: text(data, "ca.crt")?, leaf })
    }

    /// As a Secret.
    #[must_use]
    pub fn data(&self) -> Data {
        let files = [("ca.crt", &self.authorities), ("tls.crt", &self.leaf.certificate), ("tls.key", &self.leaf.key)];
        files.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec()))).into()
    }

    /// As a sidecar that uses it says it.
    #[must_use]
    pub fn fingerprints(&self) -> Certificates {
        Certificates {
            authorities: fingerprint(self.authorities.as_bytes()),
            leaf: fingerprint(self.leaf.certificate.as_bytes()),
        }
    }
}

impl Kept {
    /// What [`super::decide`] needs. `reports`: what the sidecars use, as far as they say it.
    #[must_use]
    pub fn view(&self, reports: [Option<&Certificates>; 2]) -> View {
        let authority = self.authority.as_ref();
        let leaf = self.leaf.as_ref().and_then(|leaf| {
            let signer = authority.map_or("", |authority| &authority.current.certificate);
            Some(LeafView {
                validity: issue::validity(&leaf.leaf.certificate).ok()?,
                signed: issue::is_signed_by(&leaf.leaf.certificate, signer),
                bundled: authority.is_some_and(|authority| authority.bundle() == leaf.authorities),
            })
        });
        let wanted = self.leaf.as_ref().map(Leaf::fingerprints);
        View {
            authority: authority.and_then(|authority| {
                Some(AuthorityView {
                    validity: issue::validity(&authority.current.certificate).ok()?,
                    has_next: authority.next.is_some(),
                    has_previous: authority.previous.is_some(),
                })
            }),
            leaf,
            in_use: wanted.is_some() && reports.iter().all(|report| *report == wanted.as_ref()),
        }
    }

    /// Takes a step.
    ///
    /// # Errors
    /// There is no randomness, or the CA is none.
    pub fn take(&mut self, step: Step, pair: &str, now: Timestamp) -> Result<(), CertificateError> {
        match (step, &mut self.authority) {
            (Step::Nothing, _) => {}
            (Step::NewAuthority, authority) => {
                // Whoever still has a certificate of a lost CA is trusted until he has a new one.
                let lost = self.leaf.as_ref().map(|leaf| leaf.authorities.clone()).filter(|all| !all.is_empty());
                *authority = Some(Authority { current: issue::authority(pair, now)?, next: None, previous: lost });
            }
            (Step::IntroduceNext, Some(authority)) => authority.next = Some(issue::authority(pair, now)?),
            (Step::SwitchToNext, Some(authority)) => {
                if let Some(next) = authority.next.take() {
                    authority.previous = Some(std::mem::replace(&mut authority.current, next).certificate);
                }
            }
            (Step::DropPrevious, Some(authority)) => authority.previous = None,
            (Step::NewLeaf, Some(authority)) => {
                let leaf = issue::leaf(&authority.current, Purpose::Sidecar, now)?;
                self.leaf = Some(Leaf { authorities: authority.bundle(), leaf });
            }
            (_, None) => {}
        }
        Ok(())
    }
}

fn text(data: &Data, name: &str) -> Option<String> {
    String::from_utf8(data.get(name)?.0.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::decide;

    /// Takes steps until there is nothing to do.
    fn settle(kept: &mut Kept, reports: [Option<&Certificates>; 2], now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..10 {
            let step = decide(&kept.view(reports), now);
            if step == Step::Nothing {
                return steps;
            }
            kept.take(step, "pair", now).unwrap();
            steps.push(step);
        }
        panic!("no end: {steps:?}");
    }

    #[test]
    fn a_pair_lives_through_all_of_its_certificates() {
        let day = |day: i64| Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap();
        let mut kept = Kept::default();
        assert_eq!(settle(&mut kept, [None, None], day(0)), [Step::NewAuthority, Step::NewLeaf]);
        // It survives being written and read.
        let read = Kept {
            authority: Authority::read(&kept.authority.as_ref().unwrap().data()),
            leaf: Leaf::read(&kept.leaf.as_ref().unwrap().data()),
        };
        assert_eq!(read, kept);
        assert_eq!(settle(&mut kept, [None, None], day(61)), [Step::NewLeaf]);

        let old = kept.authority.clone().unwrap().current.certificate;
        let day = day(3000);
        // Nobody has said yet that he knows the new CA.
        assert_eq!(settle(&mut kept, [None, None], day), [Step::NewLeaf, Step::IntroduceNext, Step::NewLeaf]);
        assert!(issue::is_signed_by(&kept.leaf.as_ref().unwrap().leaf.certificate, &old));
        let knows = kept.leaf.as_ref().unwrap().fingerprints();
        assert_eq!(settle(&mut kept, [Some(&knows), None], day), []);
        assert_eq!(settle(&mut kept, [Some(&knows), Some(&knows)], day), [Step::SwitchToNext, Step::NewLeaf]);
        let leaf = kept.leaf.clone().unwrap();
        assert!(!issue::is_signed_by(&leaf.leaf.certificate, &old) && leaf.authorities.contains(&old));
        let uses = leaf.fingerprints();
        assert_eq!(settle(&mut kept, [Some(&uses), Some(&knows)], day), []);
        assert_eq!(settle(&mut kept, [Some(&uses), Some(&uses)], day), [Step::DropPrevious, Step::NewLeaf]);
        assert!(!kept.leaf.unwrap().authorities.contains(&old));
    }

    #[test]
    fn a_lost_authority_is_still_trusted_for_a_while() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut kept = Kept::default();
        settle(&mut kept, [None, None], now);
        let before = kept.leaf.clone().unwrap();
        kept.authority = None;
        assert_eq!(settle(&mut kept, [None, None], now), [Step::NewAuthority, Step::NewLeaf]);
        let after = kept.leaf.unwrap();
        assert!(after.authorities.contains(&before.authorities) && after.authorities != before.authorities);
    }
}
