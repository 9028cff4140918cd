//! The nodes of the demonstration.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use partisan_proto::Snapshot;
use partisan_tokio::{
    ChannelId, ChannelName, ChannelOptions, Channels, Config, Node, NodeId, NodeName, Settings,
    View,
};

use super::stage::{NAME, Stage};
use super::{Broken, DEADLINE};

/// How often to look whether a file has been written.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

const NAMES: [&str; 12] =
    ["ada", "ben", "cleo", "dan", "eve", "finn", "gwen", "hugo", "iris", "jack", "kira", "liam"];

/// How many lanes the channel `bulk` has.
pub(crate) const BULK_LANES: u8 = 2;

/// One node.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) short: &'static str,
    pub(crate) settings: Settings,
    pub(crate) node: Node,
    /// Whether it runs and belongs to the cluster.
    pub(crate) present: bool,
    /// Whether the cluster still counts on it.
    pub(crate) member: bool,
}

/// All nodes, and the directory where they keep their membership.
#[derive(Debug)]
pub(crate) struct Cast {
    actors: Vec<Actor>,
    states: States,
}

/// A directory of ours, removed at the end.
#[derive(Debug)]
struct States(PathBuf);

impl States {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("partisan-demo-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for States {
    fn drop(&mut self) {
        // What is left behind is small.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config() -> Result<Config, Broken> {
    let options = ChannelOptions::lanes(BULK_LANES);
    let channels = Channels::new([(ChannelName::new("bulk")?, options)])?;
    Ok(Config { channels, ..Config::default() })
}

impl Cast {
    /// Starts the nodes, which do not know each other.
    pub(crate) async fn assemble(stage: &mut Stage, count: usize) -> Result<Self, Broken> {
        stage.act(&format!("{count} nodes start")).await;
        let mut cast = Self { actors: Vec::new(), states: States::new()? };
        for short in NAMES.into_iter().take(count) {
            let settings = Settings::new(NodeName::new(&format!("{short}@127.0.0.1"))?)
                .config(config()?)
                .state_dir(cast.states.path());
            let node = Node::start(settings.clone()).await?;
            stage.say(&format!("{NAME}{short}{NAME:#} listens at {}", address(&node)));
            cast.actors.push(Actor { short, settings, node, present: true, member: true });
        }
        stage.show(&format!(
            "channels: membership (1 connection to each peer), default (1), bulk ({BULK_LANES})"
        ));
        stage.pause(600).await;
        Ok(cast)
    }

    pub(crate) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    pub(crate) fn actor(&self, number: usize) -> &Actor {
        &self.actors[number]
    }

    pub(crate) fn actor_mut(&mut self, number: usize) -> &mut Actor {
        &mut self.actors[number]
    }

    /// Those that run and belong to the cluster.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(|actor| actor.present)
    }

    /// Those of them that are not this one.
    pub(crate) fn others(&self, number: usize) -> impl Iterator<Item = &Actor> {
        let id = self.actors[number].node.id();
        self.living().filter(move |actor| actor.node.id() != id)
    }

    pub(crate) fn bulk(&self) -> Result<ChannelId, Broken> {
        let channel = self.actors[0].node.channel("bulk");
        channel.ok_or_else(|| Broken("there is no channel `bulk`".into()))
    }

    /// Waits until the living know exactly each other, and have every lane to each other.
    pub(crate) async fn await_mesh(&self) -> Result<(), Broken> {
        let mut expected: Vec<NodeId> = self.living().map(|actor| actor.node.id()).collect();
        expected.sort_unstable();
        for actor in self.living() {
            let waited = actor.node.wait_until(DEADLINE, |view| agrees(view, &expected)).await;
            waited.map_err(|error| {
                Broken(format!("{} is not connected to all others: {error}", actor.short))
            })?;
        }
        Ok(())
    }

    /// Waits until a node has stored all others: a disk may be slower than the network.
    pub(crate) async fn await_stored(&self, number: usize) -> Result<(), Broken> {
        let actor = self.actor(number);
        let file = self.states.path().join(format!("membership-{}.state", actor.node.id()));
        let others = self.others(number).count();
        let stored = async {
            while stored_others(&file) < others {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, stored).await;
        waited.map_err(|_| Broken(format!("{} does not store its membership", actor.short)))
    }
}

/// How many others the file says are members; none when there is no such file.
fn stored_others(file: &Path) -> usize {
    let stored = fs::read(file).ok().and_then(|bytes| Snapshot::decode(&bytes).ok());
    let own = stored.as_ref().map(|snapshot| snapshot.name.id());
    let entries = stored.iter().flat_map(|snapshot| &snapshot.entries);
    entries.filter(|entry| Some(entry.node) != own && entry.presence.is_some()).count()
}

fn agrees(view: &View, expected: &[NodeId]) -> bool {
    let mut members: Vec<NodeId> = view.members.iter().map(|m| m.spec.id()).collect();
    members.sort_unstable();
    let mut others = expected.iter().filter(|id| **id != view.instance.node);
    members == expected && others.all(|id| view.is_fully_connected(*id))
}

/// Where a node listens.
pub(crate) fn address(node: &Node) -> String {
    let spec = node.spec();
    spec.addresses().first().map_or_else(String::new, ToString::to_string)
}
