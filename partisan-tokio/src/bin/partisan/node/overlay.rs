//! What a node is asked about the overlay: neighbours, views, trees, broadcasts, partitions.

use std::collections::BTreeMap;

use partisan_proto::config::{ManagerConfig, StrategyConfig};
use partisan_tokio::{Node, NodeId, NodeName};

use crate::requests::{PartitionRow, TreeRow, ViewRow};

/// The handler by which texts are broadcast.
pub(super) const HANDLER: &str = "default";

/// Whether the node knows every member of its cluster, so that a name it does not know is wrong.
pub(super) fn knows_all(node: &Node) -> bool {
    match &node.config().manager {
        ManagerConfig::Pluggable(pluggable) => pluggable.strategy == StrategyConfig::Full,
        _ => false,
    }
}

/// What nodes are called, as far as this one knows.
struct Names(BTreeMap<NodeId, String>);

impl Names {
    fn of(node: &Node) -> Self {
        let members = node.members();
        let name = |member: &partisan_tokio::Member| {
            (member.spec.id(), member.spec.name().as_str().to_owned())
        };
        Self(members.iter().map(name).collect())
    }

    fn get(&self, id: NodeId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| format!("node {id}"))
    }

    fn all(&self, ids: impl IntoIterator<Item = NodeId>) -> Vec<String> {
        let mut names: Vec<String> = ids.into_iter().map(|id| self.get(id)).collect();
        names.sort_unstable();
        names
    }
}

pub(super) fn neighbors(node: &Node) -> Vec<String> {
    Names::of(node).all(node.neighbors().iter().map(|neighbor| neighbor.node))
}

pub(super) async fn views(node: &Node) -> Result<ViewRow, String> {
    let views = node.views().await.map_err(|error| error.to_string())?;
    let names = Names::of(node);
    Ok(ViewRow { active: names.all(views.active), passive: names.all(views.passive) })
}

pub(super) async fn tree(node: &Node, root: &NodeName) -> Result<TreeRow, String> {
    let tree = node.broadcast_tree(root).await.map_err(|error| error.to_string())?;
    let names = Names::of(node);
    Ok(TreeRow {
        own: tree.own,
        root: tree.root.map(|root| names.get(root)),
        parent: tree.parent.map(|parent| names.get(parent)),
        hops: tree.hops,
        eager: names.all(tree.eager),
        lazy: names.all(tree.lazy),
    })
}

pub(super) async fn broadcast(node: &Node, text: &str) -> Result<String, String> {
    node.broadcast(HANDLER, text).await.map_err(|error| error.to_string())?;
    let neighbors = match node.neighbors().len() {
        0 => return Ok("told nobody: the node has no neighbour".into()),
        1 => "1 neighbour passes it on".to_owned(),
        count => format!("{count} neighbours pass it on"),
    };
    Ok(format!("told to all; {neighbors}"))
}

pub(super) fn partitions(node: &Node) -> Vec<PartitionRow> {
    let names = Names::of(node);
    let mut rows: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for (id, silent) in node.partitions().iter() {
        rows.entry(id.to_string()).or_default().push(*silent);
    }
    let row = |(id, silent)| PartitionRow { id, nothing_to: names.all(silent) };
    rows.into_iter().map(row).collect()
}

pub(super) async fn partition(node: &Node, ttl: u8) -> Result<String, String> {
    let id = node.inject_partition(ttl).await.map_err(|error| error.to_string())?;
    Ok(format!("injected {id}"))
}

pub(super) async fn resolve(node: &Node, id: &str) -> Result<String, String> {
    let partitions = node.partitions();
    let found = partitions.iter().find(|(known, _)| known.to_string() == id);
    let (id, _) = found
        .ok_or_else(|| format!("this node is in no partition called `{id}`; see `partitions`"))?;
    node.resolve_partition(*id).await.map_err(|error| error.to_string())?;
    Ok(format!("resolved {id}"))
}
