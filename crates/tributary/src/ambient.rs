//! The wall clock, the operating system's randomness, and what it says of this process. Only this module touches
//! these; everything else is handed a [`flow::clock::Clock`] and a [`flow::chance::Rng`].

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

/// Memory of this process that is in use, in bytes; nothing where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}
