//! Random sequences of what may happen to a few nodes.

use proptest::prelude::*;

use super::*;
use crate::config::XBotConfig;

const NODES: usize = 7;

#[derive(Clone, Debug)]
enum Event {
    Join(usize, usize),
    Leave(usize),
    Remove(usize, usize),
    Lose(usize),
    Return(usize),
    Break(usize, usize),
    Hop,
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    let node = || 0..NODES;
    prop_oneof![
        4 => (node(), node()).prop_map(|(one, other)| Event::Join(one, other)),
        1 => node().prop_map(Event::Leave),
        1 => (node(), node()).prop_map(|(one, other)| Event::Remove(one, other)),
        1 => node().prop_map(Event::Lose),
        2 => node().prop_map(Event::Return),
        2 => (node(), node()).prop_map(|(one, other)| Event::Break(one, other)),
        4 => Just(Event::Hop),
        3 => (1..5_000_u16).prop_map(Event::Pass),
    ]
}

fn perform(mesh: &mut Mesh<HyParView>, event: &Event) {
    match *event {
        Event::Join(one, other) if one != other => mesh.join(one, other),
        Event::Leave(node) => mesh.command(node, Command::Leave),
        Event::Remove(node, other) => mesh.command(node, Command::Remove(id(other))),
        Event::Lose(node) => mesh.lose(node),
        Event::Return(node) => mesh.cut.retain(|cut| *cut != node),
        Event::Break(one, other) => mesh.disconnect(one, other),
        Event::Hop => mesh.hop(),
        Event::Pass(span) => mesh.pass(Duration::from_millis(span.into())),
        Event::Join(..) => {}
    }
}

/// Who are members, as a node told; `None` when somebody came or went twice.
fn told_members(mesh: &Mesh<HyParView>, node: usize) -> Option<Vec<NodeId>> {
    let mut members = Vec::new();
    for (_, note) in mesh.notifications.iter().filter(|(teller, _)| *teller == node) {
        match note {
            Notification::MemberJoined { spec, .. } => {
                if members.contains(&spec.id()) {
                    return None;
                }
                members.push(spec.id());
            }
            Notification::MemberLeft { node } => {
                let place = members.iter().position(|member| member == node)?;
                members.remove(place);
            }
            _ => {}
        }
    }
    members.sort_unstable();
    Some(members)
}

fn check(mesh: &Mesh<HyParView>) {
    assert_sound(mesh);
    for (node, machine) in mesh.machines.iter().enumerate() {
        let active = machine.manager.views().active;
        assert_eq!(told_members(mesh, node), Some(active), "what node {node} told is its view");
    }
}

/// Whatever happened, those who are joined in the end are one overlay that is at rest. With two
/// neighbours each they would be rings.
fn recovers(config: &HyParViewConfig, events: &[Event]) {
    let mut mesh = strangers(NODES, config);
    for event in events {
        perform(&mut mesh, event);
        check(&mesh);
    }
    mesh.cut.clear();
    mesh.pass(Duration::from_secs(30));
    for _ in 0..3 {
        for node in 1..NODES {
            if component(&mesh, node).len() < NODES {
                mesh.join(node, 0);
            }
        }
        mesh.pass(Duration::from_secs(60));
        check(&mesh);
    }
    assert_eq!(component(&mesh, 0).len(), NODES);
    if config.xbot.is_none() {
        assert_at_rest(&mesh);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn views_are_sound_at_every_step_and_recover(
        events in prop::collection::vec(event(), 1..60),
        size in 3..6_usize,
    ) {
        recovers(&sized(size), &events);
    }

    #[test]
    fn so_they_are_with_exchanges(
        events in prop::collection::vec(event(), 1..60),
        size in 3..5_usize,
    ) {
        let xbot = XBotConfig {
            interval: Duration::from_secs(1),
            least_gain: 0,
            least_saving: 0,
            ..XBotConfig::default()
        };
        recovers(&HyParViewConfig { xbot: Some(xbot), ..sized(size) }, &events);
    }
}
