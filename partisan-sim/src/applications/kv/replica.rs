//! One copy of the whole store, and how two copies become equal.

use std::collections::BTreeMap;

use partisan_proto::ProcessId;
use serde::{Deserialize, Serialize};

use super::object::{Context, Dot, Object};
use super::tree::{Branch, Differs, Tree, hash};

/// A key.
pub type Key = Vec<u8>;

/// What a replica takes from its users. What other replicas took it takes as well, so that all come
/// to hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest key, in bytes; the name of a broadcast has room for no more than 200.
    pub key: usize,
    /// The longest value, in bytes.
    pub value: usize,
    /// The most keys, deleted ones included.
    pub keys: usize,
    /// The most values of one key.
    pub siblings: usize,
    /// The most writers that one key remembers: each start of a node that wrote to it is one.
    pub writers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { key: 200, value: 64 << 10, keys: 1 << 20, siblings: 64, writers: 1 << 10 }
    }
}

/// Why a write was refused. Nothing was written, but for [`Refusal::TooFewCopies`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Choose a shorter key.
    #[error("the key is longer than {0} bytes; choose a shorter one")]
    KeyTooLong(usize),
    /// Divide the value.
    #[error("the value is longer than {0} bytes; divide it among several keys")]
    ValueTooLong(usize),
    /// Keys are never forgotten, deleted ones neither.
    #[error("there are {0} keys, and no room for one more")]
    TooManyKeys(usize),
    /// Read first, and write with what was read.
    #[error("the key has {0} concurrent values; read them, and replace them by one")]
    TooManySiblings(usize),
    /// Use another key.
    #[error("the key was written to in {0} lives of nodes; use another one")]
    TooManyWriters(usize),
    /// Too many writes wait for copies.
    #[error("{0} writes wait for copies; try again later")]
    Busy(usize),
    /// It is written, here and on those nodes, and is on its way to the others.
    #[error("written, but within the time only {} nodes said that they have it", holders.len())]
    TooFewCopies {
        /// The processes that hold it, the one that answers first.
        holders: Vec<ProcessId>,
    },
}

/// The objects of a leaf of the tree, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Which.
    pub index: u32,
    /// The keys, each with the digest of its object.
    pub digests: Vec<(Key, u64)>,
}

/// What two replicas that compare themselves tell each other, in turn, until one has nothing more
/// to say. What is too much for one step waits for the next exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Branches to compare.
    pub branches: Vec<Branch>,
    /// Leaves that differ.
    pub leaves: Vec<Leaf>,
    /// Objects that differ.
    pub objects: Vec<(Key, Object)>,
    /// Keys whose objects are wanted.
    pub wanted: Vec<Key>,
}

/// The most branches, and the most leaves, in a step.
const MOST_BRANCHES: usize = 64;
/// When the leaves of a step have so many keys, none is added; and the most that are wanted.
const MOST_KEYS: usize = 1_024;
/// When the objects of a step are so large, none is added, in bytes of values.
const MOST_BYTES: usize = 1 << 20;

impl Step {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One copy of the store.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// By leaf, then by key.
    objects: BTreeMap<(u32, Key), Object>,
    tree: Tree,
    limits: Limits,
}

impl Replica {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What is known of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Object> {
        self.objects.get(&(Tree::leaf(key), key.to_vec()))
    }

    /// All keys, deleted ones included, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Object)> {
        self.objects.iter().map(|((_, key), object)| (key, object))
    }

    /// Equal for replicas that hold the same.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.tree.root()
    }

    /// Writes a value, or deletes, replacing what `known` covers.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is written then.
    pub fn write(
        &mut self,
        writer: ProcessId,
        key: &[u8],
        known: &Context,
        value: Option<Vec<u8>>,
    ) -> Result<Dot, Refusal> {
        let Limits { key: longest, value: most, keys, siblings, writers } = self.limits;
        if key.len() > longest {
            return Err(Refusal::KeyTooLong(longest));
        }
        if value.as_ref().is_some_and(|value| value.len() > most) {
            return Err(Refusal::ValueTooLong(most));
        }
        let old = self.get(key);
        if old.is_none() && self.objects.len() >= keys {
            return Err(Refusal::TooManyKeys(keys));
        }
        let mut object = old.cloned().unwrap_or_default();
        let dot = object.write(writer, known, value).ok_or(Refusal::TooManyWriters(writers))?;
        if object.values().len() > siblings {
            return Err(Refusal::TooManySiblings(siblings));
        }
        if object.context().writers() > writers {
            return Err(Refusal::TooManyWriters(writers));
        }
        self.put(key, object);
        Ok(dot)
    }

    /// Takes in what another replica knows of a key; says whether any of it was news.
    pub fn merge(&mut self, key: &[u8], theirs: Object) -> bool {
        let mut object = self.get(key).cloned().unwrap_or_default();
        let news = object.merge(theirs);
        if news {
            self.put(key, object);
        }
        news
    }

    fn put(&mut self, key: &[u8], object: Object) {
        let place = (Tree::leaf(key), key.to_vec());
        let after = digest(key, &object);
        let old = self.objects.insert(place, object);
        self.tree.change(key, old.map_or(0, |old| digest(key, &old)), after);
    }

    /// The first step of a comparison.
    #[must_use]
    pub fn begin(&self) -> Step {
        Step { branches: self.tree.branch(0, 0).into_iter().collect(), ..Step::default() }
    }

    /// Takes in a step of another replica, and says the next one.
    pub fn step(&mut self, theirs: Step) -> Step {
        for (key, object) in theirs.objects {
            self.merge(&key, object);
        }
        let mut out = Step::default();
        for key in theirs.wanted {
            self.tell(&mut out, &key);
        }
        let mut keys = 0;
        let differences = theirs.branches.iter().flat_map(|branch| self.tree.compare(branch));
        for difference in differences.take(MOST_BRANCHES) {
            match difference {
                Differs::Branch { level, index } => {
                    out.branches.extend(self.tree.branch(level, index));
                }
                Differs::Leaf(index) if keys < MOST_KEYS => {
                    let digests: Vec<_> = self.digests(index).collect();
                    keys += digests.len();
                    out.leaves.push(Leaf { index, digests });
                }
                Differs::Leaf(_) => {}
            }
        }
        for leaf in theirs.leaves {
            self.compare(&mut out, leaf);
        }
        out.wanted.truncate(MOST_KEYS);
        out
    }

    /// Tells what differs in a leaf, and asks for it.
    fn compare(&self, out: &mut Step, Leaf { index, digests }: Leaf) {
        let theirs: BTreeMap<Key, u64> = digests.into_iter().collect();
        let ours: BTreeMap<Key, u64> = self.digests(index).collect();
        for key in ours.iter().filter(|(key, digest)| theirs.get(*key) != Some(digest)) {
            self.tell(out, key.0);
        }
        let differs = |(key, digest): &(Key, u64)| ours.get(key) != Some(digest);
        out.wanted.extend(theirs.into_iter().filter(differs).map(|(key, _)| key));
    }

    fn digests(&self, leaf: u32) -> impl Iterator<Item = (Key, u64)> {
        let of_leaf = self.objects.range((leaf, Key::new())..);
        let of_leaf = of_leaf.take_while(move |((index, _), _)| *index == leaf);
        of_leaf.map(|((_, key), object)| (key.clone(), digest(key, object)))
    }

    fn tell(&self, out: &mut Step, key: &[u8]) {
        let size = |object: &Object| object.values().values().map(Vec::len).sum::<usize>();
        let told: usize = out.objects.iter().map(|(_, object)| size(object)).sum();
        if let Some(object) = self.get(key)
            && told < MOST_BYTES
            && out.objects.len() < MOST_KEYS
        {
            out.objects.push((key.to_vec(), object.clone()));
        }
    }
}

