//! What a node stores of its membership, so that it finds its cluster again after a restart.
//!
//! ```text
//! magic:8  version:u16  checksum:32  content        big-endian
//! checksum = SHA-256 of magic, version and content
//! content  = postcard(Snapshot)
//! ```

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::SnapshotError;
use crate::id::{Incarnation, NodeName};
use crate::wire::{Entry, read_whole};

const MAGIC: [u8; 8] = *b"partisan";
const VERSION: u16 = 1;
const CHECKSUM: usize = 32;
const HEADER: usize = MAGIC.len() + 2 + CHECKSUM;

/// What a node stores of its membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whose it is.
    pub name: NodeName,
    /// Its incarnation when it was written.
    pub incarnation: Incarnation,
    /// The incarnation in which its stay in the cluster began.
    pub joined: Incarnation,
    /// All that it knew of others, and of itself the removals.
    pub entries: Vec<Entry>,
}

impl Snapshot {
    /// Writes it, with a format version and a checksum.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; CHECKSUM]);
        // Serialising to a growing vector has no way to fail.
        let mut out = postcard::to_extend(self, out).expect("snapshots always serialise");
        let checksum = checksum(VERSION, &out[HEADER..]);
        out[HEADER - CHECKSUM..HEADER].copy_from_slice(&checksum);
        out.into()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`SnapshotError`] when it is none, of another version, damaged, or its content contradicts
    /// itself.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (header, content) =
            bytes.split_at_checked(HEADER).ok_or(SnapshotError::NotASnapshot)?;
        let (magic, header) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let (version, stored) = header.split_at(2);
        let found = u16::from_be_bytes([version[0], version[1]]);
        if found != VERSION {
            let known = VERSION;
            return Err(SnapshotError::Version { found, known });
        }
        if stored != checksum(found, content) {
            return Err(SnapshotError::Checksum);
        }
        let snapshot = read_whole(content).ok().filter(Self::is_sound);
        snapshot.ok_or(SnapshotError::Content)
    }

    fn is_sound(&self) -> bool {
        self.joined != Incarnation::NONE && self.joined <= self.incarnation
    }
}

fn checksum(version: u16, content: &[u8]) -> [u8; CHECKSUM] {
    Sha256::new()
        .chain_update(MAGIC)
        .chain_update(version.to_be_bytes())
        .chain_update(content)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Channels;
    use crate::id::NodeId;
    use crate::spec::NodeSpec;
    use crate::wire::Presence;
    use alloc::sync::Arc;
    use alloc::vec;

    fn sample() -> Snapshot {
        let name = NodeName::new("b@h").unwrap();
        let addresses = vec!["10.0.0.2:9000".parse().unwrap()];
        let spec = NodeSpec::new(name, addresses, &Channels::default(), vec![]).unwrap();
        let presence =
            Presence { incarnation: Incarnation(9), joined: Incarnation(8), spec: Arc::new(spec) };
        let member =
            Entry { node: presence.spec.id(), removed: Incarnation(7), presence: Some(presence) };
        let gone = Entry { node: NodeId::from_u64(77), removed: Incarnation(3), presence: None };
        Snapshot {
            name: NodeName::new("a@h").unwrap(),
            incarnation: Incarnation(5),
            joined: Incarnation(4),
            entries: vec![member, gone],
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        assert_eq!(Snapshot::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn cut_short_anywhere_it_is_refused() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            let error = Snapshot::decode(&bytes[..length]).unwrap_err();
            let expected = match length < HEADER {
                true => SnapshotError::NotASnapshot,
                false => SnapshotError::Checksum,
            };
            assert_eq!(error, expected, "cut at {length}");
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let good = sample().encode();
        for place in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = good.to_vec();
                bytes[place] ^= flip;
                let error = Snapshot::decode(&bytes).unwrap_err();
                let expected = match place {
                    0..8 => matches!(error, SnapshotError::NotASnapshot),
                    8..10 => matches!(error, SnapshotError::Version { known: VERSION, .. }),
                    _ => error == SnapshotError::Checksum,
                };
                assert!(expected, "byte {place}: {error:?}");
            }
        }
    }

    fn with_content(content: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&checksum(VERSION, content));
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn content_that_is_no_membership_is_refused_even_with_a_good_checksum() {
        let decode = |content: &[u8]| Snapshot::decode(&with_content(content));
        assert_eq!(decode(b"nonsense"), Err(SnapshotError::Content));
        assert_eq!(decode(b""), Err(SnapshotError::Content));
        let mut longer = postcard::to_allocvec(&sample()).unwrap();
        longer.push(0);
        assert_eq!(decode(&longer), Err(SnapshotError::Content));
    }

    #[test]
    fn a_stay_that_begins_never_or_after_the_incarnation_is_refused() {
        for joined in [0, 6] {
            let joined = Incarnation(joined);
            let bytes = Snapshot { joined, ..sample() }.encode();
            assert_eq!(Snapshot::decode(&bytes), Err(SnapshotError::Content));
        }
    }

    #[test]
    fn the_format_never_changes_unnoticed() {
        assert_eq!(sample().encode(), GOLDEN);
        assert_eq!(Snapshot::decode(GOLDEN), Ok(sample()));
    }

    /// Version 1: must be readable for ever.
    const GOLDEN: &[u8] = b"partisan\0\x01\
        \xe8\xfb\x0f<\xa9\xe5\xdc\xdca\xc44\xce\xbb\xbdqZE?\xe9\xf2\xdf\xccQ\xe49\xad\xfe\xbe\
        \xfc\xfc\xb6\x19\
        \x03a@h\x05\x04\x02\xcf\xcd\x98\xaa\xca\xc6\xb1\xb2v\x07\x01\t\x08\x03b@h\x01\0\0\n\0\0\
        \x02\xa8F\x02\x07default\x01\nmembership\x01\0M\x03\0";
}
