//! Spans of time for ever: whoever wants something never to happen may say so.

use std::sync::Arc;

use partisan_proto::config::{
    BroadcastConfig, HyParViewConfig, ManagerConfig, PluggableConfig, XBotConfig,
};
use partisan_proto::{ChannelId, Config, Duration};
use partisan_sim::{World, WorldOptions, check};

const EVER: Duration = Duration::MAX;

fn views() -> ManagerConfig {
    let xbot = XBotConfig {
        interval: EVER,
        cost_memory: EVER,
        round_timeout: EVER,
        ..XBotConfig::default()
    };
    ManagerConfig::from(HyParViewConfig {
        active_size: 2,
        shuffle_interval: EVER,
        promotion_interval: EVER,
        answer_timeout: EVER,
        draining: EVER,
        eviction_pause: EVER,
        healing_interval: EVER,
        removal_memory: EVER,
        store_interval: EVER,
        xbot: Some(xbot),
        ..HyParViewConfig::default()
    })
}

fn mesh() -> ManagerConfig {
    ManagerConfig::Pluggable(PluggableConfig {
        gossip_interval: EVER,
        news_interval: EVER,
        removal_spread: EVER,
        removal_memory: EVER,
        ..PluggableConfig::default()
    })
}

fn broadcasts() -> BroadcastConfig {
    let mut config = BroadcastConfig {
        heartbeat_interval: EVER,
        idle_timeout: EVER,
        repeat_window: EVER,
        announce_interval: EVER,
        graft_timeout: EVER,
        max_graft_timeout: EVER,
        question_timeout: EVER,
        ..BroadcastConfig::default()
    };
    config.cache.age = EVER;
    config.exchange.interval = EVER;
    config
}

#[test]
fn no_span_is_too_long() {
    for manager in [views(), mesh()] {
        let mut config = Config { manager, broadcast: broadcasts(), ..Config::default() };
        let connections = &mut config.connections;
        connections.dial_timeout = EVER;
        connections.handshake_timeout = EVER;
        connections.dial_grace = EVER;
        (connections.retry_least, connections.retry_most) = (EVER, EVER);
        connections.keep_alive.idle_timeout = EVER;
        connections.keep_alive.ping_timeout = EVER;
        let options = WorldOptions { config: Arc::new(config), ..WorldOptions::default() };
        let mut world = World::new(options);
        check::watch(&mut world);
        world.add_nodes(6);
        (1..6).for_each(|node| _ = world.join(node, 0));
        world.run_for(Duration::from_secs(10));
        world.broadcast(1, "to all");
        world.relay(1, 5, ChannelId::DEFAULT, None, "to one");
        world.crash(2);
        world.leave(3);
        world.run_for(Duration::from_secs(600));
        assert_eq!(world.violations(), []);
    }
}
