//! The key of an effect: what makes a repetition recognisable to the vendor.

use flow::EffectRef;
use ring::digest::{Context, SHA256};

/// Characters of the hash kept: 26 of base32 carry 130 bits, and with the prefix fit every vendor's key field.
const KEY_HASH_CHARS: usize = 26;

/// What a run's effects have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose flow it is.
    pub workspace: String,
    /// Name of the flow, without its version: a deployed correction does not repeat what was done.
    pub flow: String,
    /// The triggering event as `<connection>/<dedupe key>`, the digest of several; the run's id where there is no event.
    pub trigger: String,
}

/// Which of several goes at the same effect this is. Both are 0 unless somebody asked for another go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// How often the run began afresh, re-reading everything (a state flow that left its lane).
    pub pass: u32,
    /// How often a definite failure of this very effect was retried by a person.
    pub retry: u32,
}

/// The key of one effect: equal in every attempt, after a crash, and when the event is replayed; different for
/// every other effect.
pub fn effect_key(origin: &Origin, effect: &EffectRef, again: Again) -> String {
    let mut hash = Context::new(&SHA256);
    let numbers = match again {
        Again { pass: 0, retry: 0 } => format!("{}", effect.generation),
        Again { pass, retry } => format!("{}+{retry}~{pass}", effect.generation),
    };
    let visit = effect.visit.to_string();
    for part in [&origin.workspace, &origin.flow, &origin.trigger, &effect.path, &visit, &numbers] {
        // Length first: no two lists of parts may hash alike.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("tby_{}", base32(hash.finish().as_ref(), KEY_HASH_CHARS))
}

/// Several names as one.
pub fn digest(names: &[String]) -> String {
    let mut hash = Context::new(&SHA256);
    for name in names {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    format!("{} events {}", names.len(), base32(hash.finish().as_ref(), KEY_HASH_CHARS))
}

/// RFC 4648 base32 in lower case, cut to `chars`; bits that fill no character are left out.
fn base32(bytes: &[u8], chars: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::with_capacity(chars);
    let (mut pending, mut bits) = (0u32, 0u32);
    for byte in bytes {
        pending = (pending << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            if out.len() == chars {
                return out;
            }
            bits -= 5;
            out.push(char::from(ALPHABET[((pending >> bits) & 31) as usize]));
        }
        pending &= (1 << bits) - 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { workspace: "default".into(), flow: "sync".into(), trigger: "stripe/evt_1".into() }
    }

    fn at(path: &str, visit: u32, generation: u32) -> EffectRef {
        EffectRef { path: path.into(), visit, generation }
    }

    #[test]
    fn base32_follows_rfc_4648() {
        for (bytes, chars, text) in
            [("fooba", 26, "mzxw6ytb"), ("foobafooba", 26, "mzxw6ytbmzxw6ytb"), ("foobar", 3, "mzx")]
        {
            assert_eq!(base32(bytes.as_bytes(), chars), text);
        }
    }

    /// A changed derivation would repeat every effect in flight when a node is upgraded.
    #[test]
    fn key_never_changes_between_releases() {
        let key = effect_key(&origin(), &at("/do/0/create", 0, 0), Again::default());
        assert_eq!(key, "tby_ythlse2ppimqqw3ufmwenx3biq");
    }

    #[test]
    fn names_together_are_none_of_others() {
        let of = |names: &[&str]| digest(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["s/a", "s/b"]), "2 events s2icw3t5pcznnycnu5lnxjedmp");
        assert_ne!(of(&["s/a", "s/b"]), of(&["s/as/b"]));
        assert_ne!(of(&["s/a", "s/b"]), of(&["s/as", "/b"]));
    }

    #[test]
    fn every_part_tells_effects_apart() {
        let effect = at("/do/0/create", 0, 0);
        let mut keys = vec![
            effect_key(&origin(), &effect, Again::default()),
            effect_key(&origin(), &at("/do/0/creat", 0, 0), Again::default()),
            effect_key(&origin(), &at("/do/0/create", 1, 0), Again::default()),
            effect_key(&origin(), &at("/do/0/create", 0, 1), Again::default()),
            effect_key(&origin(), &effect, Again { pass: 1, retry: 0 }),
            effect_key(&origin(), &effect, Again { pass: 0, retry: 1 }),
            effect_key(&Origin { workspace: "other".into(), ..origin() }, &effect, Again::default()),
            effect_key(
                &Origin { flow: "syn".into(), trigger: "cstripe/evt_1".into(), ..origin() },
                &effect,
                Again::default(),
            ),
            effect_key(&Origin { trigger: "stripe/evt_2".into(), ..origin() }, &effect, Again::default()),
        ];
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
        assert!(keys.iter().all(|key| key.len() == 30 && key.starts_with("tby_")));
    }
}
