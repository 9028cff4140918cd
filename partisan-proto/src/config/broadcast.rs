//! The configuration of broadcasts.

use alloc::collections::BTreeMap;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Channels, duration_text, positive, within};
use crate::error::ConfigError;
use crate::id::{ChannelId, ChannelName, HandlerName};

/// The most handlers, `default` included.
pub const MAX_HANDLERS: usize = 256;

/// How messages to all nodes spread (`partisan_plumtree_broadcast`; Plumtree, Leitão et al. 2007).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BroadcastConfig {
    /// The handlers, by name; `default` is there whether named or not. A node relays the messages
    /// of handlers that it does not have. Partisan's `broadcast_mods`.
    pub handlers: BTreeMap<HandlerName, HandlerOptions>,
    /// Whether one node, the anchor, shapes the shared tree by its heartbeats. Without, every
    /// message shapes it, as in the paper. All nodes must agree. Default true.
    pub heartbeats: bool,
    /// How often the anchor, and each sender with a tree of its own, renews its tree while messages
    /// are sent. A silent anchor is replaced after three and a half of these. Default 10 s
    /// (Partisan's `broadcast_heartbeat_interval`).
    #[serde(with = "duration_text")]
    pub heartbeat_interval: Duration,
    /// After so long without a message there are no heartbeats, and trees that nobody used are
    /// forgotten. Default 120 s.
    #[serde(with = "duration_text")]
    pub idle_timeout: Duration,
    /// Which senders get trees of their own. Default `repeating`.
    pub own_trees: OwnTrees,
    /// A sender repeats itself when its last message is no older than this. Default 30 s.
    #[serde(with = "duration_text")]
    pub repeat_window: Duration,
    /// The most trees of single senders that a node knows; messages of others use the shared one.
    /// One that was not used for a while makes room. Default 256.
    pub max_own_trees: usize,
    /// How long announcements are collected before they are sent together. Default 50 ms (Partisan's
    /// `lazy_tick_period` is 1 s, and its announcements are repeated until acknowledged; here they
    /// are sent once, since a session loses nothing).
    #[serde(with = "duration_text")]
    pub announce_interval: Duration,
    /// How long a node waits for an announced message, before it knows how long they usually take.
    /// Default 500 ms.
    #[serde(with = "duration_text")]
    pub graft_timeout: Duration,
    /// The longest that it waits, whatever it has learned. Default 5 s.
    #[serde(with = "duration_text")]
    pub max_graft_timeout: Duration,
    /// A way is given up for one that is shorter by so many hops, where messages shape the tree.
    /// Default 7 (the paper's experiments).
    pub optimize_threshold: u8,
    /// Up to so many neighbours all of them are used; of more, half as many are chosen, and those
    /// who choose this node. So a full mesh of many nodes costs no more than a partial view. At
    /// least 4. Default 16.
    pub max_links: usize,
    /// The most messages known to be missing; more are forgotten, and found by an exchange.
    /// Default 8,192.
    pub max_missing: usize,
    /// The most senders (lives of nodes) whose messages are told from each other for ever; those
    /// not heard of for longest make room, and an old message of theirs could be delivered again.
    /// Default 65,536.
    pub max_origins: usize,
    /// The most gaps in what a node has of one sender; the oldest is given up. Default 256.
    pub max_gaps: usize,
    /// Which messages are kept for others.
    pub cache: CacheConfig,
    /// Regular comparison with neighbours.
    pub exchange: ExchangeConfig,
    /// How long a handler may take to answer a question. Default 5 s.
    #[serde(with = "duration_text")]
    pub question_timeout: Duration,
    /// The most questions to handlers under way; what would need another is treated as if it were
    /// not answered. Default 1,024.
    pub max_questions: usize,
}

/// How the messages of one handler are treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandlerOptions {
    /// The channel they travel on. Default `default`.
    pub channel: ChannelName,
    /// Who keeps them. Default `core`.
    pub store: StoreConfig,
    /// Whether the sender's own handler is handed its messages as well. Default true; handlers that
    /// keep their messages have their own anyway and are never asked to merge them.
    pub deliver_to_sender: bool,
    /// The longest payload that may be sent, in bytes. Default 1 MiB.
    pub max_payload: u32,
    /// The most exchanges of this handler at once. Default 1.
    pub exchanges: usize,
}

