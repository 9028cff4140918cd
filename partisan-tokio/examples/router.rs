//! A publish-and-subscribe router on three nodes over TCP, one of which is killed half-way.
//!
//!     cargo run --release -p partisan-tokio --example router
//!
//! The routers are those of `partisan_sim::applications::router`, which the simulator puts on trial.
//! What it says is checked: it exits with 1 when a promise is not kept.

mod stage;

use std::collections::BTreeMap;
use std::process::ExitCode;

use partisan_proto::behaviour::ServerProcess;
use partisan_sim::applications::router::{
    self, Event, Listener, Router, RouterCall, RouterReply, Session,
};
use partisan_tokio::{Node, ServerHandle, StartOptions};
use stage::{DEADLINE, Failure, Say, conclude, demand, eventually};

/// How many publishers each node has.
const SESSIONS: usize = 4;
/// How many events each publishes in a round.
const EVENTS: u64 = 250;

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run(&|text| println!("{text}")).await)
}

/// One node's router, and somebody who listens.
struct Place {
    router: ServerHandle<Router>,
    listener: ServerHandle<Listener>,
    sessions: Vec<Session>,
}

impl Place {
    async fn start(node: &Node, topic: &str) -> Result<Self, Failure> {
        let options = StartOptions::default().name(router::server_name());
        let channel = router::channel(node.config());
        let router = ServerProcess::new(Router::new(channel));
        let router = node.start_behaviour(options, router).await?;
        let listener = node.start_server(Listener::new(vec![topic.to_owned()])).await?;
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            match router.call(&RouterCall::Open).await? {
                RouterReply::Opened(session) => sessions.push(session),
                other => return Err(format!("no session: {other:?}").into()),
            }
        }
        Ok(Self { router, listener, sessions })
    }

    async fn publish(&self, session: usize, topic: &str, what: u64) -> Result<(), Failure> {
        let payload = what.to_be_bytes().to_vec();
        let call = RouterCall::Publish(self.sessions[session], topic.to_owned(), payload);
        match self.router.call(&call).await? {
            RouterReply::Published { .. } => Ok(()),
            other => Err(format!("it was not published: {other:?}").into()),
        }
    }

    /// A round of events by all sessions at once.
    async fn publish_all(&self, topic: &str) -> Result<(), Failure> {
        for what in 0..EVENTS {
            for session in 0..SESSIONS {
                self.publish(session, topic, what).await?;
            }
        }
        Ok(())
    }
}

/// What a listener heard, by session, in its order.
#[derive(Default)]
struct Log(BTreeMap<Session, Vec<Event>>);

impl Log {
    /// Takes what was heard since; fails where a session's order is broken, or one is missing.
    async fn listen(&mut self, place: &Place, topic: &str) -> Result<usize, Failure> {
        for event in place.listener.call(&()).await?.events {
            demand(event.topic == topic, "nobody subscribed to that")?;
            let of_session = self.0.entry(event.session).or_default();
            let next = of_session.last().map_or(1, |last| last.number + 1);
            let text = format!("event {next} of its session should come, not {}", event.number);
            demand(event.number == next, &text)?;
            of_session.push(event);
        }
        Ok(self.0.values().map(Vec::len).sum())
    }
}

/// Runs it all.
pub(crate) async fn run(say: Say<'_>) -> Result<(), Failure> {
    let mut config = stage::quick();
    router::configure(&mut config);
    let cluster = stage::three(config).await?;
    let mut places = Vec::new();
    for node in cluster.nodes() {
        places.push(Place::start(node, "traffic").await?);
    }
    say("n1, n2 and n3 are one cluster, each with a router, a listener and four publishers");
    known(&places[0], 2).await?;
    known(&places[1], 2).await?;
    let mut log = Log::default();

    say("\nn1 and n2 publish, each by four sessions at once, spread over four connections:");
    let before = log.listen(&places[0], "traffic").await?;
    let (one, other) =
        tokio::join!(places[0].publish_all("traffic"), places[1].publish_all("traffic"));
    one?;
    other?;
    let published = SESSIONS * EVENTS as usize;
    heard(&mut log, &places[0], before, 2 * published).await?;
    say(&format!("  n1 heard {} events, each session's in its order, none twice", 2 * published));

    say("\nn1 and n2 go on publishing, and n3 is killed meanwhile:");
    let before = log.listen(&places[0], "traffic").await?;
    let (one, other, ()) = tokio::join!(
        places[0].publish_all("traffic"),
        places[1].publish_all("traffic"),
        cluster.kill(2)
    );
    one?;
    other?;
    heard(&mut log, &places[0], before, 2 * published).await?;
    say(&format!("  n1 heard all {} of n1 and n2, in order, none twice", 2 * published));
    known(&places[0], 1).await?;
    say("  n1 sends events to n2 alone from now on");
    cluster.shutdown().await;
    Ok(())
}

/// Waits until a router sends events to so many other nodes.
async fn known(place: &Place, nodes: usize) -> Result<(), Failure> {
    eventually("the routers know who wants what", || async {
        let reach = place.router.call(&RouterCall::Reach("traffic".to_owned())).await?;
        Ok(reach == RouterReply::Reach(nodes))
    })
    .await?;
    Ok(())
}

/// Waits until so many more events were heard than before.
async fn heard(log: &mut Log, place: &Place, before: usize, more: usize) -> Result<(), Failure> {
    let listening = async {
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(10));
        while log.listen(place, "traffic").await? < before + more {
            beat.tick().await;
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, listening).await?
}
