//! Payloads: one byte that tells how the rest is coded, then the rest.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// JSON as it is. Tag 1 is kept for compressed, 2 for sealed payloads.
const PLAIN: u8 = 0;

/// A payload is at most this many bytes; a vendor's event or answer is far below.
pub(crate) const MAX_BYTES: usize = 16 << 20;

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(PLAIN);
    serde_json::to_writer(&mut bytes, value).map_err(|error| Error::Refused(format!("payload: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::Refused(format!("a payload of {} bytes is more than {MAX_BYTES}", bytes.len())));
    }
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&PLAIN, rest)) => serde_json::from_slice(rest).map_err(|error| Error::corrupt(what, error)),
        Some((tag, _)) => Err(Error::corrupt(what, format!("codec {tag} is not known to this version"))),
        None => Err(Error::corrupt(what, "no bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn payloads_of_this_version_stay_readable() {
        let golden = b"\0{\"b\":1,\"a\":[null,\"x\"]}";
        let value: Value = decode("event", golden).unwrap();
        assert_eq!(value, json!({"b": 1, "a": [null, "x"]}));
        assert_eq!(encode(&value).unwrap(), golden);
    }

    #[test]
    fn what_does_not_decode_is_told() {
        for bytes in [&b""[..], b"\x01{}", b"\0{", b"{}"] {
            let result = decode::<Value>("event", bytes);
            assert!(matches!(result, Err(Error::Corrupt { what: "event", .. })), "{bytes:?}: {result:?}");
        }
    }

    #[test]
    fn payloads_have_a_limit() {
        assert!(encode(&"x".repeat(MAX_BYTES - 3)).is_ok());
        assert!(matches!(encode(&"x".repeat(MAX_BYTES)), Err(Error::Refused(_))));
    }
}
