//! What the papers claim, one test each, in clusters small enough for seconds. The full sizes are
//! run by `partisan-sim paper`.

use partisan_proto::Config;
use partisan_proto::config::{HyParViewConfig, ManagerConfig};
use partisan_sim::paper::churn::churn;
use partisan_sim::paper::hyparview::{self, Subject};
use partisan_sim::paper::plumtree::{self, Single};
use partisan_sim::paper::storm::{Storm, storm};
use partisan_sim::paper::xbot::{self, Subjects};
use partisan_sim::paper::{Findings, Row, baseline, config, scamp};

fn judge(findings: &Findings) {
    assert!(!findings.rows.is_empty());
    assert!(!findings.missed(), "\n{}", findings.table());
}

#[test]
fn scamp_views_grow_with_the_logarithm_of_the_cluster() {
    let mut findings = Findings::default();
    scamp::views(1, 150, 1, 0, &mut findings);
    scamp::views(1, 150, 2, 4, &mut findings);
    judge(&findings);
}

#[test]
fn fixed_random_neighbors_are_a_random_graph_and_fall_apart_as_theory_says() {
    let mut findings = Findings::default();
    baseline::at_rest(1, 500, &mut findings);
    baseline::failure(1, 500, 30, &mut findings);
    baseline::failure(1, 500, 90, &mut findings);
    judge(&findings);
}

#[test]
fn overlays_survive_the_death_of_half_and_heal() {
    let config = config::scamp(2, 4);
    let subject = Subject { config, cycle: config::CYCLE, cyclic: |_| false };
    let mut findings = Findings::default();
    hyparview::failure(&subject, 1, 60, 1, 50, &mut findings);
    hyparview::healing(&subject, 1, 60, 1, 60, &mut findings);
    judge(&findings);
}

#[test]
fn overlays_that_are_not_what_the_papers_claim_miss_their_gates() {
    let mesh = Config::default();
    let cycle = config::CYCLE;
    let subject = Subject { config: mesh.clone(), cycle, cyclic: |_| false };
    let mut findings = Findings::default();
    hyparview::stable(&subject, 1, 20, 1, &mut findings);
    hyparview::flash_crowd(&subject, 1, 20, &mut findings);
    let missed = |measure: &str| {
        let rows = findings.rows.iter().filter(|row| row.met() == Some(false));
        rows.filter(|row| row.measure == measure).count()
    };
    assert_eq!(missed("clustering coefficient"), 1, "\n{}", findings.table());
    assert_eq!(missed("most active peers"), 1);
    assert_eq!(missed("violations") + missed("components after 10 cycles"), 0);

    let unchecked = HyParViewConfig { checks: 0, ..HyParViewConfig::default() };
    let manager = ManagerConfig::from(unchecked);
    let subject = Subject { config: Config { manager, ..Config::default() }, ..hyparview_itself() };
    let mut findings = Findings::default();
    hyparview::hygiene(&subject, 1, 80, 5, &mut findings);
    assert!(findings.missed(), "who checks nobody keeps the dead:\n{}", findings.table());

    let subjects = Subjects { plain: mesh.clone(), optimized: mesh };
    let mut findings = Findings::default();
    xbot::plane(&subjects, 1, 12, 2, &mut findings);
    xbot::zones(&subjects, 1, 12, 2, &mut findings);
    let missed: Vec<_> = findings.rows.iter().filter(|row| row.met() == Some(false)).collect();
    let names: Vec<_> = missed.iter().map(|row| row.measure.as_str()).collect();
    assert_eq!(names, ["link cost saved, share", "links inside a zone, share"]);
    assert!(missed[0].mean().abs() < 1e-9, "the same links cost the same");
}

/// HyParView as the papers' experiments look at it.
fn hyparview_itself() -> Subject {
    Subject { config: config::hyparview(), cycle: config::CYCLE, cyclic: config::is_shuffle }
}

#[test]
fn hyparview_makes_a_random_regular_graph_of_joins_one_by_one() {
    let mut findings = Findings::default();
    // Those who lack a neighbour look for each other ever less often: it takes some cycles.
    hyparview::stable(&hyparview_itself(), 1, 1000, 20, &mut findings);
    judge(&findings);
}

