//! Randomness by counting: each choice is a hash of what it is about.
//!
//! Not the next number of a shared stream: leaving one fault or one node out then changes no other
//! choice, which is what makes failing runs shrinkable.

use partisan_proto::{Duration, Seed};

/// What a choice is about; part of its hash.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Label {
    /// How long a frame or a packet of a dial travels.
    Latency = 1,
    /// How many of the frames in flight a reset destroys.
    PrefixLoss,
    /// When an end of a connection notices its death.
    Notice,
    /// The seed of a node.
    Node,
    /// Which faults there are.
    Faults,
    /// Which traffic and membership operations there are.
    Work,
    /// How a cluster is formed.
    Bootstrap,
    /// How many nodes there are, where a range is given.
    Size,
    /// A graph to compare with, or a sample of a graph.
    Graph,
    /// Where nodes stand, and how long their links are.
    Place,
    /// What befalls a cluster in a named scenario.
    Story,
    /// How an application treats a question.
    Application,
    /// When a process looks at its next input.
    Process,
}

/// The choice about `a` and `b` in the run of `seed`.
#[must_use]
pub const fn draw(seed: u64, label: Label, a: u64, b: u64) -> u64 {
    mix(mix(mix(seed ^ label as u64) ^ a) ^ b)
}

/// The finaliser of SplitMix64.
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The seed of the `birth`th life of node `node`.
#[must_use]
pub fn node_seed(seed: u64, node: usize, birth: u32) -> Seed {
    let mut out = [0; 32];
    let mut state = draw(seed, Label::Node, node as u64, u64::from(birth));
    for chunk in out.chunks_exact_mut(8) {
        state = mix(state);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    out
}

/// A stream of choices about one subject, for plans that are drawn before a run.
#[derive(Clone, Debug)]
pub struct Stream {
    base: u64,
    used: u64,
}

impl Stream {
    /// The stream about `subject`.
    #[must_use]
    pub const fn new(seed: u64, label: Label, subject: u64) -> Self {
        Self { base: draw(seed, label, subject, 0), used: 0 }
    }

    /// The stream without its next `count` numbers.
    #[must_use]
    pub const fn after(mut self, count: u64) -> Self {
        self.used += count;
        self
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.used += 1;
        mix(self.base ^ mix(self.used))
    }

    /// A number below `bound`, which must not be 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        scale(self.next_u64(), bound as u64) as usize
    }

    /// A span from `least` to `most`.
    pub fn span(&mut self, least: Duration, most: Duration) -> Duration {
        between(self.next_u64(), least, most)
    }

    /// `true` once in `times`.
    pub const fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Maps a uniform `number` to below `bound`.
#[must_use]
pub const fn scale(number: u64, bound: u64) -> u64 {
    ((number as u128 * bound as u128) >> 64) as u64
}

/// Maps a uniform `number` to a span from `least` to `most`.
#[must_use]
pub fn between(number: u64, least: Duration, most: Duration) -> Duration {
    let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
    Duration::from_nanos(least + scale(number, most.saturating_sub(least) + 1))
}
