//! Identifiers in Stripe's style, from the twin's own seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Two streams, so that reading (request ids, previews) never changes the ids of what is created.
pub(super) struct Ids {
    objects: ChaCha8Rng,
    requests: ChaCha8Rng,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Ids {
        let objects = ChaCha8Rng::seed_from_u64(seed);
        let mut requests = ChaCha8Rng::seed_from_u64(seed);
        requests.set_stream(1);
        Ids { objects, requests }
    }

    /// `cus_`, `prod_`, `si_`…: fourteen characters.
    pub(super) fn short(&mut self, prefix: &str) -> String {
        draw(&mut self.objects, prefix, 14)
    }

    /// `sub_1…`, `in_1…`, `pi_3…`: the prefix ends with the digit that Stripe puts there.
    pub(super) fn long(&mut self, prefix: &str) -> String {
        draw(&mut self.objects, prefix, 23)
    }

    pub(super) fn word(&mut self, prefix: &str, length: usize) -> String {
        draw(&mut self.objects, prefix, length)
    }

    pub(super) fn request(&mut self) -> String {
        draw(&mut self.requests, "req_", 14)
    }

    /// An id for something that is shown but not kept.
    pub(super) fn fleeting(&mut self, prefix: &str) -> String {
        draw(&mut self.requests, prefix, 23)
    }
}

fn draw(rng: &mut ChaCha8Rng, prefix: &str, length: usize) -> String {
    let mut id = String::with_capacity(prefix.len() + length);
    id.push_str(prefix);
    for _ in 0..length {
        id.push(char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    }
    id
}