/// Who keeps the messages of a handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreConfig {
    /// The node itself, for as long as its cache holds them.
    #[default]
    Core,
    /// The application: it is asked to merge, to judge, to find and to exchange them.
    Application,
}

/// Which senders get trees of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnTrees {
    /// None: all messages use the shared tree.
    Never,
    /// Those that repeat themselves.
    #[default]
    Repeating,
    /// All, from their second message on, however late it is.
    Always,
}

/// Which messages are kept for neighbours that lack them; the oldest go first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// The most messages. Default 8,192.
    pub messages: usize,
    /// The most bytes of payloads and keys. Default 16 MiB.
    pub bytes: usize,
    /// For how long. Default 120 s: longer than a dead connection goes unnoticed.
    #[serde(with = "duration_text")]
    pub age: Duration,
}

/// Anti-entropy: regular comparison with neighbours, which finds what broadcasts missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExchangeConfig {
    /// Whether exchanges are started. They are answered in any case. Default true.
    pub enabled: bool,
    /// How often some are started; each time up to half of it is added or taken away. Default 10 s
    /// (Partisan's `exchange_tick_period`).
    #[serde(with = "duration_text")]
    pub interval: Duration,
    /// The most exchanges at once, of all handlers together. Default 4 (Partisan's
    /// `broadcast_start_exchange_limit`).
    pub limit: usize,
    /// How long one may take. Default 60 s.
    #[serde(with = "duration_text")]
    pub deadline: Duration,
    /// With whom. Default `optimized`.
    pub selection: ExchangeSelection,
}

/// With which neighbours exchanges are made (Partisan's `exchange_selection`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeSelection {
    /// Those by whom no messages come, where there are any: they are more likely to differ. One in
    /// four is with any, since the only way to a part of the cluster is one by which they come.
    #[default]
    Optimized,
    /// Any.
    Normal,
}

impl Default for BroadcastConfig {
    fn default() -> Self {
        Self {
            handlers: BTreeMap::new(),
            heartbeats: true,
            heartbeat_interval: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            own_trees: OwnTrees::default(),
            repeat_window: Duration::from_secs(30),
            max_own_trees: 256,
            announce_interval: Duration::from_millis(50),
            graft_timeout: Duration::from_millis(500),
            max_graft_timeout: Duration::from_secs(5),
            optimize_threshold: 7,
            max_links: 16,
            max_missing: 8_192,
            max_origins: 65_536,
            max_gaps: 256,
            cache: CacheConfig::default(),
            exchange: ExchangeConfig::default(),
            question_timeout: Duration::from_secs(5),
            max_questions: 1_024,
        }
    }
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            channel: ChannelName::new(Channels::DEFAULT).expect("a constant name is a good one"),
            store: StoreConfig::default(),
            deliver_to_sender: true,
            max_payload: 1 << 20,
            exchanges: 1,
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { messages: 8_192, bytes: 16 << 20, age: Duration::from_secs(120) }
    }
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            limit: 4,
            deadline: Duration::from_secs(60),
            selection: ExchangeSelection::default(),
        }
    }
}

impl BroadcastConfig {
    /// The name of the handler that is always there.
    pub const DEFAULT_HANDLER: &'static str = "default";

