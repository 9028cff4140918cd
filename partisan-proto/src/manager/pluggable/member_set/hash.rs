//! The hash of an entry: the same on every node and in every version, since digests travel.

use core::hash::Hasher;
use core::net::IpAddr;

use crate::id::{Incarnation, NodeId};
use crate::spec::{Host, NodeSpec};
use crate::wire::{Presence, StableHasher};

pub(super) fn entry_hash(node: NodeId, removed: Incarnation, presence: Option<&Presence>) -> u64 {
    let mut hasher = StableHasher::default();
    hasher.write_u64(node.as_u64());
    hasher.write_u64(removed.0);
    if let Some(presence) = presence {
        hasher.write_u64(presence.incarnation.0);
        hasher.write_u64(presence.joined.0);
        hash_spec(&presence.spec, &mut hasher);
    }
    hasher.finish()
}

/// By hand: derived hashes are not promised to stay the same from one compiler to the next.
fn hash_spec(spec: &NodeSpec, hasher: &mut StableHasher) {
    hash_text(spec.name().as_str(), hasher);
    hasher.write_usize(spec.addresses().len());
    for address in spec.addresses() {
        match &address.host {
            Host::Ip(IpAddr::V4(ip)) => {
                hasher.write(&[4]);
                hasher.write(&ip.octets());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                hasher.write(&[6]);
                hasher.write(&ip.octets());
            }
            Host::Name(name) => {
                hasher.write(&[0]);
                hash_text(name, hasher);
            }
        }
        hasher.write_u16(address.port);
    }
    hasher.write_usize(spec.channels().len());
    for channel in spec.channels() {
        hash_text(channel.name.as_str(), hasher);
        hasher.write(&[channel.parallelism]);
    }
    hasher.write_usize(spec.tags().len());
    for tag in spec.tags() {
        hash_text(tag.as_str(), hasher);
    }
}

fn hash_text(text: &str, hasher: &mut StableHasher) {
    hasher.write_usize(text.len());
    hasher.write(text.as_bytes());
}
