//! Everything that can be configured, one struct a part, with its defaults and where they are from.
//!
//! All of it is serde-readable, so that a TOML file can hold it; spans of time are written as text
//! (`"10s"`, `"1500ms"`). Unknown keys are errors. [`Config::validate`] checks ranges and
//! combinations; a [`Node`](crate::Node) refuses to start on a bad one.

mod broadcast;
mod call;
mod channels;
mod client_server;
mod delivery;
mod fixed;
mod hyparview;
mod partitions;
mod process;
mod relay;
mod scamp;

pub use broadcast::{
    BroadcastConfig, CacheConfig, ExchangeConfig, ExchangeSelection, HandlerOptions, MAX_HANDLERS,
    OwnTrees, StoreConfig,
};
pub use call::CallConfig;
pub use channels::{ChannelOptions, Channels, Compression, MAX_CHANNELS, MAX_PARALLELISM};
pub use client_server::ClientServerConfig;
pub use delivery::{DeliveryConfig, MAX_LABELS};
pub use fixed::{StaticConfig, StaticPeer};
pub use hyparview::{Criterion, HyParViewConfig, Oracle, XBotConfig};
pub use partitions::PartitionsConfig;
pub use process::ProcessConfig;
pub use relay::RelayConfig;
pub use scamp::{ScampConfig, StrategyConfig};

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::id::ClusterName;

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The cluster: nodes with another cluster name are refused at the handshake.
    pub cluster: ClusterName,
    /// Proof of membership: when set, each side of a connection must prove by challenge and
    /// response that it knows it. It never travels. At least 16 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The channels, `membership` and `default` included whether named or not.
    pub channels: Channels,
    /// How connections are opened, watched and bounded.
    pub connections: ConnectionsConfig,
    /// Who decides who is a member.
    pub manager: ManagerConfig,
    /// How messages to nodes that are not connected travel.
    pub relay: RelayConfig,
    /// How many injected partitions a node puts up with.
    pub partitions: PartitionsConfig,
    /// How messages to all nodes spread.
    pub broadcast: BroadcastConfig,
    /// How many processes, names, monitors, links and timers there may be.
    pub processes: ProcessConfig,
    /// How many calls may be under way.
    pub calls: CallConfig,
    /// How messages are delivered that must arrive.
    pub delivery: DeliveryConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: ClusterName::new("partisan").expect("a constant name is a good one"),
            secret: None,
            channels: Channels::default(),
            connections: ConnectionsConfig::default(),
            manager: ManagerConfig::default(),
            relay: RelayConfig::default(),
            partitions: PartitionsConfig::default(),
            broadcast: BroadcastConfig::default(),
            processes: ProcessConfig::default(),
            calls: CallConfig::default(),
            delivery: DeliveryConfig::default(),
        }
    }
}

impl Config {
    /// Checks every range and combination.
    ///
    /// # Errors
    /// The first [`ConfigError`] found; it names the key and says what to write instead.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.secret.as_ref().is_some_and(|secret| secret.0.len() < Secret::SHORTEST) {
            return Err(ConfigError::SecretTooShort { least: Secret::SHORTEST });
        }
        self.connections.validate()?;
        self.relay.validate()?;
        self.partitions.validate()?;
        self.processes.validate()?;
        self.calls.validate()?;
        self.delivery.validate()?;
        self.broadcast.validate(&self.channels)?;
        match &self.manager {
            ManagerConfig::Pluggable(pluggable) => pluggable.validate(),
            ManagerConfig::Static(fixed) => fixed.validate(),
            ManagerConfig::ClientServer(star) => star.validate(),
            ManagerConfig::HyParView(hyparview) => hyparview.validate(),
        }
    }
}

/// A shared secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Secret {
    /// The fewest bytes a secret may have.
    pub const SHORTEST: usize = 16;
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How connections are opened, watched and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionsConfig {
    /// How long one address may take to answer a dial. Default 1 s (Partisan's connect timeout).
    #[serde(with = "duration_text")]
    pub dial_timeout: Duration,
    /// How long a handshake may take, from the opening of the connection to its end. Default 5 s.
    #[serde(with = "duration_text")]
    pub handshake_timeout: Duration,
    /// The longest wait before the second dial of a peer; doubles with each failure. The wait is
    /// drawn between half of it and all of it. Default 1 s (Partisan's `connection_interval`).
    #[serde(with = "duration_text")]
    pub retry_least: Duration,
    /// The cap on the wait between dials. Default 30 s.
    #[serde(with = "duration_text")]
    pub retry_most: Duration,
    /// Of two peers that hear of each other, one dials at once; the other waits this long for
    /// it before dialling too. Default 2 s.
    #[serde(with = "duration_text")]
    pub dial_grace: Duration,
    /// How dead peers are found on connections that say nothing.
    pub keep_alive: KeepAliveConfig,
    /// The most bytes a frame may have after its length, 1 KiB to 1 GiB. Told to peers at the
    /// handshake; a longer frame closes the connection. Default 16 MiB.
    pub max_frame: u32,
    /// The most accepted connections that have not finished their handshake; another is closed at
    /// once. Default 256.
    pub max_pending: usize,
    /// The most connections, of all kinds; another accepted one is closed at once and no other is
    /// dialled. Default 65,536.
    pub max_connections: usize,
    /// Whether a message on a channel that the peer does not have goes by the `default` channel
    /// instead of failing. Never because a lane is down for the moment: that would break the order
    /// of messages. Default true (Partisan's `channel_fallback`).
    pub channel_fallback: bool,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(5),
            retry_least: Duration::from_secs(1),
            retry_most: Duration::from_secs(30),
            dial_grace: Duration::from_secs(2),
            keep_alive: KeepAliveConfig::default(),
            max_frame: 16 << 20,
            max_pending: 256,
            max_connections: 65_536,
            channel_fallback: true,
        }
    }
}

