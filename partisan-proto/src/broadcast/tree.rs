//! One broadcast tree, as one node sees it: which links are eager, and where the root is.

use alloc::vec::Vec;

use super::links::Links;
use crate::id::{Instance, NodeId};
use crate::time::Instant;

/// A neighbour of which no heartbeat of the present number has come.
const UNKNOWN: u8 = u8::MAX;

/// A tree: links are eager (messages are sent) or lazy (they are announced).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tree {
    /// Whose heartbeats shape it; nobody's so far.
    pub(super) root: Option<Instance>,
    /// The number of the last heartbeat.
    pub(super) number: u64,
    /// How far the root is.
    pub(super) hops: u8,
    /// Who brought the last heartbeat first; nobody at the root, and at a node that lost it.
    pub(super) parent: Option<NodeId>,
    /// When the last heartbeat came.
    pub(super) heard: Instant,
    /// When it was last of use.
    pub(super) used: Instant,
    /// By identifier, the same nodes as the links.
    branches: Vec<Branch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Branch {
    node: NodeId,
    eager: bool,
    /// Eager for want of another: the other end takes it for a lazy one.
    spare: bool,
    /// Eager since one end asked the other for what the tree had not brought.
    grafted: bool,
    /// How many duplicates it brought since then, or since the last heartbeat.
    duplicates: u8,
    /// How far the other end is from the root, by its last heartbeat.
    hops: u8,
}

impl Branch {
    const fn new(node: NodeId, eager: bool) -> Self {
        Self { node, eager, spare: false, grafted: false, duplicates: 0, hops: UNKNOWN }
    }

    /// A new heartbeat spreads, of which nothing has come by this link.
    const fn forget(&mut self) {
        (self.hops, self.duplicates) = (UNKNOWN, 0);
    }
}

impl Tree {
    /// A tree without shape: every link is eager.
    pub(super) fn flood(links: &Links) -> Self {
        let branches = links.nodes().map(|node| Branch::new(node, true)).collect();
        Self { branches, ..Self::default() }
    }

    /// Another tree whose links are what they are here, and nothing else.
    pub(super) fn alike(&self) -> Self {
        let branch = |branch: &Branch| Branch { hops: UNKNOWN, ..*branch };
        Self { branches: self.branches.iter().map(branch).collect(), ..Self::default() }
    }

    fn place(&self, node: NodeId) -> Result<usize, usize> {
        self.branches.binary_search_by_key(&node, |branch| branch.node)
    }

    fn branch_mut(&mut self, node: NodeId) -> Option<&mut Branch> {
        self.place(node).ok().map(|place| &mut self.branches[place])
    }

    pub(super) fn is_eager(&self, node: NodeId) -> bool {
        self.place(node).is_ok_and(|place| self.branches[place].eager)
    }

    /// The nodes to which messages are sent, or announced.
    pub(super) fn nodes(&self, eager: bool) -> impl Iterator<Item = NodeId> {
        let alike = move |branch: &&Branch| branch.eager == eager;
        self.branches.iter().filter(alike).map(|branch| branch.node)
    }

    /// Whether a heartbeat has ever shaped it, and by whom it came is not known (any more): what
    /// is missing will not come by itself.
    pub(super) fn is_orphan(&self, me: Instance) -> bool {
        self.root.is_some_and(|root| root != me) && self.parent.is_none()
    }

    /// Makes a link eager, and those lazy that were eager for want of it; says whether it was not.
    pub(super) fn promote(&mut self, node: NodeId) -> bool {
        let Some(branch) = self.branch_mut(node) else { return false };
        let fresh = !core::mem::replace(&mut branch.eager, true);
        (branch.spare, branch.grafted, branch.duplicates) = (false, false, 0);
        for other in self.branches.iter_mut().filter(|other| other.spare) {
            (other.eager, other.spare) = (false, false);
        }
        fresh
    }

    /// As [`Tree::promote`], for what the tree had not brought: until the next heartbeat the link is
    /// one too many if it brings what comes by another.
    pub(super) fn graft(&mut self, node: NodeId) {
        if self.promote(node)
            && let Some(branch) = self.branch_mut(node)
        {
            branch.grafted = true;
        }
    }

    /// Whether a link is eager since one end asked the other for something.
    pub(super) fn is_grafted(&self, node: NodeId) -> bool {
        self.place(node).is_ok_and(|place| self.branches[place].grafted)
    }

    /// Counts a duplicate that came by a link; says which one it is since the last heartbeat.
    pub(super) fn count_duplicate(&mut self, node: NodeId) -> u8 {
        self.branch_mut(node).map_or(0, |branch| {
            branch.duplicates = branch.duplicates.saturating_add(1);
            branch.duplicates
        })
    }

    /// Makes a link lazy that the other end takes for a lazy one; the last eager one when there is
    /// another.
    pub(super) fn relax(&mut self, node: NodeId) {
        if !self.demote(node)
            && let Some(branch) = self.branch_mut(node)
        {
            branch.spare = true;
        }
    }

    /// Makes a link lazy, but never the last eager one; says whether it is.
    pub(super) fn demote(&mut self, node: NodeId) -> bool {
        if self.is_eager(node) && self.nodes(true).nth(1).is_none() {
            return false;
        }
        match self.branch_mut(node) {
            Some(branch) => {
                (branch.eager, branch.grafted) = (false, false);
                true
            }
            None => false,
        }
    }

