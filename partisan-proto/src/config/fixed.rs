//! The static manager's configuration.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Channels, PluggableConfig, duration_text, positive, within};
use crate::error::ConfigError;
use crate::id::NodeName;
use crate::spec::{Address, NodeSpec};

/// The static manager (`partisan_static_peer_service_manager`): a list of peers that only the
/// application changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// The peers, dialled for ever. The node itself may be among them and is left out, so that all
    /// nodes can be given one list. What the application joined or removed at run time is stored,
    /// and goes before this list at the next start. Default empty.
    pub peers: Vec<StaticPeer>,
    /// Whether a node that is not listed is refused when it dials
    /// ([`Refusal::NotWanted`](crate::Refusal::NotWanted)); else it is connected, and no member.
    /// Default false.
    pub refuse_unlisted: bool,
    /// How often every connection is verified. Default 10 s (Partisan's `periodic_interval`).
    #[serde(with = "duration_text")]
    pub verify_interval: Duration,
    /// The most peers that may be listed, and removals remembered; a join beyond them is refused.
    /// Default 1,000.
    pub max_peers: usize,
    /// The most joins under way at once; another fails. Default 64.
    pub max_joins: usize,
}

/// A configured peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticPeer {
    /// Its name; another node at the address is refused.
    pub name: NodeName,
    /// Where it listens, tried in order, as text (`"10.0.0.1:9000"`); none for a peer that only
    /// dials.
    #[serde(default, with = "addresses_text")]
    pub addresses: Vec<Address>,
}

impl Default for StaticConfig {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            refuse_unlisted: false,
            verify_interval: Duration::from_secs(10),
            max_peers: 1_000,
            max_joins: 64,
        }
    }
}

impl StaticConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        positive("manager.static.verify_interval", self.verify_interval)?;
        within("manager.static.max_peers", self.max_peers as u64, 1, 1 << 20)?;
        within("manager.static.max_joins", self.max_joins as u64, 1, 1 << 16)?;
        let most = self.max_peers as u64;
        within("the number of manager.static.peers", self.peers.len() as u64, 0, most)?;
        let mut names = BTreeSet::new();
        for peer in &self.peers {
            if !names.insert(&peer.name) {
                return Err(ConfigError::PeerTwice { name: peer.name.clone() });
            }
            peer.spec()?;
        }
        Ok(())
    }

    /// What the machinery shared with the other strategies needs.
    pub(crate) fn machinery(&self) -> PluggableConfig {
        PluggableConfig {
            gossip_interval: self.verify_interval,
            max_members: self.max_peers,
            max_removals: self.max_peers,
            max_joins: self.max_joins,
            ..PluggableConfig::default()
        }
    }
}

impl StaticPeer {
    /// What is known of it before it was ever connected.
    pub(crate) fn spec(&self) -> Result<NodeSpec, ConfigError> {
        let Self { name, addresses } = self.clone();
        NodeSpec::new(name, addresses, &Channels::default(), Vec::new())
            .map_err(|error| ConfigError::BadPeer { name: self.name.clone(), error })
    }
}

/// Serde for addresses as a list of texts.
mod addresses_text {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::spec::Address;

    pub(super) fn serialize<S: Serializer>(
        addresses: &[Address],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(addresses.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Address>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SpecError;
    use alloc::vec;

    fn peer(name: &str, address: &str) -> StaticPeer {
        let name = NodeName::new(name).unwrap();
        StaticPeer { name, addresses: vec![address.parse().unwrap()] }
    }

    #[test]
    fn a_peer_listed_twice_or_that_nobody_could_dial_is_refused_by_name() {
        let twice = vec![peer("a@h", "10.0.0.1:1"), peer("a@h", "10.0.0.2:1")];
        let error = StaticConfig { peers: twice, ..StaticConfig::default() }.validate();
        assert!(matches!(error, Err(ConfigError::PeerTwice { name }) if name.as_str() == "a@h"));
        let nowhere = vec![peer("a@h", "0.0.0.0:1")];
        let error = StaticConfig { peers: nowhere, ..StaticConfig::default() }.validate();
        let Err(ConfigError::BadPeer { error: SpecError::NotDialable { .. }, .. }) = error else {
            panic!("{error:?}");
        };
    }

    #[test]
    fn more_peers_than_may_be_listed_are_refused() {
        let peers = vec![peer("a@h", "10.0.0.1:1"), peer("b@h", "10.0.0.2:1")];
        let config = StaticConfig { peers, max_peers: 1, ..StaticConfig::default() };
        assert!(matches!(config.validate(), Err(ConfigError::Range { given: 2, most: 1, .. })));
    }
}