impl ConnectionsConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        positive("connections.dial_timeout", self.dial_timeout)?;
        positive("connections.handshake_timeout", self.handshake_timeout)?;
        positive("connections.retry_least", self.retry_least)?;
        if self.retry_most < self.retry_least {
            return Err(ConfigError::Order {
                smaller: "connections.retry_least",
                greater: "connections.retry_most",
            });
        }
        within("connections.max_frame", u64::from(self.max_frame), 1 << 10, 1 << 30)?;
        within("connections.max_pending", self.max_pending as u64, 1, 1 << 20)?;
        within("connections.max_connections", self.max_connections as u64, 1, 1 << 24)?;
        self.keep_alive.validate()
    }
}

/// Keep-alive: a ping after some silence, again while it goes unanswered, then the end.
///
/// Partisan's `connection_ping`; a silent peer is noticed after
/// `idle_timeout + max_attempts * ping_timeout` (70 s by default).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepAliveConfig {
    /// Whether pings are sent at all. They are answered in any case. Default true.
    pub enabled: bool,
    /// How long a connection may be silent before a ping; the accepting side waits a quarter
    /// longer, so that one side usually spares the other the asking. Default 20 s.
    #[serde(with = "duration_text")]
    pub idle_timeout: Duration,
    /// How long a ping may go unanswered before the next. Default 10 s.
    #[serde(with = "duration_text")]
    pub ping_timeout: Duration,
    /// Unanswered pings after which the connection is closed. Default 5.
    pub max_attempts: u8,
}

impl Default for KeepAliveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            idle_timeout: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            max_attempts: 5,
        }
    }
}

impl KeepAliveConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        positive("connections.keep_alive.idle_timeout", self.idle_timeout)?;
        positive("connections.keep_alive.ping_timeout", self.ping_timeout)?;
        within("connections.keep_alive.max_attempts", u64::from(self.max_attempts), 1, 255)
    }
}

/// Which manager a node uses, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ManagerConfig {
    /// A membership strategy of choice; by default a full mesh: every member connected to every
    /// other.
    Pluggable(PluggableConfig),
    /// A fixed list of peers.
    Static(StaticConfig),
    /// Servers in a full mesh, and clients connected to servers alone.
    ClientServer(ClientServerConfig),
    /// Partial views of a large cluster. Behind a pointer that every node with this configuration
    /// shares, since one process may have very many of them.
    #[serde(rename = "hyparview")]
    HyParView(Arc<HyParViewConfig>),
}

impl From<HyParViewConfig> for ManagerConfig {
    fn from(hyparview: HyParViewConfig) -> Self {
        Self::HyParView(Arc::new(hyparview))
    }
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self::Pluggable(PluggableConfig::default())
    }
}

/// The pluggable manager (`partisan_pluggable_peer_service_manager`); by default with the full
/// strategy (`partisan_full_membership_strategy`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluggableConfig {
    /// By which rules news of members spreads. Default: the full strategy.
    pub strategy: StrategyConfig,
    /// The period of the gossip round: digests to some peers, and every connection verified.
    /// Default 10 s (Partisan's `periodic_interval`).
    #[serde(with = "duration_text")]
    pub gossip_interval: Duration,
    /// How many random peers a round contacts, and to how many a node passes news on. Default 3.
    pub fanout: usize,
    /// The shortest time between two messages of news to the same peers: the first news goes at
    /// once, what follows within this time goes together. Default 100 ms.
    #[serde(with = "duration_text")]
    pub news_interval: Duration,
    /// How long the removal of a member takes part in the comparison of digests. Default 1 h.
    #[serde(with = "duration_text")]
    pub removal_spread: Duration,
    /// How long the removal of a member is remembered at all, as a guard against stale news.
    /// Default 24 h.
    #[serde(with = "duration_text")]
    pub removal_memory: Duration,
    /// The most members a node accepts; news of another is refused and counted. Default 10,000.
    pub max_members: usize,
    /// The most removals remembered; the oldest is forgotten first. Default 10,000.
    pub max_removals: usize,
    /// The most joins under way at once; another fails. Default 64.
    pub max_joins: usize,
}

