//! How a scenario configures broadcasts: in as many ways as there are, drawn.

use partisan_proto::config::{BroadcastConfig, CacheConfig, ExchangeSelection, OwnTrees};
use partisan_proto::{ChannelName, Duration};

use super::Scenario;
use crate::draw::{Label, Stream};
use crate::store;

/// How long messages are kept: so long that whatever is sent in a run has its way to everybody,
/// once all is healed.
const KEPT: Duration = Duration::from_secs(600);
/// After so long without a message trees are forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// The configuration of every node. Without broadcasts, the default one.
pub(super) fn config(scenario: &Scenario) -> BroadcastConfig {
    let mut config = BroadcastConfig::default();
    if !scenario.load.broadcasts() {
        return config;
    }
    let mut stream = Stream::new(scenario.seed, Label::Application, 0);
    config.cache = CacheConfig { age: KEPT, ..config.cache };
    config.idle_timeout = IDLE;
    config.heartbeats = !stream.one_in(4);
    config.own_trees = match stream.below(4) {
        0 => OwnTrees::Never,
        1 => OwnTrees::Always,
        _ => OwnTrees::Repeating,
    };
    if stream.one_in(4) {
        config.exchange.selection = ExchangeSelection::Normal;
    }
    // Nodes of small clusters have more neighbours than links.
    if stream.one_in(4) {
        config.max_links = 4;
    }
    let mut options = store::options();
    if super::has_bulk(scenario) && stream.one_in(2) {
        options.channel = ChannelName::new(super::BULK).expect("a short plain name is good");
        let default = BroadcastConfig::DEFAULT_HANDLER;
        let default = default.parse().expect("a constant name is a good one");
        let channel = options.channel.clone();
        config.handlers.entry(default).or_default().channel = channel;
    }
    config.handlers.insert(store::handler_name(), options);
    config
}
