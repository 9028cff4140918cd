//! Several real nodes on this machine, for tests and demonstrations.

use std::path::PathBuf;
use std::time::Duration;

use partisan_proto::{Address, Config, Contact, NodeId, NodeName};

use crate::driver_config::DriverConfig;
use crate::error::{NodeError, StartError};
use crate::node::Node;
use crate::settings::Settings;
use crate::shared::View;

/// Several real nodes on this machine, each on a free port: `n1@127.0.0.1`, `n2@127.0.0.1`...
/// (numbered from 1 in names, from 0 in this interface).
#[derive(Debug)]
pub struct LocalCluster {
    nodes: Vec<Node>,
    settings: Vec<Settings>,
}

/// What the nodes of a [`LocalCluster`] have in common.
#[derive(Clone, Debug, Default)]
pub struct LocalClusterBuilder {
    count: usize,
    config: Config,
    driver: DriverConfig,
    state_dir: Option<PathBuf>,
}

impl LocalClusterBuilder {
    /// The configuration of the protocol.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The limits of the driver.
    #[must_use]
    pub fn driver(mut self, driver: DriverConfig) -> Self {
        self.driver = driver;
        self
    }

    /// Where all of them keep their membership, in one file each.
    #[must_use]
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(directory.into());
        self
    }

    /// Starts the nodes; they do not know each other yet.
    ///
    /// # Errors
    /// The first [`StartError`].
    pub async fn start(self) -> Result<LocalCluster, StartError> {
        let mut cluster = LocalCluster { nodes: Vec::new(), settings: Vec::new() };
        for number in 1..=self.count {
            let name = NodeName::new(&format!("n{number}@127.0.0.1"));
            let mut settings = Settings::new(name.expect("a constant name is a good one"))
                .config(self.config.clone())
                .driver(self.driver.clone());
            settings.state_dir.clone_from(&self.state_dir);
            cluster.nodes.push(Node::start(settings.clone()).await?);
            cluster.settings.push(settings);
        }
        Ok(cluster)
    }
}

impl LocalCluster {
    /// Nodes of the default configuration.
    ///
    /// # Errors
    /// The first [`StartError`].
    pub async fn start(count: usize) -> Result<Self, StartError> {
        Self::builder(count).start().await
    }

    /// So many nodes, to be configured before they start.
    #[must_use]
    pub fn builder(count: usize) -> LocalClusterBuilder {
        LocalClusterBuilder { count, ..LocalClusterBuilder::default() }
    }

    /// All nodes, dead ones included.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// Where a node listens.
    #[must_use]
    pub fn address(&self, number: usize) -> Address {
        let spec = self.nodes[number].spec();
        spec.addresses().first().cloned().expect("every node of a local cluster listens")
    }

    /// How to join a node.
    #[must_use]
    pub fn contact(&self, number: usize) -> Contact {
        Contact::from(&*self.nodes[number].spec())
    }

    /// Joins all nodes through the first, and waits until all are connected to all.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn join_all(&self, deadline: Duration) -> Result<(), NodeError> {
        for node in self.nodes.iter().skip(1) {
            node.join(self.contact(0)).await?;
        }
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.await_members(&all, deadline).await
    }

    /// Waits until each of these nodes has exactly these as members and every lane to them.
    ///
    /// # Errors
    /// [`NodeError::Deadline`], [`NodeError::Stopped`].
    pub async fn await_members(
        &self,
        numbers: &[usize],
        deadline: Duration,
    ) -> Result<(), NodeError> {
        let began = tokio::time::Instant::now();
        let mut expected: Vec<NodeId> = numbers.iter().map(|n| self.nodes[*n].id()).collect();
        expected.sort_unstable();
        for number in numbers {
            let node = &self.nodes[*number];
            let left = deadline.saturating_sub(began.elapsed());
            node.wait_until(left, |view| agrees(view, &expected)).await?;
        }
        Ok(())
    }

    /// Ends a node as a crash would: its sockets are dropped without a goodbye.
    pub async fn kill(&self, number: usize) {
        self.nodes[number].abort().await;
    }

    /// Starts a killed or stopped node again, on another free port.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn restart(&mut self, number: usize) -> Result<(), StartError> {
        self.nodes[number] = Node::start(self.settings[number].clone()).await?;
        Ok(())
    }

    /// Stops all nodes in good order, all at once.
    pub async fn shutdown(self) {
        let mut stopping = tokio::task::JoinSet::new();
        for node in self.nodes {
            stopping.spawn(async move { node.shutdown().await });
        }
        stopping.join_all().await;
    }
}

fn agrees(view: &View, expected: &[NodeId]) -> bool {
    let mut members: Vec<NodeId> = view.members.iter().map(|m| m.spec.id()).collect();
    members.sort_unstable();
    let others = |id: &&NodeId| **id != view.instance.node;
    members == expected && expected.iter().filter(others).all(|id| view.is_fully_connected(*id))
}
