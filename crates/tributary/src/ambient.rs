//! The wall clock and the operating system's randomness. Only this module touches either; everything else is
//! handed a [`flow::clock::Clock`] and a [`flow::chance::Rng`].

use jiff::Timestamp;
use ring::rand::SecureRandom as _;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl flow::clock::Clock for WallClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the process reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The operating system's source of randomness.
#[derive(Debug)]
pub struct SystemRng(ring::rand::SystemRandom);

impl Default for SystemRng {
    fn default() -> Self {
        SystemRng(ring::rand::SystemRandom::new())
    }
}

impl flow::chance::Rng for SystemRng {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Ids, tokens and nonces made without randomness would be guessable: going on would be worse than stopping.
        self.0.fill(bytes).expect("the operating system gives randomness");
    }
}
