//! Servers of one name on several nodes.

use std::fmt;
use std::marker::PhantomData;

use partisan_proto::behaviour::{Protocol, ServerRef};
use partisan_proto::{NodeId, ProcessName};

use super::ServerHandle;
use crate::calls::{CallOptions, MultiReply, RequestError};
use crate::node::Node;

/// The servers that are registered under one name on several nodes, and speak `P`.
pub struct ServerGroup<P> {
    node: Node,
    nodes: Vec<NodeId>,
    name: ProcessName,
    protocol: PhantomData<fn() -> P>,
}

impl Node {
    /// The servers of this name on these nodes. Nothing checks that they are there or speak `P`.
    pub fn servers<P: Protocol>(
        &self,
        nodes: impl IntoIterator<Item = NodeId>,
        name: ProcessName,
    ) -> ServerGroup<P> {
        let nodes = nodes.into_iter().collect();
        ServerGroup { node: self.clone(), nodes, name, protocol: PhantomData }
    }
}

impl<P: Protocol> ServerGroup<P> {
    /// Each of them by itself, in the order of the nodes.
    pub fn each(&self) -> impl Iterator<Item = ServerHandle<P>> {
        let named = |node: &NodeId| ServerRef::named(*node, self.name.clone());
        self.nodes.iter().map(move |node| self.node.server(named(node)))
    }

    /// Asks all at once, within one timeout (`gen_server:multi_call/4`).
    pub async fn call(
        &self,
        call: &P::Call,
        options: impl Into<CallOptions>,
    ) -> MultiReply<P::Reply> {
        let options = options.into();
        let mut asked = Vec::with_capacity(self.nodes.len());
        for server in self.each() {
            asked.push(server.send_request(call, options).await);
        }
        let mut outcome = MultiReply { replies: Vec::new(), bad_nodes: Vec::new() };
        for (node, request) in self.nodes.iter().zip(asked) {
            let answer: Result<_, RequestError> = match request {
                Ok(request) => request.answer().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(reply) => outcome.replies.push((*node, reply)),
                Err(error) => outcome.bad_nodes.push((*node, error)),
            }
        }
        outcome
    }

    /// Tells all (`gen_server:abcast/3`).
    pub async fn cast(&self, cast: &P::Cast) {
        for server in self.each() {
            server.cast(cast).await;
        }
    }
}

impl<P> fmt::Debug for ServerGroup<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {:?}", self.name, self.nodes)
    }
}