#[test]
fn hyparview_makes_a_random_graph_of_a_flash_crowd_within_ten_cycles() {
    let mut findings = Findings::default();
    hyparview::flash_crowd(&hyparview_itself(), 1, 300, &mut findings);
    judge(&findings);
}

#[test]
fn hyparview_loses_next_to_nothing_when_nine_of_ten_nodes_die_at_once() {
    let mut findings = Findings::default();
    hyparview::failure(&hyparview_itself(), 1, 300, 5, 50, &mut findings);
    hyparview::failure(&hyparview_itself(), 1, 300, 5, 90, &mut findings);
    judge(&findings);
}

#[test]
fn hyparview_heals_within_the_cycles_of_the_paper() {
    let mut findings = Findings::default();
    for (percent, ..) in hyparview::HEALINGS {
        hyparview::healing(&hyparview_itself(), 1, 300, 5, percent, &mut findings);
    }
    judge(&findings);
}

/// In a cluster not much larger than a view the dead would be told of for ever.
#[test]
fn hyparview_forgets_nearly_all_of_the_dead_within_twenty_cycles() {
    let mut findings = Findings::default();
    hyparview::hygiene(&hyparview_itself(), 1, 80, 5, &mut findings);
    hyparview::hygiene(&hyparview_itself(), 1, 300, 5, &mut findings);
    judge(&findings);
}

#[test]
fn next_to_no_broadcast_is_missed_and_views_are_sound_while_nodes_are_replaced() {
    let mut findings = Findings::default();
    churn(1, 100, 5, 10, &mut findings);
    churn(2, 100, 20, 5, &mut findings);
    judge(&findings);
}

/// At full size last hops are to be 11 and 15.
#[test]
fn plumtree_sends_a_payload_to_each_node_once_by_the_quickest_ways() {
    let mut findings = Findings::default();
    let scenario = Single { nodes: 200, last_hop: ("–", 10.0), last_arrival: ("–", 200.0) };
    plumtree::single(1, &scenario, &mut findings);
    judge(&findings);
}

#[test]
fn plumtree_serves_many_senders_with_little_redundancy() {
    let mut findings = Findings::default();
    plumtree::many(1, 150, &mut findings);
    judge(&findings);
}

#[test]
fn plumtree_serves_all_senders_at_once() {
    let mut findings = Findings::default();
    plumtree::all_send(1, 60, &mut findings);
    judge(&findings);
}

/// Checklist B16. At full size more is sent.
#[test]
fn a_storm_reaches_all_who_are_quick_and_who_is_slow_knows_what_it_missed() {
    let mut findings = Findings::default();
    for kind in Storm::ALL {
        storm(1, kind, 30_000, &mut findings);
    }
    judge(&findings);
    let mut rows = findings.rows.iter();
    let share = rows.find(|row| row.measure == "delivered to the slow node, share").map(Row::mean);
    assert!(share.is_some_and(|share| share < 0.99), "it missed something: {share:?}");
}

#[test]
fn plumtree_without_heartbeats_is_that_of_the_paper() {
    let mut findings = Findings::default();
    plumtree::plain(1, 100, &mut findings);
    judge(&findings);
}

#[test]
fn plumtree_keeps_its_tree_while_neighbours_are_exchanged() {
    let mut findings = Findings::default();
    plumtree::exchanging(1, 150, &mut findings);
    judge(&findings);
}

#[test]
fn plumtree_reaches_all_survivors_of_a_failure() {
    let mut findings = Findings::default();
    for percent in [50, 80] {
        plumtree::failure(1, 200, percent, &mut findings);
    }
    judge(&findings);
}

/// HyParView without X-BOT and with it.
fn with_and_without_xbot() -> Subjects {
    Subjects { plain: config::hyparview(), optimized: config::xbot() }
}

#[test]
fn xbot_makes_links_much_cheaper_and_paths_a_little_longer() {
    let mut findings = Findings::default();
    xbot::plane(&with_and_without_xbot(), 1, 300, 100, &mut findings);
    judge(&findings);
}

#[test]
fn xbot_keeps_most_links_inside_a_zone() {
    let mut findings = Findings::default();
    xbot::zones(&with_and_without_xbot(), 1, 150, 60, &mut findings);
    judge(&findings);
}