    pub(super) fn validate(&self, channels: &Channels) -> Result<(), ConfigError> {
        positive("broadcast.heartbeat_interval", self.heartbeat_interval)?;
        positive("broadcast.announce_interval", self.announce_interval)?;
        positive("broadcast.graft_timeout", self.graft_timeout)?;
        positive("broadcast.question_timeout", self.question_timeout)?;
        positive("broadcast.cache.age", self.cache.age)?;
        positive("broadcast.exchange.interval", self.exchange.interval)?;
        positive("broadcast.exchange.deadline", self.exchange.deadline)?;
        let order = |smaller, greater| Err(ConfigError::Order { smaller, greater });
        if self.max_graft_timeout < self.graft_timeout {
            return order("broadcast.graft_timeout", "broadcast.max_graft_timeout");
        }
        // An anchor that beats on time must never be idle in between.
        if self.idle_timeout < self.heartbeat_interval {
            return order("broadcast.heartbeat_interval", "broadcast.idle_timeout");
        }
        within("broadcast.optimize_threshold", u64::from(self.optimize_threshold), 1, 255)?;
        within("broadcast.max_links", self.max_links as u64, 4, 1 << 16)?;
        within("broadcast.max_own_trees", self.max_own_trees as u64, 0, 1 << 16)?;
        within("broadcast.max_missing", self.max_missing as u64, 1, 1 << 20)?;
        within("broadcast.max_origins", self.max_origins as u64, 16, 1 << 24)?;
        within("broadcast.max_gaps", self.max_gaps as u64, 1, 1 << 16)?;
        within("broadcast.max_questions", self.max_questions as u64, 1, 1 << 20)?;
        within("broadcast.cache.messages", self.cache.messages as u64, 1, 1 << 24)?;
        within("broadcast.cache.bytes", self.cache.bytes as u64, 1, 1 << 40)?;
        within("broadcast.exchange.limit", self.exchange.limit as u64, 1, 1 << 10)?;
        self.validate_handlers(channels)
    }

    fn validate_handlers(&self, channels: &Channels) -> Result<(), ConfigError> {
        if self.handlers.len() >= MAX_HANDLERS {
            return Err(ConfigError::TooManyHandlers { most: MAX_HANDLERS });
        }
        for (name, options) in &self.handlers {
            let channel = channels.id(options.channel.as_str());
            if channel.is_none_or(|id| id == ChannelId::MEMBERSHIP) {
                return Err(ConfigError::HandlerChannel {
                    handler: name.clone(),
                    channel: options.channel.clone(),
                });
            }
            within("broadcast.handlers.exchanges", options.exchanges as u64, 1, 1 << 10)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use alloc::string::{String, ToString};

    fn complaint(change: impl FnOnce(&mut BroadcastConfig)) -> String {
        let mut config = Config::default();
        change(&mut config.broadcast);
        config.validate().unwrap_err().to_string()
    }

    fn handler(name: &str, channel: &str) -> (HandlerName, HandlerOptions) {
        let channel = ChannelName::new(channel).unwrap();
        (HandlerName::new(name).unwrap(), HandlerOptions { channel, ..HandlerOptions::default() })
    }

    #[test]
    fn the_defaults_are_those_of_partisan_and_of_the_paper() {
        let config = BroadcastConfig::default();
        assert_eq!(config.heartbeat_interval, Duration::from_secs(10));
        assert_eq!(config.exchange.interval, Duration::from_secs(10));
        assert_eq!(config.exchange.selection, ExchangeSelection::Optimized);
        assert_eq!(config.optimize_threshold, 7);
        Config::default().validate().unwrap();
    }

    #[test]
    fn each_bad_value_names_its_key() {
        assert!(complaint(|c| c.heartbeat_interval = Duration::ZERO).contains("heartbeat"));
        assert!(complaint(|c| c.max_links = 1).contains("broadcast.max_links"));
        assert!(complaint(|c| c.idle_timeout = Duration::ZERO).contains("idle_timeout"));
        assert!(complaint(|c| c.max_graft_timeout = Duration::ZERO).contains("max_graft_timeout"));
        assert!(complaint(|c| c.cache.messages = 0).contains("broadcast.cache.messages"));
        assert!(complaint(|c| c.exchange.limit = 0).contains("broadcast.exchange.limit"));
    }

    /// Checklist B15.
    #[test]
    fn a_handler_needs_a_channel_for_applications() {
        assert!(complaint(|c| c.handlers.extend([handler("a", "bulk")])).contains("bulk"));
        let reserved = complaint(|c| c.handlers.extend([handler("a", "membership")]));
        assert!(reserved.contains("membership"));
        let many = (0..MAX_HANDLERS).map(|n| handler(&alloc::format!("h{n}"), "default"));
        assert!(complaint(|c| c.handlers.extend(many)).contains("256"));
    }
}
