//! A Merkle tree over the keys of a replica, so that two replicas find what differs by telling each
//! other little (PlumDB's hash trees).
//!
//! Keys are spread over the leaves by their hashes. A leaf is the exclusive or of the digests of its
//! objects, so that one changes without looking at the others; a branch is the hash of its children.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How many children a branch has.
pub const FANOUT: usize = 16;
/// How many levels of branches there are, above the leaves.
pub const LEVELS: u32 = 3;

const LEAVES: usize = FANOUT.pow(LEVELS);

/// The hash of something, 64 bits of SHA-256.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> u64 {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    let bytes: [u8; 32] = sha.finalize().into();
    u64::from_be_bytes(std::array::from_fn(|place| bytes[place]))
}

/// The children of one branch, as they are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// How far below the root, which is 0.
    pub level: u32,
    /// Which of its level.
    pub index: u32,
    /// What its children are.
    pub children: [u64; FANOUT],
}

/// What a difference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {
    /// This branch, to be compared next.
    Branch {
        /// Its level.
        level: u32,
        /// Which of it.
        index: u32,
    },
    /// This leaf.
    Leaf(u32),
}

/// The tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// All levels, from the root to the leaves.
    levels: Vec<Vec<u64>>,
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree =
            Self { levels: (0..=LEVELS).map(|level| vec![0; FANOUT.pow(level)]).collect() };
        // From below, so that a tree without objects is the same however it came about.
        for level in (0..LEVELS).rev() {
            for index in 0..FANOUT.pow(level) {
                tree.renew(level, index);
            }
        }
        tree
    }
}

impl Tree {
    /// The leaf of a key.
    #[must_use]
    pub fn leaf(key: &[u8]) -> u32 {
        (hash(&[key]) % LEAVES as u64) as u32
    }

    /// What the whole tree is: equal for replicas that hold the same.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.levels[0][0]
    }

    /// The digest of an object of this key was one thing and is another; 0 for none.
    pub fn change(&mut self, key: &[u8], before: u64, after: u64) {
        let mut index = Self::leaf(key) as usize;
        self.levels[LEVELS as usize][index] ^= before ^ after;
        for level in (0..LEVELS).rev() {
            index /= FANOUT;
            self.renew(level, index);
        }
    }

    fn renew(&mut self, level: u32, index: usize) {
        let children = &self.levels[level as usize + 1][index * FANOUT..(index + 1) * FANOUT];
        let bytes: Vec<u8> = children.iter().flat_map(|child| child.to_be_bytes()).collect();
        self.levels[level as usize][index] = hash(&[&bytes]);
    }

    /// A branch, to be told; `None` where there is none.
    #[must_use]
    pub fn branch(&self, level: u32, index: u32) -> Option<Branch> {
        if level >= LEVELS {
            return None;
        }
        let first = index as usize * FANOUT;
        let children = self.levels[level as usize + 1].get(first..first + FANOUT)?;
        Some(Branch { level, index, children: children.try_into().ok()? })
    }

    /// Where a branch of another tree differs from this one's.
    #[must_use]
    pub fn compare(&self, theirs: &Branch) -> Vec<Differs> {
        let Some(ours) = self.branch(theirs.level, theirs.index) else {
            return Vec::new();
        };
        let differs = |child: usize| {
            let (level, index) = (theirs.level + 1, theirs.index * FANOUT as u32 + child as u32);
            match level {
                LEVELS => Differs::Leaf(index),
                _ => Differs::Branch { level, index },
            }
        };
        let children = 0..FANOUT;
        children.filter(|c| ours.children[*c] != theirs.children[*c]).map(differs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_what_it_holds_and_not_how_it_came_about() {
        let (mut here, mut there) = (Tree::default(), Tree::default());
        here.change(b"a", 0, 1);
        here.change(b"b", 0, 2);
        there.change(b"b", 0, 5);
        there.change(b"a", 0, 1);
        assert_ne!(here.root(), there.root());
        there.change(b"b", 5, 2);
        assert_eq!(here, there);
        here.change(b"a", 1, 0);
        here.change(b"b", 2, 0);
        assert_eq!(here, Tree::default());
    }

    #[test]
    fn a_difference_is_found_from_the_root_to_the_leaf() {
        let (mut here, there) = (Tree::default(), Tree::default());
        here.change(b"a", 0, 1);
        let mut branch = there.branch(0, 0).unwrap();
        for _ in 1..LEVELS {
            let [Differs::Branch { level, index }] = here.compare(&branch)[..] else {
                panic!("{branch:?}");
            };
            branch = there.branch(level, index).unwrap();
        }
        assert_eq!(here.compare(&branch), [Differs::Leaf(Tree::leaf(b"a"))]);
        assert_eq!(there.compare(&branch), []);
    }

    #[test]
    fn branches_that_there_cannot_be_differ_in_nothing() {
        let tree = Tree::default();
        for (level, index) in [(LEVELS, 0), (0, 1), (u32::MAX, u32::MAX), (1, u32::MAX)] {
            assert_eq!(tree.compare(&Branch { level, index, children: [1; FANOUT] }), []);
        }
    }
}