fn digest(key: &[u8], object: &Object) -> u64 {
    // Maps and numbers always serialise.
    hash(&[key, &postcard::to_allocvec(object).unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use partisan_proto::{Incarnation, NodeId, Serial};
    use proptest::prelude::*;

    fn writer(number: u64) -> ProcessId {
        let node = NodeId::from_u64(number);
        ProcessId { node, birth: Incarnation(1), serial: Serial(1) }
    }

    /// Lets two replicas compare themselves once; says in how many steps.
    fn exchange(here: &mut Replica, there: &mut Replica) -> usize {
        let mut step = here.begin();
        for count in 0.. {
            if step.is_empty() {
                return count;
            }
            step = if count % 2 == 0 { there.step(step) } else { here.step(step) };
        }
        unreachable!("it counts for ever")
    }

    fn put(replica: &mut Replica, by: u64, key: u16) {
        let key = key.to_be_bytes();
        replica.write(writer(by), &key, &Context::default(), Some(key.to_vec())).unwrap();
    }

    #[test]
    fn replicas_that_are_equal_say_so_in_one_step() {
        let (mut here, mut there) = (Replica::default(), Replica::default());
        put(&mut here, 1, 7);
        assert_eq!(exchange(&mut here, &mut there), 5);
        assert_eq!(here.root(), there.root());
        assert_eq!(exchange(&mut here, &mut there), 1);
    }

    #[test]
    fn what_is_too_much_for_one_exchange_waits_for_the_next() {
        let (mut here, mut there) = (Replica::default(), Replica::default());
        (0..3_000).for_each(|key| put(&mut here, 1, key));
        let exchanges = (0..).find(|_| {
            exchange(&mut there, &mut here);
            here.root() == there.root()
        });
        assert!((1..400).contains(&exchanges.unwrap()), "{exchanges:?}");
        assert_eq!(there.iter().count(), 3_000);
    }

    #[test]
    fn limits_are_told() {
        let limits = Limits { key: 2, value: 2, keys: 1, siblings: 2, writers: 1 };
        let mut replica = Replica::new(limits);
        let mut write = |by, key: &[u8], value: &[u8]| {
            replica.write(writer(by), key, &Context::default(), Some(value.to_vec()))
        };
        assert_eq!(write(1, b"abc", b""), Err(Refusal::KeyTooLong(2)));
        assert_eq!(write(1, b"a", b"abc"), Err(Refusal::ValueTooLong(2)));
        write(1, b"a", b"1").unwrap();
        assert_eq!(write(1, b"b", b""), Err(Refusal::TooManyKeys(1)));
        assert_eq!(write(2, b"a", b""), Err(Refusal::TooManyWriters(1)));
        write(1, b"a", b"2").unwrap();
        assert_eq!(write(1, b"a", b"3"), Err(Refusal::TooManySiblings(2)));
    }

    proptest! {
        #[test]
        fn an_exchange_makes_replicas_equal(
            writes in proptest::collection::vec((any::<bool>(), 0..60_u16), 0..60),
        ) {
            let (mut here, mut there) = (Replica::default(), Replica::default());
            for (at, key) in writes {
                put(if at { &mut here } else { &mut there }, at.into(), key);
            }
            exchange(&mut here, &mut there);
            prop_assert_eq!(here.root(), there.root());
            prop_assert!(here.iter().eq(there.iter()));
        }
    }
}