    /// Adds a link. An eager one where messages take every way so far, or would find none to this
    /// node; says whether it is.
    pub(super) fn add(&mut self, node: NodeId, flood: bool) -> bool {
        let eager = flood || self.root.is_none() || self.nodes(true).next().is_none();
        if let Err(place) = self.place(node) {
            self.branches.insert(place, Branch::new(node, eager));
        }
        eager
    }

    /// Takes a link out; says whether messages came by it.
    pub(super) fn remove(&mut self, node: NodeId) -> bool {
        if let Ok(place) = self.place(node) {
            self.branches.remove(place);
        }
        let parent = self.parent == Some(node);
        if parent {
            self.parent = None;
        }
        parent
    }

    /// Puts one node in the place of another, with what that was.
    pub(super) fn replace(&mut self, gone: NodeId, node: NodeId) {
        let Ok(place) = self.place(gone) else {
            self.add(node, false);
            return;
        };
        let eager = self.branches.remove(place).eager;
        if let Err(place) = self.place(node) {
            self.branches.insert(place, Branch::new(node, eager));
        }
        if self.parent == Some(gone) {
            self.parent = Some(node);
        }
    }

    /// A new heartbeat came by this neighbour first.
    pub(super) fn follow(&mut self, root: Instance, number: u64, from: NodeId, hops: u8) {
        (self.root, self.number) = (Some(root), number);
        self.branches.iter_mut().for_each(Branch::forget);
        self.attach(from);
        self.note(from, hops);
        self.hops = hops.saturating_add(1);
    }

    /// This node is the root, with this heartbeat.
    pub(super) fn lead(&mut self, me: Instance, number: u64) {
        (self.root, self.number, self.hops, self.parent) = (Some(me), number, 0, None);
        self.branches.iter_mut().for_each(Branch::forget);
    }

    /// How far a neighbour is from the root.
    pub(super) fn note(&mut self, node: NodeId, hops: u8) {
        if let Some(branch) = self.branch_mut(node) {
            branch.hops = hops;
        }
    }

    /// From now on messages come by this neighbour.
    pub(super) fn attach(&mut self, node: NodeId) {
        self.promote(node);
        self.parent = Some(node);
    }

    /// The neighbour that is nearest to the root, nearer than this node, by which messages can come
    /// from now on. Being nearer, it does not get them from this node.
    pub(super) fn nearest(&self, except: NodeId) -> Option<NodeId> {
        let nearer = |branch: &&Branch| branch.node != except && branch.hops < self.hops;
        let nearest = self.branches.iter().filter(nearer).min_by_key(|branch| branch.hops);
        nearest.map(|branch| branch.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    fn node(number: u64) -> NodeId {
        NodeId::from_u64(number)
    }

    fn root() -> Instance {
        Instance { node: node(100), incarnation: Incarnation(1) }
    }

    fn tree(nodes: u64) -> Tree {
        let mut links = Links::default();
        (1..=nodes).for_each(|n| _ = links.insert(node(n)));
        Tree::flood(&links)
    }

    /// Section 4.4.
    #[test]
    fn the_last_eager_link_is_never_made_lazy() {
        let mut tree = tree(3);
        assert!(tree.demote(node(1)) && tree.demote(node(2)));
        assert!(!tree.demote(node(3)) && tree.is_eager(node(3)));
        assert!(tree.promote(node(1)) && !tree.promote(node(1)));
        assert!(tree.demote(node(3)));
    }

    /// T4.
    #[test]
    fn who_is_no_link_is_in_no_tree() {
        let mut tree = tree(2);
        assert!(!tree.promote(node(9)) && !tree.demote(node(9)) && !tree.is_eager(node(9)));
        assert_eq!(tree.nodes(true).count() + tree.nodes(false).count(), 2);
    }

    #[test]
    fn a_new_link_is_lazy_once_the_tree_has_a_shape() {
        let mut tree = tree(1);
        assert!(tree.add(node(2), false), "no shape so far");
        tree.follow(root(), 1, node(1), 0);
        assert!(!tree.add(node(3), false) && !tree.is_eager(node(3)));
        assert!(tree.add(node(4), true), "where messages shape the tree");
        [1, 2, 3, 4].into_iter().for_each(|n| _ = tree.remove(node(n)));
        assert!(tree.add(node(5), false), "the only way");
    }

    #[test]
    fn an_orphan_follows_only_who_is_nearer_to_the_root() {
        let mut tree = tree(4);
        tree.follow(root(), 1, node(1), 4);
        assert_eq!((tree.hops, tree.parent), (5, Some(node(1))));
        tree.note(node(2), 5);
        tree.note(node(3), 4);
        assert!(tree.remove(node(1)) && tree.is_orphan(root_of_another()));
        assert_eq!(tree.nearest(node(1)), Some(node(3)));
        assert_eq!(tree.nearest(node(3)), None, "as far as this node: perhaps its child");
    }

    fn root_of_another() -> Instance {
        Instance { node: node(101), incarnation: Incarnation(1) }
    }

    #[test]
    fn who_takes_the_place_of_a_neighbour_takes_its_role() {
        let mut tree = tree(3);
        tree.follow(root(), 1, node(2), 0);
        tree.demote(node(3));
        tree.replace(node(2), node(9));
        assert_eq!((tree.parent, tree.is_eager(node(9))), (Some(node(9)), true));
        tree.replace(node(3), node(8));
        assert!(!tree.is_eager(node(8)) && !tree.remove(node(3)));
    }
}
