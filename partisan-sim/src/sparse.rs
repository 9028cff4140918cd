//! A workload without a membership protocol, in the shape of a partial view: many nodes, each
//! connected to a few fixed random peers, and a small control message each second.
//!
//! It measures what the simulator, the connections and the timers cost by themselves, at sizes
//! that no full mesh reaches. The peers are those of a random graph of degree [`DEGREE`]: two
//! random cycles through all nodes and a random matching.

use std::rc::Rc;
use std::sync::Arc;
use std::time;

use partisan_proto::wire::{ControlMessage, Digest, Gossip};
use partisan_proto::{
    Address, Answer, Change, Command, Config, Context, Duration, Incarnation, Instance, Instant,
    Manager, Member, NodeId, NodeName, NodeSpec, Ticket, Timer,
};

use crate::draw::{Label, Stream};
use crate::network::{NetworkOptions, address};
use crate::run::{MemoryProbe, Report};
use crate::world::{FIRST_MILLISECOND, Wire, World, WorldOptions};

/// How many peers each node has, but for the few whose draws coincide.
pub const DEGREE: usize = 5;

/// How often each node sends a message to one of its peers.
const PERIOD: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Sparse {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How long, in simulated time; the nodes connect in the first second.
    pub span: Duration,
    /// Asks how much memory is in use, and what the most was.
    pub memory: Option<MemoryProbe>,
}

impl Sparse {
    /// Runs it, without checkers and without encoding.
    #[must_use]
    pub fn run(&self) -> Report {
        let began = time::Instant::now();
        let before = self.memory.map_or(0, |memory| {
            (memory.reset)();
            (memory.in_use)()
        });
        let mut world = self.world();
        world.run_for(self.span);
        let used = self.memory.map_or(0, |memory| (memory.in_use)().saturating_sub(before));
        let wall_seconds = began.elapsed().as_secs_f64();
        Report {
            hash: world.hash(),
            events: world.events(),
            frames: world.frames(),
            simulated: world.now().since(Instant::ZERO),
            wall_seconds,
            peak_bytes: self.memory.map_or(0, |memory| (memory.peak)()),
            bytes_per_node: used / self.nodes.max(1),
            violations: world.violations().to_vec(),
            ..Report::default()
        }
    }

    /// The world before anything happened.
    pub(crate) fn world(&self) -> World {
        self.world_with(Config::default(), NetworkOptions::default())
    }

    /// As it is on another network, and with another configuration. The overlay is an ideal one to
    /// measure broadcasts on: every node has the same number of neighbours, drawn uniformly.
    #[must_use]
    pub fn world_with(&self, config: Config, network: NetworkOptions) -> World {
        let config = Arc::new(config);
        let mut world = World::new(WorldOptions {
            seed: self.seed,
            network,
            wire: Wire::Typed,
            config: config.clone(),
            record: false,
        });
        let graph: Arc<[Box<[u32]>]> = graph(self.seed, self.nodes).into();
        for node in 0..self.nodes {
            let (graph, seed) = (graph.clone(), self.seed);
            let maker = move || -> Box<dyn Manager> {
                let stream = Stream::new(seed, Label::Work, node as u64);
                let graph = graph.clone();
                let peers = Vec::with_capacity(graph[node].len());
                Box::new(FixedPeers { graph, node, stream, peers, me: None, heard: 0 })
            };
            world.add_node_with(config.clone(), Some(Rc::new(maker)));
        }
        world
    }
}

/// The peers of each node.
fn graph(seed: u64, nodes: usize) -> Vec<Box<[u32]>> {
    let mut stream = Stream::new(seed, Label::Bootstrap, 1);
    let mut peers = vec![Vec::with_capacity(DEGREE); nodes];
    let mut order: Vec<_> = (0..nodes).collect();
    let mut edge = |a: usize, b: usize| {
        if a != b && !peers[a].contains(&(b as u32)) {
            peers[a].push(b as u32);
            peers[b].push(a as u32);
        }
    };
    for round in 0..3 {
        for i in (1..nodes).rev() {
            order.swap(i, stream.below(i + 1));
        }
        let step = if round == 2 { 2 } else { 1 };
        for i in (0..nodes).step_by(step) {
            if step == 1 || i + 1 < nodes {
                edge(order[i], order[(i + 1) % nodes]);
            }
        }
    }
    peers.into_iter().map(Vec::into_boxed_slice).collect()
}

