//! Names of things: newtypes over text with a visible prefix, so that a log line tells what an id is of.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::chance::Rng;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so that an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 128 random bits as 26 characters.
fn random_text(prefix: &str, rng: &mut dyn Rng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill(&mut bytes);
    text(prefix, bytes)
}

/// 48 bits of milliseconds since 1970 and 80 random bits (the form of a ULID).
fn timed_text(prefix: &str, now: Timestamp, rng: &mut dyn Rng) -> String {
    let mut bytes = [0u8; 16];
    let (time, chance) = bytes.split_at_mut(6);
    time.copy_from_slice(&now.as_millisecond().max(0).to_be_bytes()[2..]);
    rng.fill(chance);
    text(prefix, bytes)
}

fn text(prefix: &str, bytes: [u8; 16]) -> String {
    let mut rest = u128::from_be_bytes(bytes);
    let mut text = [0u8; 26];
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    let mut id = String::with_capacity(prefix.len() + text.len());
    id.push_str(prefix);
    id.extend(text.iter().map(|&byte| char::from(byte)));
    id
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Takes text that is known to be such an id (from a table, a path); nothing is checked.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// A fresh id: the prefix and 128 bits from `rng`.
            pub fn random(rng: &mut dyn Rng) -> Self {
                Self(random_text(Self::PREFIX, rng))
            }

            /// A fresh id that begins with the time: what is made together lies together in an index, which then
            /// has few pages to write. For ids of which there are many; the time can be read off, so not for secrets.
            pub fn timed(now: Timestamp, rng: &mut dyn Rng) -> Self {
                Self(timed_text(Self::PREFIX, now, rng))
            }

            /// The whole id, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

id!(
    /// A stored event, `evt_…`: ours, not the vendor's.
    EventId, "evt_"
);
id!(
    /// A run of a flow, `run_…`.
    RunId, "run_"
);
id!(
    /// A webhook address, `hook_…`: unguessable, stands for a workspace and a connection.
    HookId, "hook_"
);
id!(
    /// A question to people, `appr_…`.
    ApprovalId, "appr_"
);
id!(
    /// A connection, `con_…`.
    ConnectionId, "con_"
);
id!(
    /// A workspace: a name that its owner chose, `default` if none did.
    WorkspaceId, ""
);

impl Default for WorkspaceId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl Rng for Counting {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }

    #[test]
    fn ids_show_their_kind_and_use_every_bit() {
        let mut rng = Counting(0);
        let first = RunId::random(&mut rng);
        assert_eq!(first.as_str(), "run_00041061050r3gg28a1c60t3gf");
        let second = RunId::random(&mut rng);
        assert_ne!(first, second);
        assert_eq!(HookId::random(&mut rng).as_str().len(), "hook_".len() + 26);
        assert_eq!(WorkspaceId::default().as_str(), "default");
    }

    #[test]
    fn timed_ids_sort_by_time_and_differ_within_it() {
        let mut rng = Counting(200);
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let ids: Vec<RunId> = [1_469_918_176_385, 1_469_918_176_386, 1_800_000_000_000]
            .map(|ms| RunId::timed(at(ms), &mut rng))
            .into();
        assert!(ids.is_sorted(), "{ids:?}");
        // The example of the ULID specification.
        assert!(ids[0].as_str().starts_with("run_01aryz6s41"), "{}", ids[0]);
        let one = at(1);
        assert_ne!(EventId::timed(one, &mut rng), EventId::timed(one, &mut rng));
    }

    #[test]
    fn ids_are_plain_text_in_json() {
        let id = EventId::new("evt_1");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"evt_1\"");
        assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), id);
    }
}
