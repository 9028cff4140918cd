//! Who was removed stays removed.

use std::collections::BTreeMap;

use partisan_proto::config::{ManagerConfig, StrategyConfig};
use partisan_proto::{Action, Incarnation, Node, NodeId, Notification};

use super::{Checker, Violation, ViolationKind};
use crate::node_host::NodeHost;
use crate::world::{Step, World};

/// No incarnation of a node is a member again after it ceased to be one, as seen by each observer
/// for as long as the observer's own stay in the cluster lasts.
#[derive(Debug, Default)]
pub struct NoResurrection {
    /// By observer and member: the newest incarnation that was a member.
    known: BTreeMap<(usize, NodeId), Incarnation>,
    /// By observer and former member: the newest incarnation that is gone.
    gone: BTreeMap<(usize, NodeId), Incarnation>,
    /// By observer: its own incarnation.
    observers: BTreeMap<usize, Incarnation>,
}

impl Checker for NoResurrection {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        let observer = step.node;
        if !never_returns(world, observer) {
            return;
        }
        for action in step.actions {
            match action {
                Action::Notify(Notification::MemberJoined { spec, incarnation }) => {
                    let key = (observer, spec.id());
                    self.known.insert(key, *incarnation);
                    if let Some(gone) = self.gone.get(&key).filter(|gone| *incarnation <= **gone) {
                        let text = format!(
                            "{} joined as incarnation {incarnation}; up to {gone} it was gone",
                            spec.name()
                        );
                        let kind = ViolationKind::Resurrection;
                        found.push(Violation::new(kind, step.now, Some(observer), text));
                    }
                }
                Action::Notify(Notification::MemberLeft { node }) => {
                    if let Some(last) = self.known.remove(&(observer, *node)) {
                        self.gone.insert((observer, *node), last);
                    }
                }
                _ => {}
            }
        }
        let node = world.hosts().get(observer).and_then(NodeHost::node);
        let own = node.map(Node::instance).map(|instance| instance.incarnation);
        if let Some(own) = own
            && self.observers.insert(observer, own).is_some_and(|before| before != own)
        {
            self.forget(observer);
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.forget(node);
        self.observers.remove(&node);
    }
}

/// Whether, by the rules of a node's manager, a member that is gone was removed for good. A static
/// list may have it again, and a partial view loses members that nobody removed.
fn never_returns(world: &World, observer: usize) -> bool {
    match world.hosts().get(observer).map(|host| &host.rest.config.manager) {
        Some(ManagerConfig::Static(_) | ManagerConfig::HyParView(_)) => false,
        Some(ManagerConfig::Pluggable(config)) => config.strategy == StrategyConfig::Full,
        _ => true,
    }
}

impl NoResurrection {
    /// A new life, or a new stay, begins with no memories.
    fn forget(&mut self, observer: usize) {
        self.gone.retain(|(other, _), _| *other != observer);
        self.known.retain(|(other, _), _| *other != observer);
    }
}