/// A manager that stays connected to fixed peers and knows of nobody else.
#[derive(Debug)]
struct FixedPeers {
    graph: Arc<[Box<[u32]>]>,
    node: usize,
    stream: Stream,
    peers: Vec<NodeId>,
    me: Option<Member>,
    heard: u64,
}

impl FixedPeers {
    fn keep(&mut self, cx: &mut Context<'_>, peer: u32) {
        let name = NodeName::new(&format!("n{peer}@sim")).expect("a short plain name is good");
        let node = name.id();
        self.peers.push(node);
        let addresses: Vec<Address> = vec![address(peer as usize)];
        let spec = NodeSpec::new(name, addresses, &cx.config.channels, Vec::new());
        let spec = Arc::new(spec.expect("one dialable address is not too many"));
        let instance = Instance { node, incarnation: Incarnation(FIRST_MILLISECOND) };
        let patient = self.node > peer as usize;
        cx.change(Change::Keep { instance, spec, patient });
    }
}

impl Manager for FixedPeers {
    fn start(&mut self, cx: &mut Context<'_>) {
        let (incarnation, spec) = (cx.me.instance.incarnation, cx.me.spec.clone());
        self.me = Some(Member { incarnation, spec });
        for peer in self.graph.clone()[self.node].iter() {
            self.keep(cx, *peer);
        }
        let first = self.stream.span(Duration::ZERO, PERIOD);
        cx.set_timer(Timer::Custom(0), first);
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, _: Command) {
        cx.reply(ticket, Ok(Answer::Done));
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            Change::Knock { connection, .. } => {
                let connection = *connection;
                cx.change(Change::Admit { connection });
            }
            Change::PeerUp { instance, .. } => cx.neighbor_up(*instance),
            Change::PeerDown { instance, .. } => cx.neighbor_down(instance.node),
            _ => {}
        }
    }

    fn receive(
        &mut self,
        _: &mut Context<'_>,
        _: Instance,
        _: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        self.heard += 1;
        Ok(())
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        if !self.peers.is_empty() {
            let peer = self.peers[self.stream.below(self.peers.len())];
            let message = ControlMessage::Gossip(Gossip::Digest(Digest::default()));
            // Not while that one is not connected.
            cx.send(peer, message);
        }
        cx.set_timer(timer, PERIOD);
    }

    fn members(&self) -> Vec<Member> {
        self.me.iter().cloned().collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.me.clone().filter(|member| member.spec.id() == node)
    }

    fn fingerprint(&self) -> u64 {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_connected_to_its_peers_and_hears_of_them() {
        let sparse = Sparse { seed: 3, nodes: 50, span: Duration::from_secs(10), memory: None };
        let mut world = sparse.world();
        world.run_for(sparse.span);
        for (node, peers) in graph(3, 50).iter().enumerate() {
            assert!((4..=DEGREE).contains(&peers.len()));
            assert!(peers.iter().all(|peer| world.is_connected(node, *peer as usize)));
        }
        let hello_and_accept = 2 * 4 * world.hosts().len() as u64;
        assert!(world.frames() > hello_and_accept + 9 * 50);
        assert_eq!(sparse.run().hash, sparse.run().hash);
    }

    #[test]
    fn the_smallest_graphs_have_no_loops() {
        assert_eq!(graph(1, 1), [Box::from([])]);
        assert_eq!(graph(1, 2), [Box::from([1]), Box::from([0])]);
        assert!(graph(1, 7).iter().enumerate().all(|(n, peers)| !peers.contains(&(n as u32))));
    }
}
