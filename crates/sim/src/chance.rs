//! Chance from the seed: a stream for each use, so that what one draws does not move the others.

use flow::chance;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What a stream is for.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// Which faults are injected.
    Faults = 1,
    /// How long requests take.
    Latency,
    /// When events are sent.
    Post,
    /// Which commits wait a moment.
    Commits,
    /// What of unsynced writes survives.
    Disk,
    /// What people do who are asked.
    People,
    /// Ids, nonces and jitter of the nodes; one further stream for each start.
    Nodes = 1 << 16,
}

/// A stream of a seed.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of `seed` for one use.
    pub fn new(seed: u64, stream: Stream) -> Chance {
        Chance::numbered(seed, stream, 0)
    }

    /// The `number`th stream of its kind.
    pub fn numbered(seed: u64, stream: Stream, number: u64) -> Chance {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64 + number);
        Chance(rng)
    }

    /// A number in `from..=to`; `from` where the range is empty.
    pub fn pick(&mut self, from: u64, to: u64) -> u64 {
        self.0.random_range(from..=to.max(from))
    }

    /// A number in `from..=to`; `from` where the range is empty.
    pub fn signed(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..=to.max(from))
    }

    /// True in `percent` of the cases.
    pub fn hit(&mut self, percent: u64) -> bool {
        self.pick(1, 100) <= percent
    }

    /// One of the choices, which are not empty.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }
}

impl chance::Rng for Chance {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