impl Default for PluggableConfig {
    fn default() -> Self {
        Self {
            strategy: StrategyConfig::default(),
            gossip_interval: Duration::from_secs(10),
            fanout: 3,
            news_interval: Duration::from_millis(100),
            removal_spread: Duration::from_secs(3600),
            removal_memory: Duration::from_secs(86_400),
            max_members: 10_000,
            max_removals: 10_000,
            max_joins: 64,
        }
    }
}

impl PluggableConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        positive("manager.pluggable.gossip_interval", self.gossip_interval)?;
        positive("manager.pluggable.news_interval", self.news_interval)?;
        positive("manager.pluggable.removal_spread", self.removal_spread)?;
        self.strategy.validate()?;
        within("manager.pluggable.fanout", self.fanout as u64, 1, 1_000)?;
        within("manager.pluggable.max_members", self.max_members as u64, 1, 1 << 20)?;
        within("manager.pluggable.max_removals", self.max_removals as u64, 1, 1 << 20)?;
        within("manager.pluggable.max_joins", self.max_joins as u64, 1, 1 << 16)?;
        if self.removal_memory < self.removal_spread {
            return Err(ConfigError::Order {
                smaller: "manager.pluggable.removal_spread",
                greater: "manager.pluggable.removal_memory",
            });
        }
        Ok(())
    }
}

const fn positive(key: &'static str, span: Duration) -> Result<(), ConfigError> {
    if span.is_zero() { Err(ConfigError::Zero { key }) } else { Ok(()) }
}

const fn within(key: &'static str, given: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if given < least || given > most {
        return Err(ConfigError::Range { key, given, least, most });
    }
    Ok(())
}

/// Serde for spans of time as text: a whole number and `ns`, `us`, `ms`, `s`, `m`, `h` or `d`.
pub mod duration_text {
    use alloc::format;
    use alloc::string::String;
    use core::fmt;
    use core::time::Duration;

    use serde::{Deserializer, Serializer, de};

    const UNITS: [(&str, u64); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];

    /// Reads one span; `None` when the text is not a whole number and a unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Duration> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = text[..split].parse().ok()?;
        let unit = text[split..].trim_start();
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*nanos).map(Duration::from_nanos)
    }

    /// Writes a span with the largest unit that is exact.
    #[must_use]
    pub fn show(span: Duration) -> String {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let exact = UNITS.iter().find(|(_, unit)| nanos.is_multiple_of(*unit) && nanos >= *unit);
        match exact {
            Some((name, unit)) => format!("{}{name}", nanos / unit),
            None => "0s".into(),
        }
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show(*span))
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// When the text is not a whole number and a unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(SpanVisitor)
    }

    struct SpanVisitor;

    impl de::Visitor<'_> for SpanVisitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number and a unit between quotes, as in \"1500ms\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).ok_or_else(|| {
                E::custom(format!(
                    "`{text}` is no span of time; write a whole number and ns, us, ms, s, m, h \
                     or d, as in \"1500ms\""
                ))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_are_those_of_partisan() {
        let config = Config::default();
        config.validate().unwrap();
        let keep_alive = &config.connections.keep_alive;
        assert_eq!(keep_alive.idle_timeout, Duration::from_secs(20));
        assert_eq!(keep_alive.ping_timeout, Duration::from_secs(10));
        assert_eq!(keep_alive.max_attempts, 5);
        assert_eq!(config.connections.dial_timeout, Duration::from_secs(1));
        let ManagerConfig::Pluggable(pluggable) = config.manager else {
            panic!("another manager by default");
        };
        assert_eq!(pluggable.gossip_interval, Duration::from_secs(10));
    }

    #[test]
    fn each_bad_value_names_its_key() {
        let check = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            alloc::string::ToString::to_string(&config.validate().unwrap_err())
        };
        assert!(check(|c| c.connections.max_frame = 10).contains("connections.max_frame"));
        assert!(check(|c| c.connections.retry_most = Duration::ZERO).contains("retry_most"));
        assert!(check(|c| c.connections.keep_alive.max_attempts = 0).contains("max_attempts"));
        assert!(check(|c| c.secret = Some(Secret("short".into()))).contains("secret"));
        assert!(check(|c| c.connections.dial_timeout = Duration::ZERO).contains("dial_timeout"));
    }

    #[test]
    fn spans_of_time_are_read_and_written_as_text() {
        for text in ["10s", "1500ms", "2h", "7d", "3us", "5ns", "1m"] {
            assert_eq!(duration_text::show(duration_text::parse(text).unwrap()), text);
        }
        assert_eq!(duration_text::parse("10"), None);
        assert_eq!(duration_text::parse("-1s"), None);
        assert_eq!(duration_text::parse("1.5s"), None);
        assert_eq!(duration_text::parse("99999999999999d"), None);
        assert_eq!(duration_text::show(Duration::ZERO), "0s");
        assert_eq!(duration_text::parse("0s"), Some(Duration::ZERO));
    }
}
