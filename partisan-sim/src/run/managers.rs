//! What a scenario does for each manager: the configuration and tags of a node, the checkers.

use std::sync::Arc;

use partisan_proto::Config;
use partisan_proto::config::{ManagerConfig, StaticConfig, StaticPeer, StrategyConfig};

use super::Scenario;
use crate::check::broadcast::Ledger;
use crate::check::{self, fixed, hyparview};
use crate::draw::{Label, draw};
use crate::network::address;
use crate::world::World;

/// The safety checkers of a manager.
pub(super) fn watch(manager: &ManagerConfig, world: &mut World, ledger: &Ledger) {
    check::watch_with(world, ledger);
    match manager {
        ManagerConfig::Static(_) => world.check(fixed::NoStrangers::default()),
        ManagerConfig::HyParView(_) => world.check(hyparview::SoundViews::default()),
        _ => {}
    }
}

/// Whether a node may be connected to some of the others only.
pub(super) fn has_partial_views(manager: &ManagerConfig) -> bool {
    match manager {
        ManagerConfig::Pluggable(config) => config.strategy != StrategyConfig::Full,
        _ => true,
    }
}

/// Adds node `number` to the world.
pub(super) fn add_node(
    scenario: &Scenario,
    world: &mut World,
    config: &Arc<Config>,
    number: usize,
) {
    match &scenario.manager {
        ManagerConfig::Static(fixed) => {
            let peers = listed(scenario, number);
            let manager = ManagerConfig::Static(StaticConfig { peers, ..fixed.clone() });
            world.add_tagged(Arc::new(Config { manager, ..Config::clone(config) }), Vec::new());
        }
        ManagerConfig::ClientServer(star) => {
            let server = number < servers(scenario.nodes);
            let tag = if server { &star.server_tag } else { &star.client_tag };
            world.add_tagged(config.clone(), vec![tag.clone()]);
        }
        _ => {
            world.add_node();
        }
    }
}

/// How many of the nodes are servers, where there are servers: the first ones.
pub(super) fn servers(nodes: usize) -> usize {
    (nodes / 3).max(2)
}

/// Whom a node of the static manager lists: the next one, and some others, on which the two need
/// not agree.
fn listed(scenario: &Scenario, number: usize) -> Vec<StaticPeer> {
    let others = (0..scenario.nodes).filter(|other| *other != number);
    let next = (number + 1) % scenario.nodes.max(1);
    let few = scenario.nodes.max(12) as u64 / 4;
    let drawn = |other: &usize| {
        let pair = (number * scenario.nodes + other) as u64;
        *other == next || draw(scenario.seed, Label::Bootstrap, 1, pair).is_multiple_of(few)
    };
    let peer = |other| StaticPeer {
        name: format!("n{other}@sim").parse().expect("a short plain name is good"),
        addresses: vec![address(other)],
    };
    others.filter(drawn).map(peer).collect()
}
