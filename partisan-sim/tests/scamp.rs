//! What the paper on SCAMP promises of whole overlays: the size of views, and that the overlay
//! holds together when many nodes fail.

use std::sync::Arc;

use partisan_proto::config::{ManagerConfig, PluggableConfig, ScampConfig, StrategyConfig};
use partisan_proto::{Config, Duration};
use partisan_sim::check::scamp;
use partisan_sim::workload::Bootstrap;
use partisan_sim::{Wire, World, WorldOptions};

/// A cluster of so many nodes that have joined one after the other.
fn formed(
    seed: u64,
    nodes: usize,
    bootstrap: Bootstrap,
    strategy: fn(ScampConfig) -> StrategyConfig,
    config: ScampConfig,
) -> World {
    let strategy = strategy(config);
    let manager = ManagerConfig::Pluggable(PluggableConfig { strategy, ..Default::default() });
    let config = Arc::new(Config { manager, ..Config::default() });
    let options =
        WorldOptions { seed, wire: Wire::Typed, config, record: false, ..Default::default() };
    let mut world = World::new(options);
    world.add_nodes(nodes);
    let pause = Duration::from_millis(100);
    world.plan_work(bootstrap.plan(seed, nodes, pause));
    world.run_for(pause * nodes as u32 + Duration::from_secs(5));
    world
}

/// What the paper says the mean view comes to.
fn by_the_paper(copies: usize, nodes: usize) -> f64 {
    (copies + 1) as f64 * (nodes as f64).ln()
}

/// The same less what the first nodes lack: a newcomer can be in the views of those alone who are
/// there before it, so up to `2 (c + 1)` nodes views grow by a half with each, and only then
/// logarithmically.
fn corrected(copies: usize, nodes: usize) -> f64 {
    let first = 2.0 * (copies + 1) as f64;
    (copies + 1) as f64 * (1.0 + (nodes as f64 / first).ln())
}

/// The mean view of a cluster, which must be in one part.
fn mean(nodes: usize, bootstrap: Bootstrap, config: &ScampConfig) -> f64 {
    let world = formed(1, nodes, bootstrap, StrategyConfig::ScampV2, config.clone());
    assert_eq!(scamp::parts(&world).len(), 1);
    let mean = scamp::mean_view(&world);
    let ratio = mean / by_the_paper(config.copies, nodes);
    println!("{nodes} nodes, {bootstrap:?}, {config:?}: {mean:.2}, {ratio:.3} of (c+1) ln n");
    mean
}

fn plain(copies: usize) -> ScampConfig {
    ScampConfig { copies, indirection: 0, ..ScampConfig::default() }
}

#[track_caller]
fn check_random_contacts(nodes: usize, copies: usize) {
    let mean = mean(nodes, Bootstrap::Random, &plain(copies));
    let expected = corrected(copies, nodes);
    assert!((mean / expected - 1.0).abs() < 0.1, "{mean} is not within 10 % of {expected}");
    assert!(mean < by_the_paper(copies, nodes));
}

#[test]
fn views_are_as_large_as_c_plus_one_times_a_logarithm() {
    check_random_contacts(150, 2);
    check_random_contacts(150, 5);
}

#[test]
fn the_indirection_makes_one_contact_for_all_as_good_as_a_random_one() {
    let (nodes, copies) = (100, 5);
    let one = |indirection| {
        let config = ScampConfig { indirection, ..plain(copies) };
        mean(nodes, Bootstrap::Contact, &config)
    };
    let paper = by_the_paper(copies, nodes);
    assert!(one(0) > 1.3 * paper, "with one contact and no indirection views grow without need");
    assert!(one(ScampConfig::default().indirection) < 1.1 * paper);
}

#[test]
#[ignore = "takes minutes; for `cargo test --release -p partisan-sim -- --ignored`"]
fn views_of_a_thousand_nodes() {
    for copies in [2, 5] {
        check_random_contacts(1_000, copies);
    }
    // Everybody's first member is the one contact, to which all walks lead back.
    let mean =
        mean(1_000, Bootstrap::Contact, &ScampConfig { copies: 2, ..ScampConfig::default() });
    assert!(mean < 2.5 * by_the_paper(2, 1_000));
}

/// A third of the nodes die at once, and the others are still one overlay.
#[test]
fn the_overlay_survives_the_death_of_a_third() {
    for strategy in [StrategyConfig::ScampV1, StrategyConfig::ScampV2] {
        let config = ScampConfig::default();
        let mut world = formed(3, 60, Bootstrap::Random, strategy, config);
        for node in (0..60).step_by(3) {
            world.crash(node);
        }
        assert_eq!(scamp::parts(&world).len(), 1);
        world.run_for(Duration::from_secs(300));
        // Whoever died is in nobody's view any more.
        let mut known = world.live().flat_map(|node| world.members(node));
        assert!(known.all(|node| node % 3 != 0));
        assert_eq!(scamp::parts(&world).len(), 1);
    }
}
