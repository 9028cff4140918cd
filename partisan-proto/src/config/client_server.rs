//! The client-server manager's configuration.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PluggableConfig, duration_text, positive, within};
use crate::error::ConfigError;
use crate::id::Tag;

/// The client-server manager (`partisan_client_server_peer_service_manager`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientServerConfig {
    /// The tag that makes a node a server. Default `server`, as in Partisan.
    pub server_tag: Tag,
    /// The tag that makes a node a client. Default `client`, as in Partisan.
    pub client_tag: Tag,
    /// To how many servers a client stays connected, where there are so many; besides those that
    /// its application joins. Default 2: when one is lost, the client is not.
    pub servers: usize,
    /// The longest wait of a client before it tries a server again that it lost; doubles with each
    /// failure. The wait is drawn between half of it and all of it. Default 1 s.
    #[serde(with = "duration_text")]
    pub retry_least: Duration,
    /// The cap on that wait. Default 30 s.
    #[serde(with = "duration_text")]
    pub retry_most: Duration,
    /// The period of the servers' gossip round. Default 10 s (Partisan's `periodic_interval`).
    #[serde(with = "duration_text")]
    pub gossip_interval: Duration,
    /// How many random servers a server contacts in a round. Default 3.
    pub fanout: usize,
    /// The shortest time between two messages of news to the same peers. Default 100 ms.
    #[serde(with = "duration_text")]
    pub news_interval: Duration,
    /// How long the removal of a member takes part in the comparison of digests. Default 1 h.
    #[serde(with = "duration_text")]
    pub removal_spread: Duration,
    /// How long the removal of a member is remembered at all. Default 24 h.
    #[serde(with = "duration_text")]
    pub removal_memory: Duration,
    /// The most members, clients and servers; news of another is refused and counted. Default
    /// 10,000.
    pub max_members: usize,
    /// The most removals remembered; the oldest is forgotten first. Default 10,000.
    pub max_removals: usize,
    /// The most joins under way at once; another fails. Default 64.
    pub max_joins: usize,
}

impl Default for ClientServerConfig {
    fn default() -> Self {
        let tag = |name| Tag::new(name).expect("a constant name is a good one");
        let shared = PluggableConfig::default();
        Self {
            server_tag: tag("server"),
            client_tag: tag("client"),
            servers: 2,
            retry_least: Duration::from_secs(1),
            retry_most: Duration::from_secs(30),
            gossip_interval: shared.gossip_interval,
            fanout: shared.fanout,
            news_interval: shared.news_interval,
            removal_spread: shared.removal_spread,
            removal_memory: shared.removal_memory,
            max_members: shared.max_members,
            max_removals: shared.max_removals,
            max_joins: shared.max_joins,
        }
    }
}

impl ClientServerConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.server_tag == self.client_tag {
            return Err(ConfigError::SameTag { tag: self.server_tag.clone() });
        }
        within("manager.client-server.servers", self.servers as u64, 1, 1_000)?;
        positive("manager.client-server.retry_least", self.retry_least)?;
        if self.retry_most < self.retry_least {
            return Err(ConfigError::Order {
                smaller: "manager.client-server.retry_least",
                greater: "manager.client-server.retry_most",
            });
        }
        positive("manager.client-server.gossip_interval", self.gossip_interval)?;
        positive("manager.client-server.news_interval", self.news_interval)?;
        positive("manager.client-server.removal_spread", self.removal_spread)?;
        within("manager.client-server.fanout", self.fanout as u64, 1, 1_000)?;
        within("manager.client-server.max_members", self.max_members as u64, 1, 1 << 20)?;
        within("manager.client-server.max_removals", self.max_removals as u64, 1, 1 << 20)?;
        within("manager.client-server.max_joins", self.max_joins as u64, 1, 1 << 16)?;
        if self.removal_memory < self.removal_spread {
            return Err(ConfigError::Order {
                smaller: "manager.client-server.removal_spread",
                greater: "manager.client-server.removal_memory",
            });
        }
        Ok(())
    }

    /// What the machinery shared with the other strategies needs.
    pub(crate) fn machinery(&self) -> PluggableConfig {
        PluggableConfig {
            gossip_interval: self.gossip_interval,
            fanout: self.fanout,
            news_interval: self.news_interval,
            removal_spread: self.removal_spread,
            removal_memory: self.removal_memory,
            max_members: self.max_members,
            max_removals: self.max_removals,
            max_joins: self.max_joins,
            ..PluggableConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_for_both_roles_is_refused() {
        let tag = Tag::new("node").unwrap();
        let both = ClientServerConfig {
            server_tag: tag.clone(),
            client_tag: tag.clone(),
            ..ClientServerConfig::default()
        };
        assert_eq!(both.validate(), Err(ConfigError::SameTag { tag }));
        ClientServerConfig::default().validate().unwrap();
    }
}
