//! Deterministic randomness: one seed a node, one independent stream a part.

use core::convert::Infallible;
use core::time::Duration;

use rand_core::{Rng, SeedableRng, TryRng};
use rand_pcg::Pcg32;
use sha2::{Digest, Sha256};

/// The seed of a node: everything random that the node does follows from it.
///
/// Drivers fill it from the operating system; simulators derive it from the seed of the run.
/// It must be unpredictable to peers where a shared secret is used, since the nonces of the
/// handshake follow from it too.
pub type Seed = [u8; 32];

/// A stream of random numbers (PCG32), forked by name from a [`Seed`].
///
/// Each part of a node owns a stream of its own, so that one more draw in one part does not change
/// what another part does. Not for secrets: see [`Nonces`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random(Pcg32);

impl Random {
    /// The stream called `name` of the node seeded with `seed`.
    #[must_use]
    pub fn fork(seed: &Seed, name: &str) -> Self {
        let digest = Sha256::new().chain_update(seed).chain_update(name).finalize();
        let mut state = [0; 16];
        state.copy_from_slice(&digest[..16]);
        Self(Pcg32::from_seed(state))
    }

    /// A number below `bound`; zero when `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply-shift: the bias is below 2^-32 for the sizes met here, and it never loops.
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        let product = u64::from(self.0.next_u32()) * u64::from(bound);
        (product >> 32) as usize
    }

    /// A span uniformly between zero and `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let product = u128::from(self.0.next_u64()) * (u128::from(nanos) + 1);
        Duration::from_nanos((product >> 64) as u64)
    }

    /// `true` with the given probability, in parts of one.
    pub fn chance(&mut self, probability: f64) -> bool {
        f64::from(self.0.next_u32()) < probability * 4_294_967_296.0
    }

    /// Puts `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.shuffle_front(items, items.len());
    }

    /// Moves a uniform sample of `count` items, in random order, to the front of `items`.
    pub fn shuffle_front<T>(&mut self, items: &mut [T], count: usize) {
        for i in 0..count.min(items.len()) {
            let j = i + self.below(items.len() - i);
            items.swap(i, j);
        }
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// The numbers used once of the handshake: SHA-256 of a secret key and a counter, so that peers
/// who have seen some cannot tell the next.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonces {
    key: [u8; 32],
    used: u64,
}

impl Nonces {
    /// The nonces of the node seeded with `seed`.
    #[must_use]
    pub fn new(seed: &Seed) -> Self {
        let key = Sha256::new().chain_update(seed).chain_update("nonces").finalize().into();
        Self { key, used: 0 }
    }

    /// A nonce that was not given before.
    pub fn draw(&mut self) -> [u8; 32] {
        self.used += 1;
        let number = self.used.to_be_bytes();
        Sha256::new().chain_update(self.key).chain_update(number).finalize().into()
    }
}

impl core::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Nonces").field("used", &self.used).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn streams_are_reproducible_and_independent() {
        let draw = |name| {
            let mut random = Random::fork(&[7; 32], name);
            (0..4).map(|_| random.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw("dial"), draw("dial"));
        assert_ne!(draw("dial"), draw("gossip"));
    }

    #[test]
    fn draws_respect_their_bounds() {
        let mut random = Random::fork(&[1; 32], "bounds");
        assert_eq!(random.below(0), 0);
        let most = Duration::from_millis(10);
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            seen[random.below(5)] = true;
            assert!(random.up_to(most) <= most);
        }
        assert_eq!(seen, [true; 5]);
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut random = Random::fork(&[1; 32], "shuffle");
        let mut items: Vec<u32> = (0..100).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn nonces_never_repeat() {
        let mut nonces = Nonces::new(&[3; 32]);
        assert_ne!(nonces.draw(), nonces.draw());
        assert_ne!(Nonces::new(&[4; 32]).draw(), Nonces::new(&[3; 32]).draw());
    }
}
