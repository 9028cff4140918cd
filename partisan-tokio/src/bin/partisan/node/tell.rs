//! Events in plain words.

use std::collections::BTreeMap;

use partisan_proto::Epoch;
use partisan_tokio::{EventStream, Node, NodeEvent, NodeId, Notification};

use super::console::Console;

/// Names of former members are forgotten when so many are known.
const MOST_NAMES: usize = 20_000;

/// Prints what happens, until the node has stopped.
pub(crate) async fn events(node: Node, mut events: EventStream, console: Console) {
    let mut names = Names { node, known: BTreeMap::new(), up: BTreeMap::new() };
    // What happened before the subscription: a node with stored membership dials at once.
    let view = names.node.view();
    for peer in view.routes().peers() {
        names.up.insert(peer.instance.node, peer.epoch);
        console.tell(&format!("^ {} is up", names.of(peer.instance.node)));
    }
    while let Some(event) = events.next().await {
        let text = match event {
            NodeEvent::Notification(notification) => names.words(&notification),
            NodeEvent::Recovered(recovered) => Some(format!(
                "! the stored membership is unusable ({}); it is kept as {}, and the node starts \
                 without it: join again",
                recovered.error,
                recovered.kept_as.display()
            )),
            NodeEvent::PersistFailed { error } => Some(format!(
                "! the membership cannot be stored: {error}; free space or fix the permissions"
            )),
            NodeEvent::Missed(count) => Some(format!("! {count} events were not printed")),
            _ => None,
        };
        if let Some(text) = text {
            console.tell(&text);
        }
    }
}

struct Names {
    node: Node,
    known: BTreeMap<NodeId, String>,
    /// The sessions told before the first event, until their own events have passed.
    up: BTreeMap<NodeId, Epoch>,
}

impl Names {
    fn of(&mut self, id: NodeId) -> String {
        if !self.known.contains_key(&id) {
            if self.known.len() >= MOST_NAMES {
                self.known.clear();
            }
            for member in self.node.members().iter() {
                let name = member.spec.name().to_string();
                self.known.insert(member.spec.id(), name);
            }
        }
        let name = self.known.get(&id).cloned();
        name.unwrap_or_else(|| format!("node {id}"))
    }

    fn maybe(&mut self, id: Option<NodeId>) -> String {
        id.map_or_else(|| "an unknown node".into(), |id| self.of(id))
    }

    /// What a person wants to know; channels and lanes are left to `connections`.
    fn words(&mut self, notification: &Notification) -> Option<String> {
        Some(match notification {
            Notification::MemberJoined { spec, incarnation } => {
                self.known.insert(spec.id(), spec.name().to_string());
                format!("+ {spec} is a member, incarnation {incarnation}")
            }
            Notification::MemberLeft { node } => format!("- {} left", self.of(*node)),
            Notification::Removed { incarnation } => format!(
                "! another node removed this one from the cluster; it goes on alone as \
                 incarnation {incarnation}: join again, if that was a mistake"
            ),
            Notification::NodeUp { instance, epoch, .. }
                if self.up.remove(&instance.node) == Some(*epoch) =>
            {
                return None;
            }
            Notification::NodeUp { spec, .. } => {
                self.known.insert(spec.id(), spec.name().to_string());
                format!("^ {} is up", spec.name())
            }
            Notification::NodeDown { instance, reason, .. } => {
                format!("v {} is down: {reason}", self.of(instance.node))
            }
            Notification::JoinEnded { result: Ok(node) } => {
                format!("= joined through {}", self.of(*node))
            }
            Notification::JoinEnded { result: Err(error) } => format!("! the join failed: {error}"),
            Notification::DialFailed { node, error, failures } if failures.is_power_of_two() => {
                let who = self.maybe(*node);
                format!("  {who} cannot be reached: {error} ({failures} times so far)")
            }
            Notification::PeerRefused { node, refusal } => {
                format!("! refused {}: {refusal}", self.maybe(*node))
            }
            Notification::PeerMisbehaved { node, misbehaviour } => {
                format!("! {} {misbehaviour}", self.maybe(*node))
            }
            Notification::RelayFailed { to, sequence, reason } => {
                format!("! relayed message {sequence} did not reach {}: {reason}", self.of(*to))
            }
            Notification::BroadcastsMissed { origin, count } => {
                format!("! missed {count} broadcasts of {}", self.of(origin.node))
            }
            Notification::PartitionInjected { id } => {
                format!("! partition {id}: nothing is sent to the neighbours until it is resolved")
            }
            Notification::PartitionResolved { id } => format!("= partition {id} is over"),
            Notification::DuplicateName { .. } => {
                "! another node has this name, and is newer; stop or rename this one".into()
            }
            _ => return None,
        })
    }
}

/// A text of somebody else without control characters, which a terminal would obey.
pub(crate) fn harmless(text: &str) -> String {
    let replace = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn foreign_texts_cannot_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
