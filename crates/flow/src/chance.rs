//! Chance, handed in: whoever needs random bytes is given a source of them, so that a seed decides everything.

/// A source of random bytes. The binary gives one from the operating system, tests and simulation a seeded one.
pub trait Rng: Send {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<R: Rng + ?Sized> Rng for &mut R {
    fn fill(&mut self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

impl<R: Rng + ?Sized> Rng for Box<R> {
    fn fill(&mut self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}
